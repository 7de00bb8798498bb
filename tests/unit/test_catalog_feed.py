"""The feed action of the alarms package, run as a sandbox runs it: a source file and environment variables."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import pytest

KEY = "uuid:key"
SOURCE = files("sabayon.catalog.alarms").joinpath("feed.py").read_text(encoding="utf-8")
CALL = "\nimport sys\nprint(json.dumps(main(json.load(sys.stdin))))\n"


@dataclass
class Provider:
    """Notes what it is asked and answers as it is told."""

    url: str = ""
    status: int = 200
    answer: bytes = b'{"status": "success"}'
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            key = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            provider.asked.append((self.command, self.path, key, json.loads(body) if body else None))
            self.send_response(provider.status)
            self.send_header("Content-Length", str(len(provider.answer)))
            self.end_headers()
            self.wfile.write(provider.answer)

        do_GET = do_POST = do_PUT = do_DELETE = reply  # noqa: N815 - the names that are looked up

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        provider.url = f"http://127.0.0.1:{server.server_port}"
        yield provider
        server.shutdown()
        thread.join()


def result(url: str, **args: Any) -> Any:
    """What the action makes of `args`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SOURCE + CALL],
        input=json.dumps(args),
        env={"__OW_API_HOST": url, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("event", "method", "body"),
    [
        ("CREATE", "POST", {"cron": "* * * * *", "trigger_payload": {"a": "è"}}),
        ("READ", "GET", None),
        ("UPDATE", "PUT", {"cron": "* * * * *", "trigger_payload": {"a": "è"}}),
        ("DELETE", "DELETE", None),
    ],
)
def test_an_event_is_passed_on_with_the_callers_key(provider: Provider, event: str, method: str, body: Any) -> None:
    answer = result(
        provider.url,
        lifecycleEvent=event,
        triggerName="/acme/tick",
        authKey=KEY,
        apihost="host",
        cron="* * * * *",
        trigger_payload={"a": "è"},
    )
    assert answer == {"status": "success"}
    assert provider.asked == [(method, "/provider/alarms/v1/triggers/acme/tick", KEY, body)]


@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ("/acme/tick", "acme/tick"),
        ("/_/tick", "_/tick"),
        ("tick", "_/tick"),
        ("acme/tick", "acme/tick"),
        ("/acme dev/the tick", "acme%20dev/the%20tick"),
        ("/a@b.c/t?x#y", "a%40b.c/t%3Fx%23y"),
    ],
)
def test_a_trigger_may_be_named_with_or_without_its_namespace(provider: Provider, trigger: str, path: str) -> None:
    result(provider.url, lifecycleEvent="READ", triggerName=trigger, authKey=KEY)
    assert [asked[1] for asked in provider.asked] == [f"/provider/alarms/v1/triggers/{path}"]


def test_a_refusal_is_the_error_of_the_activation(provider: Provider) -> None:
    provider.status, provider.answer = 400, b'{"error": "Invalid timezone."}'
    answer = result(provider.url, lifecycleEvent="CREATE", triggerName="/_/t", authKey=KEY)
    assert answer == {"error": {"error": "Invalid timezone."}}


def test_a_failure_without_words_is_reported_by_its_status(provider: Provider) -> None:
    provider.status, provider.answer = 500, b"Internal Server Error"
    answer = result(provider.url, lifecycleEvent="CREATE", triggerName="/_/t", authKey=KEY)
    assert answer == {"error": {"error": "the alarms provider answers with HTTP 500"}}


@pytest.mark.parametrize("event", ["PAUSE", "create", "", None])
def test_other_events_are_not_supported(provider: Provider, event: Any) -> None:
    answer = result(provider.url, lifecycleEvent=event, triggerName="/_/t", authKey=KEY)
    assert answer == {"error": "unsupported lifecycleEvent"}
    assert provider.asked == []


@pytest.mark.parametrize("given", [{}, {"triggerName": ""}, {"triggerName": None}])
def test_a_trigger_must_be_named(provider: Provider, given: dict[str, Any]) -> None:
    answer = result(provider.url, lifecycleEvent="CREATE", authKey=KEY, **given)
    assert answer == {"error": {"error": "no trigger name parameter was provided"}}
    assert provider.asked == []


def test_a_provider_that_is_not_there_is_an_error_of_the_activation() -> None:
    answer = result("http://127.0.0.1:1", lifecycleEvent="READ", triggerName="/_/t", authKey=KEY)
    assert answer["error"]["error"].startswith("the alarms provider cannot be reached: ")
