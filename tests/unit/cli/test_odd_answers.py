"""Answers no server should give: the command ends in order, whatever comes."""

import base64
from typing import Any

import pytest

from tests.unit.cli.terminal import AUTH, wsk

LEAST = [
    ("action get x", "ok: got action x\n{}\n"),
    ("action get x --summary", "action //\n   (parameters: none defined)\n"),
    ("action update x --web true", "ok: updated action x\n"),
    ("action list", "actions\n"),
    ("activation get x --logs", ""),
    ("activation list", "\n"),
    ("activation logs x", ""),
    ("activation result x", "null\n"),
    ("package get x --summary", "package //\n   (parameters: none defined)\n"),
    ("package list --name-sort", "packages\n"),
    ("rule get x --summary", "rule //\n   (status: )\n"),
    ("rule list", "rules\n"),
    ("rule status x", "ok: rule x is \n"),
    ("trigger delete x", "ok: deleted trigger x\n"),
    ("property get --apibuild", "whisk API build\t\t\n"),
]


@pytest.mark.parametrize("body", [b"<p>Welcome</p>", b"17"])
@pytest.mark.parametrize(("command", "stdout"), LEAST, ids=[command for command, _ in LEAST])
def test_an_answer_of_the_wrong_kind_counts_as_an_empty_one(command: str, stdout: str, body: bytes) -> None:
    collections = [f"{noun}s" for noun in ("action", "activation", "package", "rule", "trigger")]
    paths = [f"{collection}{rest}" for collection in collections for rest in ("", "/x", "/x/logs", "/x/result")]
    server: Any = {(method, path): (200, body) for method in ("GET", "PUT", "DELETE") for path in [*paths, "/api/v1"]}
    run = wsk(*command.split(), server=server)
    assert (run.exit, run.stdout, run.stderr) == (0, stdout, "")


def test_entries_of_the_wrong_kind_are_passed_over() -> None:
    listed = [None, 1, {"namespace": "guest", "name": "t"}]
    run = wsk("trigger", "list", server={("GET", "triggers"): (200, listed)})
    assert (run.exit, run.stdout) == (0, f"triggers\n{'/guest/t':<70} private\n")
    shown = {"name": "x", "namespace": "guest", "parameters": [None, {"key": "a"}]}
    run = wsk("trigger", "get", "x", "-s", server={("GET", "triggers/x"): (200, shown)})
    assert run.stdout.endswith("   (parameters: *a)\n")


def test_a_time_beyond_all_calendars_does_not_spoil_the_list() -> None:
    server: Any = {("GET", "activations"): (200, [{"activationId": "i", "start": 10**18, "end": 10**18}])}
    run = wsk("activation", "list", server=server)
    assert (run.exit, run.stderr) == (0, "")
    assert run.stdout.splitlines()[1].startswith("9999-")


def test_code_that_is_not_what_it_claims_to_be_is_not_saved() -> None:
    answer = {"name": "x", "exec": {"kind": "nodejs:20", "code": "x!!", "binary": True}}
    run = wsk("action", "get", "x", "--save", server={("GET", "actions/x"): (200, answer)})
    assert run.exit == 2
    assert run.stderr.startswith("error: Cannot save action code")
    assert list(run.written) == [".wskprops"]


def test_json_without_end_is_an_error() -> None:
    run = wsk("action", "invoke", "h", "-p", "k", "[" * 5000)
    assert (run.exit, run.stderr, run.lines) == (1, "error: JSON is nested too deeply\n", [])


def test_an_activation_id_that_is_none_stays_one_part_of_the_path() -> None:
    assert wsk("activation", "get", "a b/../c?d").lines == ["GET activations/a%20b%2F..%2Fc%3Fd"]


def test_a_name_in_bytes_that_are_no_text_arrives_as_it_is() -> None:
    assert wsk("action", "delete", "x\udcff").lines == ["DELETE actions/x%FF"]


def test_a_redirect_on_the_same_server_is_followed_with_the_key() -> None:
    run = wsk("action", "get", "x", server={("GET", "actions/x"): (302, "/api/v1/namespaces/_/actions/y")})
    credential = f"Basic {base64.b64encode(AUTH.encode()).decode()}"
    assert run.lines == ["GET actions/x?code=false", "GET actions/y"]
    assert [request.headers["authorization"] for request in run.requests] == [credential, credential]


def test_a_redirect_to_another_server_is_followed_without_the_key() -> None:
    elsewhere = "http://localhost:{port}/api/v1/namespaces/_/actions/y"
    run = wsk("action", "get", "x", server={("GET", "actions/x"): (302, elsewhere)})
    assert run.lines == ["GET actions/x?code=false", "GET actions/y"]
    assert "authorization" not in run.requests[1].headers
