"""`wsk action invoke`, `get`, `delete` and `list`."""

import base64
import json
from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import HINT, wsk

BANNER = f"ok: invoked /_/h with id {ACTIVATION_ID}\n"
ACTIVATION = {
    "activationId": ACTIVATION_ID,
    "name": "h",
    "response": {"result": {"a": 1}, "status": "success", "success": True},
}
FAILED = ACTIVATION | {"response": {"result": {"error": "boom"}, "status": "application error", "success": False}}


def pretty(value: Any) -> str:
    return json.dumps(value, indent=4, sort_keys=True) + "\n"


def invoking(status: int, body: Any) -> dict[tuple[str, str], Any]:
    return {("POST", "actions/h"): (status, body)}


def action(**fields: Any) -> dict[tuple[str, str], Any]:
    return {("GET", "actions/h"): (200, {"namespace": "guest", "name": "h", "version": "0.0.1"} | fields)}


@pytest.mark.parametrize(
    ("flags", "query"),
    [
        ([], "blocking=false&result=false"),
        (["-b"], "blocking=true&result=false"),
        (["-r"], "blocking=true&result=true"),
        (["--blocking", "--result"], "blocking=true&result=true"),
    ],
)
def test_invoking_posts_the_parameters(flags: list[str], query: str) -> None:
    run = wsk("action", "invoke", "h", *flags, server=invoking(200, ACTIVATION))
    assert run.lines == [f"POST actions/h?{query}"]
    assert run.requests[0].raw_body == b"{}\n"


def test_an_invocation_that_does_not_wait_tells_its_id() -> None:
    run = wsk("action", "invoke", "h")
    assert (run.exit, run.stdout, run.stderr) == (0, BANNER, "")


def test_a_blocking_invocation_shows_its_activation() -> None:
    run = wsk("action", "invoke", "h", "-b", server=invoking(200, ACTIVATION))
    assert (run.exit, run.stdout, run.stderr) == (0, BANNER + pretty(ACTIVATION), "")


@pytest.mark.parametrize("flag", ["-b", "-r"])
def test_an_invocation_that_takes_too_long_says_so(flag: str) -> None:
    run = wsk("action", "invoke", "h", flag, server=invoking(202, {"activationId": ACTIVATION_ID}))
    message = f"ok: invoked /_/h, but the request has not yet finished, with id {ACTIVATION_ID}\n"
    assert (run.exit, run.stdout, run.stderr) == (202, "", message)


def test_a_failing_blocking_invocation_shows_its_activation_on_standard_error() -> None:
    run = wsk("action", "invoke", "h", "-b", server=invoking(502, FAILED))
    assert (run.exit, run.stdout) == (246, "")
    assert run.stderr.startswith(BANNER + pretty(FAILED))


def test_a_failing_invocation_for_its_result_shows_the_result_on_standard_error() -> None:
    run = wsk("action", "invoke", "h", "-r", server=invoking(502, {"error": "boom"}))
    assert (run.exit, run.stdout) == (246, "")
    assert run.stderr.startswith(pretty({"error": "boom"}))


def test_getting_an_action_leaves_its_code_behind() -> None:
    run = wsk("action", "get", "h", server=action(publish=False))
    assert run.lines == ["GET actions/h?code=false"]
    head, _, rest = run.stdout.partition("\n")
    assert head == "ok: got action h"
    assert json.loads(rest) == {"namespace": "guest", "name": "h", "version": "0.0.1", "publish": False}


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("version", '"0.0.1"'),
        ("VERSION", '"0.0.1"'),
        ("exec", '{\n    "kind": "nodejs:20",\n    "binary": false\n}'),
        ("updated", "0"),
        ("error", '""'),
    ],
)
def test_one_field_of_an_action_is_shown(field: str, shown: str) -> None:
    run = wsk("action", "get", "h", field, server=action(exec={"kind": "nodejs:20", "binary": False}))
    assert (run.exit, run.stdout) == (0, f"ok: got action h, displaying field {field}\n{shown}\n")


