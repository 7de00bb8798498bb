"""Mixed invocations of several namespaces from concurrent clients, and an account of how each one ended."""

from __future__ import annotations

import base64
import io
import json
import random
import threading
import time
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.acceptance.running import Platform

CLIENTS = 12
NAMESPACES = ("soak-a", "soak-b", "soak-c", "soak-d")
ECHO_PYTHON = "def main(args):\n    return {'n': args['n']}\n"
ECHO_NODEJS = "function main(args) { return { n: args.n }; }\n"
SUCCESS, REFUSAL, FAULT = "success", "application error", "action developer error"
PLATFORM_FAULT = "whisk internal error"
UNHEARD_S = 0.25
"""What was sent this shortly before a stop may not have been read by then; the shortest slow action takes longer."""


class Case(NamedTuple):
    """What is invoked, how often of a hundred times, and how its record says that it ended when nothing was killed."""

    path: str
    weight: int
    status: str = SUCCESS
    is_blocking: bool = True


CASES = (
    Case("actions/echo", 32),
    Case("actions/echojs", 14),
    Case("actions/archive", 6),
    Case("actions/archivejs", 4),
    Case("actions/chain", 6),
    Case("actions/echo", 12, is_blocking=False),
    Case("actions/echojs", 4, is_blocking=False),
    Case("actions/chain", 2, is_blocking=False),
    Case("triggers/event", 7, is_blocking=False),
    Case("actions/slow", 2),
    Case("actions/slow", 2, is_blocking=False),
    Case("actions/refuse", 2, REFUSAL),
    Case("actions/raise", 2, REFUSAL),
    Case("actions/die", 1, FAULT),
    Case("actions/spin", 1, FAULT),
    Case("actions/spinjs", 1, FAULT),
    Case("actions/print", 1),
    Case("actions/printmuch", 1),
)
RENEWED_PERCENT = 2
"""How often a client changes an action of its own before it is invoked: the containers of the old one are of no use."""


