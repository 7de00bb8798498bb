"""What goes wrong, in words on standard error and as an exit code."""

from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import HINT, wsk

DELETE = ("DELETE", "actions/h")
LOST = "The connection failed, or timed out. (HTTP status code {})"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 144), (404, 148), (409, 153), (429, 173), (503, 247)],
)
def test_the_exit_code_is_the_status_of_the_answer_less_256(status: int, code: int) -> None:
    run = wsk("action", "delete", "h", server={DELETE: (status, {"error": "No.", "code": "abc"})})
    assert (run.exit, run.stdout) == (code, "")
    assert run.stderr == f"error: Unable to delete action 'h': No. (code abc)\n{HINT}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "No.", "code": 42}, "No. (code 42)"),
        ({"error": "50% <off>", "code": "x"}, "50% <off> (code x)"),
        ({"error": "No."}, LOST.format(404)),
        ({"code": "abc"}, LOST.format(404)),
        ([], LOST.format(404)),
        (None, LOST.format(404)),
        (b"<html>Not here</html>", LOST.format(404)),
    ],
)
def test_the_server_is_quoted_where_it_says_what_is_wrong(body: Any, text: str) -> None:
    run = wsk("action", "delete", "h", server={DELETE: (404, body)})
    assert (run.exit, run.stderr) == (148, f"error: Unable to delete action 'h': {text}\n{HINT}")


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (413, "The request is too large.\n", "The request is too large."),
        (413, "", LOST.format(413)),
        (413, b"<html>413</html>", LOST.format(413)),
        (502, "bad gateway", LOST.format(502)),
    ],
)
def test_what_is_too_large_is_told_in_the_words_of_the_server(status: int, body: Any, text: str) -> None:
    run = wsk("action", "delete", "h", server={DELETE: (status, body)})
    assert run.stderr == f"error: Unable to delete action 'h': {text}\n{HINT}"


def test_a_server_that_does_not_answer_is_a_network_error() -> None:
    run = wsk("action", "invoke", "h", "--apihost", "http://127.0.0.1:1")
    url = "http://127.0.0.1:1/api/v1/namespaces/_/actions/h?blocking=false&result=false"
    assert (run.exit, run.stdout) == (3, "")
    assert run.stderr.startswith(f"error: Unable to invoke action 'h': Post \"{url}\": ")
    assert run.stderr.endswith(f"connection refused\n{HINT}")


def test_a_success_without_a_readable_body_is_a_success() -> None:
    run = wsk("action", "delete", "h", server={DELETE: (200, b"<p>fine</p>")})
    assert (run.exit, run.stdout, run.stderr) == (0, "ok: deleted action h\n", "")


@pytest.mark.parametrize("body", [{"error": "boom"}, {"response": {"status": "application error"}}])
def test_an_application_error_on_a_call_that_does_not_wait_is_not_passed_over_in_silence(body: Any) -> None:
    run = wsk("action", "invoke", "h", server={("POST", "actions/h"): (502, body)})
    assert (run.exit, run.stdout) == (246, "")
    assert run.stderr.startswith("error: Unable to invoke action 'h': ")


def test_a_failed_activation_in_a_successful_answer_is_an_error() -> None:
    answer = {"activationId": ACTIVATION_ID, "response": {"status": "application error", "success": False}}
    run = wsk("action", "invoke", "h", "-b", server={("POST", "actions/h"): (200, answer)})
    assert run.exit == 200
    assert run.stderr.startswith("error: Unable to invoke action 'h': The connection failed, or timed out.")


OPTIONAL_NAMESPACE = "An optional namespace is the only valid argument."


@pytest.mark.parametrize(
    ("command", "extra", "required"),
    [
        ("action create h f.js", "x", "An action name and code artifact are required."),
        ("action delete h", "x, y", "An action name is required."),
        ("action get h name", "x", "An action name is required."),
        ("action list /_", "x", OPTIONAL_NAMESPACE),
        ("activation poll h", "x", OPTIONAL_NAMESPACE),
        ("activation get i name", "x", "An activation ID is required."),
        ("activation logs i", "x", "An activation ID is required."),
        ("package create p", "x", "A package name is required."),
        ("package bind p q", "x", "A package name and binding name are required."),
        ("package list /_", "x", OPTIONAL_NAMESPACE),
        ("trigger fire t", "x", "A trigger name is required."),
        ("trigger get t name", "x", "A trigger name is required."),
        ("rule create r t a", "x", "A rule, trigger and action name are required."),
        ("rule get r name", "x", "A rule name is required."),
        ("namespace list", "x", "No arguments are required."),
    ],
)
def test_arguments_beyond_the_last_one_are_named_and_refused(command: str, extra: str, required: str) -> None:
    run = wsk(*command.split(), *extra.split(", "))
    assert (run.exit, run.stdout, run.lines) == (1, "", [])
    assert run.stderr == f"error: Invalid argument(s): {extra}. {required}\n{HINT}"