@pytest.mark.parametrize(
    ("name", "fields", "shown"),
    [
        ("pkg/web", {"namespace": "guest/pkg", "annotations": [{"key": "web-export", "value": True}]}, "web/guest/pkg"),
        ("web", {"namespace": "guest", "annotations": [{"key": "web-export", "value": True}]}, "web/guest/default"),
        ("pkg/web", {"namespace": "guest/pkg"}, "namespaces/guest/actions/pkg"),
        ("web", {"namespace": "a@b c"}, "namespaces/a%40b%20c/actions"),
    ],
)
def test_the_url_of_an_action_is_shown(name: str, fields: dict[str, Any], shown: str) -> None:
    run = wsk("action", "get", name, "-r", server={("GET", f"actions/{name}"): (200, {"name": "web"} | fields)})
    assert run.lines == [f"GET actions/{name}?code=false"]
    assert (run.exit, run.stdout) == (0, f"ok: got action web\n{run.url}/api/v1/{shown}/web\n")


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({}, "action /guest/h\n   (parameters: none defined)\n"),
        (
            {"annotations": [{"key": "description", "value": "Says hello"}]},
            "action /guest/h: Says hello\n   (parameters: none defined)\n",
        ),
        (
            {"parameters": [{"key": "name", "value": 1}]},
            "action /guest/h: Returns a result based on parameter name\n   (parameters: *name)\n",
        ),
        (
            {
                "parameters": [{"key": "zed", "value": 1}, {"key": "abc", "value": 1}],
                "annotations": [{"key": "parameters", "value": [{"name": "other"}, {"name": "abc"}]}],
            },
            "action /guest/h: Returns a result based on parameters abc, other and zed\n"
            "   (parameters: *abc, other, *zed)\n",
        ),
        (
            {
                "parameters": [{"key": "abc", "value": 1}],
                "annotations": [{"key": "description", "value": "D"}, {"key": "final", "value": True}],
            },
            "action /guest/h: D\n   (parameters: **abc)\n",
        ),
    ],
)
def test_a_summary_describes_an_action_and_its_parameters(fields: dict[str, Any], summary: str) -> None:
    run = wsk("action", "get", "h", "--summary", server=action(**fields))
    assert (run.exit, run.stdout) == (0, summary)


@pytest.mark.parametrize(
    ("execution", "file", "content"),
    [
        ({"kind": "nodejs:20", "code": "x"}, "h.js", b"x"),
        ({"kind": "python:3.11", "code": "x"}, "h.py", b"x"),
        ({"kind": "python:3.11", "code": base64.b64encode(b"PK\0").decode(), "binary": True}, "h.zip", b"PK\0"),
        ({"kind": "java:8", "code": base64.b64encode(b"PK\0").decode(), "binary": True}, "h.jar", b"PK\0"),
        ({"kind": "dotnet:2.2", "code": "x"}, "h", b"x"),
    ],
)
def test_code_is_saved_under_the_name_of_the_action(execution: dict[str, Any], file: str, content: bytes) -> None:
    run = wsk(
        "action", "get", "pkg/h", "--save", server={("GET", "actions/pkg/h"): (200, {"name": "h", "exec": execution})}
    )
    assert run.lines == ["GET actions/pkg/h?code=true"]
    assert (run.exit, run.stdout) == (0, f"ok: saved action code to {run.directory}/{file}\n")
    assert run.written[file] == content


def test_code_is_saved_under_a_name_of_choice() -> None:
    run = wsk("action", "get", "h", "--save-as", "mine.txt", server=action(exec={"kind": "nodejs:20", "code": "x"}))
    assert (run.exit, run.stdout) == (0, f"ok: saved action code to {run.directory}/mine.txt\n")
    assert run.written["mine.txt"] == b"x"


