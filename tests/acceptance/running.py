"""A real platform for the tests: started as a user starts it, on a free port and a fresh directory."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Platform:
    """A running `sabayon up` and ways to talk to it."""

    home: Path
    process: subprocess.Popen[str]
    ready_line: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def properties(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.data_dir / "wskprops").read_text().split())

    @property
    def api_host(self) -> str:
        return self.properties["APIHOST"]

    @property
    def auth(self) -> str:
        return self.properties["AUTH"]

    def wsk(
        self, *args: str, auth: str | None = None, input: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """`wsk ARGS` as a process of its own, in the platform's home."""
        environment = {**environment_of(self.home), "WHISK_APIHOST": self.api_host, "WHISK_AUTH": auth or self.auth}
        return subprocess.run(
            [BIN / "wsk", *args],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            input=input,
            timeout=timeout,
        )

    def sabayon(self, *args: str) -> subprocess.CompletedProcess[str]:
        """`sabayon ARGS --data-dir …`, for the operator's commands."""
        command = [BIN / "sabayon", *args, "--data-dir", self.data_dir]
        return subprocess.run(command, env=environment_of(self.home), capture_output=True, text=True, timeout=60)

    def namespace(self, name: str) -> str:
        """A new namespace; its key, once the platform knows it."""
        result = self.sabayon("namespace", "create", name)
        assert result.returncode == 0, result.stderr
        key = result.stdout.strip()
        await_value(lambda: self.request("GET", "/namespaces", auth=key).status == 200, within=1)
        return key

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        auth: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 90,
    ) -> Answer:
        """One request; `path` is below `/api/v1` unless it starts with `//`. `auth=""` sends no credentials."""
        url = self.api_host + (path[1:] if path.startswith("//") else f"/api/v1{path}")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        if data is not None and "Content-type" not in request.headers:
            request.add_header("Content-Type", "application/json")
        key = self.auth if auth is None else auth
        if key:
            request.add_header("Authorization", "Basic " + base64.b64encode(key.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return Answer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def create_action(self, name: str, code: str, kind: str = "python:default", **fields: Any) -> None:
        """Create or update an action."""
        body = {"exec": {"kind": kind, "code": code}, **fields}
        auth = fields.pop("auth", None)
        body.pop("auth", None)
        answer = self.request("PUT", f"/namespaces/_/actions/{name}?overwrite=true", body, auth=auth)
        assert answer.status == 200, answer.body

    def invoke(self, name: str, payload: Any = None, *, auth: str | None = None, timeout: float = 90) -> Answer:
        """A blocking invocation; the answer's body is the record."""
        path = f"/namespaces/_/actions/{name}?blocking=true"
        return self.request("POST", path, payload or {}, auth=auth, timeout=timeout)

    def record(self, activation_id: str, *, auth: str | None = None, within: float = 20) -> Any:
        """The record of an activation, as soon as it is there."""
        return await_value(
            lambda: (
                (a := self.request("GET", f"/namespaces/_/activations/{activation_id}", auth=auth)).status == 200
                and a.json
            ),
            within,
        )

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait(10)


def await_value(probe: Any, within: float = 20) -> Any:
    """What `probe()` returns once it is true; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := probe()):
        assert time.monotonic() < deadline, f"not so within {within} seconds"
        time.sleep(0.02)
    return value


def environment_of(home: Path) -> dict[str, str]:
    """This process's environment without settings of ours, with another home."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SABAYON_", "WHISK_", "WSK_"))}
    return {**own, "HOME": str(home), "NO_COLOR": "1"}


@contextlib.contextmanager
def running(
    home: Path,
    *flags: str,
    environment: dict[str, str] | None = None,
    open_files: int | None = None,
    program: Sequence[str | Path] = (BIN / "sabayon",),
) -> Iterator[Platform]:
    """`sabayon up` until the end of the block. open_files: how many it may have, if fewer than usual."""
    log = (home / "platform.log").open("a")
    bound = [] if open_files is None else ["prlimit", f"--nofile={open_files}:{open_files}"]
    process = subprocess.Popen(
        [*bound, *program, "up", "--port", "0", "--data-dir", home / "data", *flags],
        env={**environment_of(home), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    with log, process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, f"the platform did not start:\n{(home / 'platform.log').read_text()[-4000:]}"
        try:
            yield Platform(home, process, ready)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(40)


def lines(output: str) -> Sequence[str]:
    """The lines of `output` that are not empty."""
    return [line for line in output.splitlines() if line.strip()]
