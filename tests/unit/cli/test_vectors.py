"""Whole command lines with what each sends and prints, as users of other clients know them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import HINT, wsk

FILES = {"hello.js": "x", "p.json": '{"a":1,"b":"two"}'}
FEED_PATH = "/api/v1/namespaces/whisk.system/actions/alarms/alarm"
DONE = {"activationId": ACTIVATION_ID, "response": {"success": True}}
SHOWN = f'{{\n    "activationId": "{ACTIVATION_ID}",\n    "response": {{\n        "success": true\n    }}\n}}\n'
WEB = {"namespace": "guest/pkg", "name": "web", "annotations": [{"key": "web-export", "value": True}]}


@dataclass(frozen=True)
class Vector:
    """A command, the requests it sends with their bodies (None: no body), and what it prints."""

    args: list[str]
    wire: list[tuple[str, Any]]
    stdout: str
    stderr: str = ""
    exit: int = 0
    server: dict[tuple[str, str], Any] = field(default_factory=dict)


VECTORS = [
    Vector(
        ["action", "create", "s", "--sequence", "a,/ns/b,pkg/c,ns/p/d"],
        [
            (
                "PUT actions/s?overwrite=false",
                {
                    "namespace": "_",
                    "name": "s",
                    "exec": {"kind": "sequence", "components": ["/_/a", "/ns/b", "/_/pkg/c", "/ns/p/d"]},
                },
            )
        ],
        "ok: created action s\n",
    ),
    Vector(
        ["action", "create", "h", "hello.js", "-t", "1000", "-m", "512", "-l", "3", "-c", "4"],
        [
            (
                "PUT actions/h?overwrite=false",
                {
                    "namespace": "_",
                    "name": "h",
                    "exec": {"kind": "nodejs:default", "code": "x"},
                    "limits": {"timeout": 1000, "memory": 512, "logs": 3, "concurrency": 4},
                },
            )
        ],
        "ok: created action h\n",
    ),
    Vector(
        ["action", "update", "h", "-p", "a", "1"],
        [
            ("GET actions/h?code=false", None),
            (
                "PUT actions/h?overwrite=true",
                {"namespace": "_", "name": "h", "parameters": [{"key": "a", "value": 1}]},
            ),
        ],
        "ok: updated action h\n",
    ),
    Vector(
        ["action", "update", "h", "--del-annotation", "k1", "--del-annotation", "k2"],
        [
            ("GET actions/h?code=false", None),
            ("PUT actions/h?overwrite=true", {"namespace": "_", "name": "h", "delAnnotations": ["k1", "k2"]}),
        ],
        "ok: updated action h\n",
    ),
    Vector(
        ["action", "invoke", "h", "-p", "a", "1", "-p", "a", "2", "-P", "p.json", "-p", "z", "9"],
        [("POST actions/h?blocking=false&result=false", {"a": 1, "b": "two", "z": 9})],
        f"ok: invoked /_/h with id {ACTIVATION_ID}\n",
    ),
    Vector(
        ["action", "invoke", "sp ace?x#y"],
        [("POST actions/sp%20ace%3Fx%23y?blocking=false&result=false", {})],
        f"ok: invoked /_/sp ace?x#y with id {ACTIVATION_ID}\n",
    ),
    Vector(
        ["action", "get", "pkg/web", "-r"],
        [("GET actions/pkg/web?code=false", None)],
        "ok: got action web\n{url}/api/v1/web/guest/pkg/web\n",
        server={("GET", "actions/pkg/web"): (200, WEB)},
    ),
    Vector(
        ["action", "list", "pkg", "-n"],
        [("GET actions/pkg/?limit=30&skip=0", None)],
        f"actions\n{'/guest/pkg/web':<70} private \n",
        server={("GET", "actions/pkg/"): (200, [WEB])},
    ),
    Vector(
        ["action", "delete", "missing"],
        [("DELETE actions/missing", None)],
        "",
        stderr="error: Unable to delete action 'missing': The requested resource does not exist. (code T)\n" + HINT,
        exit=148,
        server={("DELETE", "actions/missing"): (404, {"error": "The requested resource does not exist.", "code": "T"})},
    ),
    Vector(
        ["package", "bind", "/whisk.system/utils", "u", "-p", "a", "1"],
        [
            (
                "PUT packages/u?overwrite=false",
                {
                    "parameters": [{"key": "a", "value": 1}],
                    "binding": {"namespace": "whisk.system", "name": "utils"},
                },
            )
        ],
        "ok: created binding u\n",
    ),
    Vector(
        ["trigger", "create", "t", "--feed", "/whisk.system/alarms/alarm", "-p", "cron", "* * *"],
        [
            (
                "PUT triggers/t?overwrite=false",
                {"name": "t", "annotations": [{"key": "feed", "value": "/whisk.system/alarms/alarm"}]},
            ),
            (
                f"POST {FEED_PATH}?blocking=true&result=false",
                {"authKey": "uuid:key", "cron": "* * *", "lifecycleEvent": "CREATE", "triggerName": "/_/t"},
            ),
        ],
        f"ok: invoked /whisk.system/alarms/alarm with id {ACTIVATION_ID}\n{SHOWN}ok: created trigger t\n",
        server={("POST", FEED_PATH): (200, DONE)},
    ),
    Vector(
        ["rule", "delete", "r", "--disable"],
        [
            ("POST rules/r", {"status": "inactive", "trigger": None, "action": None}),
            ("DELETE rules/r", None),
        ],
        "ok: deleted rule r\n",
    ),
    Vector(
        ["activation", "logs", "--last", "-r"],
        [("GET activations?limit=1&skip=0", None), ("GET activations/i/logs", None)],
        "hello\n",
        server={
            ("GET", "activations"): (200, [{"activationId": "i"}]),
            ("GET", "activations/i/logs"): (200, {"logs": ["2023-11-14T22:13:20.1Z stdout: hello"]}),
        },
    ),
    Vector(["property", "get", "--auth", "-o", "raw"], [], "uuid:key\n"),
]


@pytest.mark.parametrize("vector", VECTORS, ids=[" ".join(vector.args) for vector in VECTORS])
def test_a_command_line_sends_and_prints_what_it_always_did(vector: Vector) -> None:
    run = wsk(*vector.args, server=vector.server, files=FILES)
    assert [(request.line, _without_nulls(request.body)) for request in run.requests] == [
        (line, _without_nulls(body)) for line, body in vector.wire
    ]
    assert run.stdout == vector.stdout.replace("{url}", run.url)
    assert (run.exit, run.stderr) == (vector.exit, vector.stderr)


def _without_nulls(body: Any) -> Any:
    """The body without members that say nothing: a client may send or omit them."""
    return {key: value for key, value in body.items() if value is not None} if isinstance(body, dict) else body
