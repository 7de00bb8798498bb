"""How results are printed: JSON, the order and choice of an entity's fields, colours, machine-readable lists."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import WSK, wsk

INVOKE = ("POST", "actions/h")


def printed(stdout: str) -> Any:
    """The JSON that follows the first line of an output."""
    return json.loads(stdout.partition("\n")[2])


def scrambled(entity: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(entity.items(), key=lambda item: item[0][::-1]))


@pytest.mark.parametrize(
    ("result", "stdout"),
    [
        ('{"b":{},"a":[],"Z":1}', '{\n    "Z": 1,\n    "a": [],\n    "b": {}\n}\n'),
        (
            '{"n":[1.0,12345678901234567890,1e3,-0.50]}',
            '{\n    "n": [\n        1.0,\n        12345678901234567890,\n        1e3,\n        -0.50\n    ]\n}\n',
        ),
        ('{"o":{"z":null,"y":true}}', '{\n    "o": {\n        "y": true,\n        "z": null\n    }\n}\n'),
        ('{"t":"<a href=\\"x\\">&é"}', '{\n    "t": "<a href=\\"x\\">&é"\n}\n'),
        ('{"t":"\\u2028\\u2029\\n"}', '{\n    "t": "\\u2028\\u2029\\n"\n}\n'),
        ('["a",1]', '[\n    "a",\n    1\n]\n'),
        ("[]", "[]\n"),
        ("{}", "{}\n"),
        ('"text"', '"text"\n'),
        ("17", "17\n"),
    ],
)
def test_a_result_is_printed_sorted_indented_and_with_its_numbers_untouched(result: str, stdout: str) -> None:
    run = wsk("action", "invoke", "h", "-r", server={INVOKE: (200, result.encode())})
    assert (run.exit, run.stdout, run.stderr) == (0, stdout, "")


ENTITIES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "action",
        "actions",
        {
            "namespace": "guest",
            "name": "x",
            "version": "0.0.1",
            "exec": {"kind": "nodejs:20", "code": "c", "image": "i", "main": "m", "binary": False},
            "annotations": [{"key": "k", "value": 1}],
            "parameters": [{"key": "k", "value": {"z": 1, "a": 2}}],
            "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1},
            "publish": False,
            "updated": 1700000000000,
        },
    ),
    (
        "package",
        "packages",
        {
            "namespace": "guest",
            "name": "x",
            "version": "0.0.1",
            "publish": True,
            "annotations": [{"key": "k", "value": 1}],
            "parameters": [{"key": "k", "value": 1}],
            "binding": {"namespace": "ns", "name": "p"},
            "actions": [{"name": "a", "version": "0.0.1"}],
            "feeds": [{"name": "f", "version": "0.0.1"}],
            "updated": 1700000000000,
        },
    ),
    (
        "trigger",
        "triggers",
        {
            "namespace": "guest",
            "name": "x",
            "version": "0.0.1",
            "annotations": [{"key": "k", "value": 1}],
            "parameters": [{"key": "k", "value": 1}],
            "limits": {"timeout": 1},
            "publish": False,
            "rules": {"guest/r": {"status": "active", "action": {"name": "a", "path": "guest"}}},
            "updated": 1700000000000,
        },
    ),
    (
        "rule",
        "rules",
        {
            "namespace": "guest",
            "name": "x",
            "version": "0.0.1",
            "annotations": [{"key": "k", "value": 1}],
            "status": "active",
            "trigger": {"name": "t", "path": "guest"},
            "action": {"name": "a", "path": "guest"},
            "publish": False,
            "updated": 1700000000000,
        },
    ),
    (
        "activation",
        "activations",
        {
            "namespace": "guest",
            "name": "x",
            "version": "0.0.1",
            "subject": "guest",
            "activationId": "x",
            "cause": "c",
            "start": 1,
            "end": 3,
            "duration": 2,
            "statusCode": 1,
            "response": {
                "status": "application error",
                "statusCode": 0,
                "success": False,
                "result": {"a": 1, "z": 2},
            },
            "logs": ["l"],
            "annotations": [{"key": "k", "value": 1}],
            "publish": False,
        },
    ),
]


@pytest.mark.parametrize(("noun", "collection", "entity"), ENTITIES, ids=[noun for noun, _, _ in ENTITIES])
def test_an_entity_is_printed_in_the_order_of_its_kind(noun: str, collection: str, entity: dict[str, Any]) -> None:
    answer = scrambled(entity) | {"unheardOf": 1}
    if "exec" in answer:
        answer["exec"] = scrambled(answer["exec"])
        answer["limits"] = scrambled(answer["limits"]) | {"unheardOf": 1}
    run = wsk(noun, "get", "x", server={("GET", f"{collection}/x"): (200, answer)})
    head, _, _ = run.stdout.partition("\n")
    assert (run.exit, head) == (0, f"ok: got {noun} x")
    shown = printed(run.stdout)
    assert shown.keys() == entity.keys()
    assert list(shown) == list(entity)
    if noun == "action":
        assert list(shown["exec"]) == ["kind", "code", "image", "main", "binary"]
        assert list(shown["limits"]) == ["timeout", "memory", "logs", "concurrency"]
        assert list(shown["parameters"][0]["value"]) == ["a", "z"]
    if noun == "activation":
        assert list(shown["response"]) == ["status", "statusCode", "success", "result"]


@pytest.mark.parametrize(
    ("noun", "collection", "answer", "shown"),
    [
        (
            "action",
            "actions",
            {"name": "x", "parameters": [], "annotations": [], "updated": 0, "publish": False, "version": ""},
            {"name": "x", "publish": False},
        ),
        ("package", "packages", {"name": "x", "binding": {}, "feeds": []}, {"name": "x", "binding": {}}),
        ("trigger", "triggers", {"namespace": "n", "name": ""}, {"namespace": "n", "name": ""}),
        ("rule", "rules", {"name": "x"}, {"name": "x", "status": "", "trigger": None, "action": None}),
    ],
)
def test_empty_fields_of_an_entity_are_left_out(
    noun: str, collection: str, answer: dict[str, Any], shown: dict[str, Any]
) -> None:
    run = wsk(noun, "get", "x", server={("GET", f"{collection}/x"): (200, answer)})
    assert printed(run.stdout) == shown


def test_an_activation_shows_its_fields_even_when_they_are_empty() -> None:
    answer = {"activationId": "x", "name": "h", "response": {"status": "success", "success": True}}
    shown = printed(wsk("activation", "get", "x", server={("GET", "activations/x"): (200, answer)}).stdout)
    assert shown["start"] == shown["end"] == shown["duration"] == shown["statusCode"] == 0
    assert shown["logs"] is None
    assert shown["annotations"] is None
    assert shown["namespace"] == shown["version"] == shown["subject"] == ""
    assert {"cause", "publish"}.isdisjoint(shown)
    assert shown["response"] == {"status": "success", "statusCode": 0, "success": True}


def test_a_terminal_shows_success_in_green_and_names_in_bold() -> None:
    run = wsk("action", "delete", "h", on_a_terminal=True)
    assert run.stdout == "\033[32mok:\033[0m deleted action \033[1mh\033[0m\n"


def test_a_terminal_shows_errors_in_red() -> None:
    run = wsk("action", "delete", "h", on_a_terminal=True, server={("DELETE", "actions/h"): (404, None)})
    assert run.stderr.startswith("\033[31merror: \033[0mUnable to delete action 'h': ")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_declined(env: dict[str, str]) -> None:
    assert wsk("action", "delete", "h", on_a_terminal=True, env=env).stdout == "ok: deleted action h\n"


def test_a_percent_sign_in_a_name_is_printed_as_it_is() -> None:
    run = wsk("action", "invoke", "100%d")
    assert run.stdout == f"ok: invoked /_/100%d with id {ACTIVATION_ID}\n"


LISTED = {
    "actions": [{"namespace": "guest", "name": "a", "version": "0.0.1", "limits": {"concurrency": 1, "extra": 2}}],
    "activations": [{"namespace": "guest", "name": "a", "activationId": ACTIVATION_ID, "start": 1, "end": 2}],
    "packages": [{"namespace": "guest", "name": "p", "publish": False}],
    "triggers": [{"namespace": "guest", "name": "t"}],
    "rules": [{"namespace": "guest", "name": "r", "status": "active"}],
}


@pytest.mark.parametrize("noun", ["action", "activation", "package", "trigger", "rule"])
def test_a_list_is_to_be_had_as_json_exactly_as_the_server_gave_it(noun: str) -> None:
    listed = LISTED[f"{noun}s"]
    run = wsk(noun, "list", "--output", "json", server={("GET", f"{noun}s"): (200, listed)})
    assert (run.exit, run.stderr) == (0, "")
    assert json.loads(run.stdout) == listed
    assert run.stdout.startswith("[\n    {\n        ")


def test_an_empty_list_as_json_is_an_empty_array() -> None:
    assert wsk("action", "list", "--output", "json").stdout == "[]\n"


@pytest.mark.parametrize("command", [["action", "list"], ["activation", "list"], ["namespace", "list"], ["list"]])
def test_an_output_format_that_does_not_exist_is_refused_before_anything_is_asked(command: list[str]) -> None:
    run = wsk(*command, "--output", "xml")
    assert (run.exit, run.stdout, run.requests) == (1, "", [])
    assert "Supported output format are table|json" in run.stderr


def test_a_list_is_a_table_unless_asked_otherwise() -> None:
    server = {("GET", "packages"): (200, LISTED["packages"])}
    table = wsk("package", "list", "--output", "table", server=server).stdout
    assert table == wsk("package", "list", server=server).stdout
    assert table.startswith("packages\n/guest/p")


def test_output_that_finds_no_room_is_complained_of_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([WSK, "help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (1, "error: No space left on device\n")