def archive(name: str, code: str) -> str:
    """A zip of one file, as the API takes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, code)
    return base64.b64encode(buffer.getvalue()).decode()


ACTIONS: dict[str, tuple[str, str, dict[str, int]]] = {
    "echo": ("python:default", ECHO_PYTHON, {}),
    "echojs": ("nodejs:default", ECHO_NODEJS, {}),
    "archive": ("python:default", archive("__main__.py", ECHO_PYTHON), {}),
    "archivejs": ("nodejs:default", archive("index.js", f"{ECHO_NODEJS}exports.main = main;\n"), {}),
    "slow": ("python:default", f"import time\n{ECHO_PYTHON.replace('return', 'time.sleep(0.4); return')}", {}),
    "refuse": ("python:default", "def main(args):\n    return {'error': args['n']}\n", {}),
    "raise": ("python:default", "def main(args):\n    raise ValueError(args['n'])\n", {}),
    "die": ("python:default", "import os\ndef main(args):\n    os._exit(1)\n", {}),
    "spin": ("python:default", "def main(args):\n    while True:\n        pass\n", {"timeout": 100}),
    "spinjs": ("nodejs:default", "function main() { for (;;); }\n", {"timeout": 200}),
    "print": ("python:default", ECHO_PYTHON.replace("return", "print('x' * 100_000); return"), {"logs": 1}),
    "printmuch": (
        "nodejs:default",
        ECHO_NODEJS.replace("return", "console.log('x'.repeat(99999)); return"),
        {"logs": 0},
    ),
}
"""Kind, code and limits."""


def prepare(platform: Platform) -> dict[str, str]:
    """Namespaces that have all of that; their keys."""
    keys = {name: platform.namespace(name) for name in NAMESPACES}
    for key in keys.values():
        for name, (kind, code, limits) in ACTIONS.items():
            platform.create_action(name, code, kind, auth=key, limits={"memory": 128, **limits})
        components = ["/_/echo", "/_/archive"]
        chain = {"exec": {"kind": "sequence", "components": components}}
        assert platform.request("PUT", "/namespaces/_/actions/chain", chain, auth=key).status == 200
        assert platform.request("PUT", "/namespaces/_/triggers/event", {}, auth=key).status == 200
        rule = {"trigger": "/_/event", "action": "/_/echo"}
        assert platform.request("PUT", "/namespaces/_/rules/on-event", rule, auth=key).status == 200
    return keys


class Accepted(NamedTuple):
    """What was answered by 202."""

    activation_id: str
    key: str
    is_fire: bool


class Broken(NamedTuple):
    """A request without an answer: when it was sent, when that was seen, in seconds of the monotonic clock."""

    sent: float
    seen: float


class Account:
    """How the invocations ended. Clients write to it from their threads."""

    def __init__(self) -> None:
        self.answered = 0
        self.accepted: list[Accepted] = []
        self.otherwise: list[str] = []
        self.wrong: list[str] = []
        self.broken: list[Broken] = []
        self._lock = threading.Lock()

    def take(self, case: Case, key: str, n: int, status: int, body: Any) -> None:
        """Enter one answer. `otherwise`: a fault that a kill explains; `wrong`: what nothing explains."""
        with self._lock:
            self.answered += 1
            response = body.get("response", body) if isinstance(body, dict) else body
            told = f"{case.path} {n}: {status} {str(response)[:300]}"
            if not case.is_blocking and status == 202:
                self.accepted.append(Accepted(body["activationId"], key, case.path.startswith("triggers")))
            elif not case.is_blocking or status not in (200, 500, 502):
                self.wrong.append(told)
            elif body["response"]["status"] != case.status:
                is_fault = body["response"]["status"] in (FAULT, PLATFORM_FAULT)
                (self.otherwise if is_fault else self.wrong).append(told)
            elif case.status == SUCCESS and body["response"]["result"] != {"n": n}:
                self.wrong.append(told)

    def enter_broken(self, sent: float) -> None:
        with self._lock:
            self.broken.append(Broken(sent, time.monotonic()))


class Load:
    """Clients that invoke without a pause until they are told to stop, or the platform is gone."""

    def __init__(self, platform: Platform, keys: dict[str, str], account: Account, seed: int) -> None:
        self._address = urlsplit(platform.api_host).netloc
        self._keys = list(keys.values())
        self._account = account
        self._seed = seed
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Any:
        """Until the end of the block, which is the end of the clients as well."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            clients: list[Future[None]] = [threads.submit(self._client, number) for number in range(CLIENTS)]
            try:
                yield
            finally:
                self._stop.set()
        for client in clients:
            client.result()

    def _client(self, number: int) -> None:
        choice = random.Random(f"{self._seed} {number}")
        connection = HTTPConnection(self._address, timeout=90)
        n = 0
        while not self._stop.is_set():
            n += 1
            key = self._keys[(number + n) % len(self._keys)]
            sent = time.monotonic()
            try:
                if choice.randrange(100) < RENEWED_PERCENT:
                    case = Case(f"actions/renewed-{number}", 0)
                    code = f"{ECHO_PYTHON}# {self._seed} {n}\n"
                    body = {"exec": {"kind": "python:default", "code": code}, "limits": {"memory": 128}}
                    status, _ = request(connection, key, "PUT", f"{case.path}?overwrite=true", body)
                    assert status == 200
                    sent = time.monotonic()
                else:
                    case = choice.choices(CASES, [case.weight for case in CASES])[0]
                path = f"{case.path}?blocking={str(case.is_blocking).lower()}"
                self._account.take(case, key, n, *request(connection, key, "POST", path, {"n": n}))
            except (OSError, HTTPException):
                self._account.enter_broken(sent)
                break
        connection.close()


def request(connection: HTTPConnection, key: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and document. The connection stays open."""
    headers = {
        "Authorization": "Basic " + base64.b64encode(key.encode()).decode(),
        "Content-Type": "application/json",
    }
    text = None if body is None else json.dumps(body)
    connection.request(method, f"/api/v1/namespaces/_/{path}", text, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def unrecorded(platform: Platform, accepted: list[Accepted], within_s: float) -> list[str]:
    """Accepted activations, and those that an accepted fire began, that do not end in a record in time."""
    connection = HTTPConnection(urlsplit(platform.api_host).netloc, timeout=30)
    deadline = time.monotonic() + within_s

    def record(activation_id: str, key: str) -> Any:
        """None when there is none by the deadline."""
        while True:
            status, document = request(connection, key, "GET", f"activations/{activation_id}")
            if status == 200 or time.monotonic() > deadline:
                return document if status == 200 else None
            time.sleep(0.02)

    lost = []
    for activation_id, key, is_fire in accepted:
        found = record(activation_id, key)
        begun = [json.loads(line)["activationId"] for line in found["logs"]] if found and is_fire else []
        lost += [activation_id] if found is None else [one for one in begun if record(one, key) is None]
    connection.close()
    return lost