@pytest.mark.parametrize(
    ("execution", "args", "text"),
    [
        ({"kind": "nodejs:20", "code": "x"}, ["--save-as", "taken"], "The file 'taken' already exists"),
        ({"kind": "blackbox", "image": "i"}, ["--save"], "Cannot save Docker images"),
        ({"kind": "sequence", "components": ["/_/a"]}, ["--save"], "Cannot save action sequences"),
        (
            {"kind": "nodejs:20", "code": "x"},
            ["--save-as", "no/f"],
            "Cannot create file 'no/f': open no/f: no such file or directory",
        ),
    ],
)
def test_code_that_cannot_be_saved_leaves_everything_as_it_was(
    execution: dict[str, Any], args: list[str], text: str
) -> None:
    run = wsk("action", "get", "h", *args, server=action(exec=execution), files={"taken": "mine"})
    assert (run.exit, run.stderr) == (2, f"error: {text}\n{HINT}")
    assert run.written["taken"] == b"mine"


def test_deleting_an_action_deletes_it() -> None:
    run = wsk("action", "delete", "pkg/h")
    assert (run.exit, run.lines, run.stdout) == (0, ["DELETE actions/pkg/h"], "ok: deleted action pkg/h\n")


LISTED = [
    {"namespace": "guest/pkg", "name": "b", "annotations": [{"key": "exec", "value": "nodejs:20"}]},
    {"namespace": "guest", "name": "z", "annotations": [{"key": "exec", "value": "python:3.11"}]},
    {"namespace": "guest", "name": "B", "annotations": []},
]
ROWS = {
    "b": f"{'/guest/pkg/b':<70} private nodejs:20\n",
    "z": f"{'/guest/z':<70} private python:3.11\n",
    "B": f"{'/guest/B':<70} private \n",
}


def test_actions_are_listed_in_the_order_of_the_server() -> None:
    run = wsk("action", "list", server={("GET", "actions"): (200, LISTED)})
    assert run.lines == ["GET actions?limit=30&skip=0"]
    assert (run.exit, run.stdout) == (0, "actions\n" + ROWS["b"] + ROWS["z"] + ROWS["B"])


def test_actions_are_listed_by_name_those_in_packages_last() -> None:
    run = wsk("action", "list", "--name-sort", "-s", "3", server={("GET", "actions"): (200, LISTED)})
    assert run.lines == ["GET actions?limit=30&skip=3"]
    assert run.stdout == "actions\n" + ROWS["B"] + ROWS["z"] + ROWS["b"]


@pytest.mark.parametrize(
    ("of", "target"),
    [
        ("pkg", "_/actions/pkg/?limit=30&skip=0"),
        ("/ns/pkg", "ns/actions/pkg/?limit=30&skip=0"),
        ("/ns", "ns/actions?limit=30&skip=0"),
    ],
)
def test_the_actions_of_a_package_or_namespace_are_listed(of: str, target: str) -> None:
    run = wsk("action", "list", of)
    assert [request.target for request in run.requests] == [f"/api/v1/namespaces/{target}"]
    assert (run.exit, run.stdout) == (0, "actions\n")


def test_a_long_name_is_listed_whole() -> None:
    server: Any = {("GET", "actions"): (200, [{"namespace": "guest", "name": "n" * 80}])}
    assert wsk("action", "list", server=server).stdout == f"actions\n/guest/{'n' * 80} private \n"


@pytest.mark.parametrize("key", ["order 17", "clé"])
def test_an_idempotency_key_is_sent_along_with_an_invocation(key: str) -> None:
    run = wsk("action", "invoke", "a", "--idempotency-key", key)
    assert run.exit == 0
    assert run.requests[-1].headers["idempotency-key"].encode("latin-1") == key.encode()


@pytest.mark.parametrize("key", ["", "a\nb"])
def test_an_idempotency_key_that_no_header_can_carry_is_refused(key: str) -> None:
    run = wsk("action", "invoke", "a", "--idempotency-key", key)
    assert (run.exit, run.requests) == (1, [])
    assert "The idempotency key must have 1 to 255 bytes and no control characters." in run.stderr