@pytest.mark.parametrize(
    ("command", "required"),
    [
        ("action create", "An action name and code artifact are required."),
        ("action update", "An action name is required. A code artifact is optional."),
        ("action get", "An action name is required."),
        ("activation get", "An activation ID is required."),
        ("package bind p", "A package name and binding name are required."),
        ("package delete", "A package name is required."),
        ("trigger update", "A trigger name is required."),
        ("rule update r t", "A rule, trigger and action name are required."),
        ("rule status", "A rule name is required."),
    ],
)
def test_missing_arguments_are_asked_for(command: str, required: str) -> None:
    run = wsk(*command.split())
    assert (run.exit, run.stdout, run.lines) == (1, "", [])
    assert run.stderr == f"error: Invalid argument(s). {required}\n{HINT}"


@pytest.mark.parametrize(
    ("command", "text", "has_hint"),
    [
        ("action get x", "Unable to get action 'x': ", True),
        ("action create x hello.js", "Unable to create action 'x': ", True),
        ("action update x hello.js", "Unable to create action 'x': ", True),
        ("action list", "Unable to obtain the list of actions for namespace 'default': ", True),
        ("action list /ns", "Unable to obtain the list of actions for namespace 'ns': ", True),
        ("activation list", "Unable to obtain the list of activations for namespace 'default': ", False),
        ("activation get x", "Unable to get activation 'x': ", False),
        ("activation logs x", "Unable to get logs for activation 'x': ", False),
        ("activation result x", "Unable to get result for activation 'x': ", False),
        ("package create x", "Unable to create package 'x': ", False),
        ("package update x", "Package update failed: ", False),
        ("package bind y x", "Binding creation failed: ", False),
        ("package get x", "Unable to get package 'x': ", False),
        ("package delete x", "Unable to delete package 'x': ", False),
        ("package list", "Unable to obtain the list of packages for namespace 'default': ", False),
        ("package refresh", "Package refresh for namespace 'default' failed: ", False),
        ("trigger create x", "Unable to create trigger 'x': ", False),
        ("trigger update x", "Unable to update trigger 'x': ", False),
        ("trigger get x", "Unable to get trigger 'x': ", False),
        ("trigger delete x", "Unable to get trigger 'x': ", False),
        ("trigger fire x", "Unable to fire trigger 'x': ", False),
        ("trigger list", "Unable to obtain the list of triggers for namespace 'default': ", False),
        ("rule create x t a", "Unable to create rule 'x': ", False),
        ("rule update x t a", "Unable to update rule 'x': ", False),
        ("rule enable x", "Unable to enable rule 'x': ", False),
        ("rule disable x", "Unable to disable rule 'x': ", False),
        ("rule delete x", "Unable to delete rule 'x': ", False),
        ("rule get x", "Unable to get rule 'x': ", True),
        ("rule status x", "Unable to get status of rule 'x': ", True),
        ("rule list", "Unable to obtain the list of rules for namespace 'default': ", False),
        ("namespace list", "Unable to obtain the list of available namespaces: ", False),
        ("namespace get", "Unable to obtain the list of entities for namespace 'default': ", False),
        ("list", "Unable to obtain the list of entities for namespace 'default': ", False),
    ],
)
def test_a_refusal_by_the_server_is_told_in_the_words_of_the_command(command: str, text: str, has_hint: bool) -> None:
    collection = f"{command.split()[0]}s"
    refusal = (403, {"error": "Not yours.", "code": "abc"})
    paths = [f"{collection}/x", collection, "/api/v1/namespaces/ns/actions", "/api/v1/namespaces", "actions"]
    paths += ["packages/refresh", "activations/x/logs", "activations/x/result"]
    server: Any = {(method, path): refusal for method in ("GET", "PUT", "POST", "DELETE") for path in paths}
    if command.startswith(("action update", "trigger update")):
        server["GET", f"{collection}/x"] = (200, {"name": "x"})
    run = wsk(*command.split(), server=server, files={"hello.js": "function main() {}"})
    assert (run.exit, run.stdout) == (147, "")
    assert run.stderr == f"error: {text}Not yours. (code abc)\n{HINT if has_hint else ''}"


@pytest.mark.parametrize("noun", ["package", "trigger", "rule"])
def test_a_list_of_a_namespace_refuses_the_name_of_an_entity(noun: str) -> None:
    run = wsk(noun, "list", "/ns/thing")
    text = "An entity name, 'thing', was provided instead of a namespace."
    form = "Valid namespaces are of the following format: /NAMESPACE."
    assert (run.exit, run.stderr, run.lines) == (1, f"error: {text} {form}\n{HINT}", [])


@pytest.mark.parametrize(
    ("noun", "code", "hint"),
    [("action", 2, HINT), ("package", 1, ""), ("trigger", 1, ""), ("rule", 1, ""), ("activation", 1, "")],
)
def test_a_field_that_does_not_exist_is_refused(noun: str, code: int, hint: str) -> None:
    run = wsk(noun, "get", "x", "colour")
    assert (run.exit, run.stderr) == (code, f"error: Invalid field filter 'colour'.\n{hint}")


def test_updating_a_trigger_on_a_server_that_is_down_is_a_network_error() -> None:
    run = wsk("trigger", "update", "t", "--apihost", "http://127.0.0.1:1")
    assert run.exit == 3
    assert "connection refused" in run.stderr
