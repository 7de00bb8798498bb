"""`wsk action create` and `update`: from a local file and flags to one PUT."""

import base64
from typing import Any

import pytest

from tests.unit.cli.terminal import HINT, wsk

CODE = "function main() {}"
HELLO = {"hello.js": CODE}
WEB = [("web-export", True), ("raw-http", False), ("final", True)]
ANNOTATED = [{"key": "provide-api-key", "value": True}, {"key": "require-whisk-auth", "value": 17}]


def pairs(entries: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(entry["key"], entry["value"]) for entry in entries]


def existing(**fields: Any) -> dict[tuple[str, str], Any]:
    return {("GET", "actions/h"): (200, {"namespace": "guest", "name": "h", "version": "0.0.1"} | fields)}


ABSENT: dict[tuple[str, str], Any] = {("GET", "actions/h"): (404, {"error": "Not found.", "code": "abc"})}


def test_creating_an_action_sends_its_code() -> None:
    run = wsk("action", "create", "h", "hello.js", files=HELLO)
    assert run.lines == ["PUT actions/h?overwrite=false"]
    assert run.body == {"namespace": "_", "name": "h", "exec": {"kind": "nodejs:default", "code": CODE}}
    assert (run.exit, run.stdout, run.stderr) == (0, "ok: created action h\n", "")


@pytest.mark.parametrize(
    ("file", "flags", "execution"),
    [
        ("h.py", [], {"kind": "python:default", "code": "text"}),
        ("h.swift", [], {"kind": "swift:default", "code": "text"}),
        ("h.php", [], {"kind": "php:default", "code": "text"}),
        ("h.rb", [], {"kind": "ruby:default", "code": "text"}),
        ("h.rs", [], {"kind": "rust:default", "code": "text"}),
        ("h.go", [], {"kind": "go:default", "code": "text"}),
        ("a.b.py", [], {"kind": "python:default", "code": "text"}),
        ("h.jar", ["--main", "Hello"], {"kind": "java:default", "main": "Hello", "code": "dGV4dA=="}),
        ("h.zip", ["--kind", "python:3.11"], {"kind": "python:3.11", "code": "dGV4dA=="}),
        ("h.py", ["--kind", "nodejs:20", "--main", "go"], {"kind": "nodejs:20", "main": "go", "code": "text"}),
        ("h.sh", ["--native"], {"kind": "blackbox", "image": "openwhisk/dockerskeleton", "code": "text"}),
        ("h.zip", ["--docker", "me/img"], {"kind": "blackbox", "image": "me/img", "code": "dGV4dA=="}),
        ("h", ["--kind", "go:1.20"], {"kind": "go:1.20", "code": "text"}),
    ],
)
def test_the_kind_comes_from_the_flags_or_the_extension(file: str, flags: list[str], execution: dict[str, str]) -> None:
    assert wsk("action", "create", "h", file, *flags, files={file: "text"}).body["exec"] == execution


def test_an_image_alone_makes_an_action() -> None:
    run = wsk("action", "create", "h", "--docker", "me/img")
    assert run.body["exec"] == {"kind": "blackbox", "image": "me/img"}


def test_an_archive_travels_in_base64() -> None:
    content = bytes(range(256))
    run = wsk("action", "create", "h", "h.zip", "--kind", "python:3", files={"h.zip": content})
    assert base64.b64decode(run.body["exec"]["code"]) == content


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["h", "no.js"], 2, "File 'no.js' is not a valid file or it does not exist"),
        (["h", "h.cs"], 2, "'.cs' is not a supported action runtime"),
        (
            ["h", "h.zip"],
            2,
            "creating an action from a .zip artifact requires specifying the action kind explicitly",
        ),
        (["h"], 2, "An action name and code artifact are required."),
        (
            ["h", "h.zip", "--kind", "java"],
            2,
            "Java actions require --main to specify the fully-qualified name of the main class",
        ),
        (
            ["h", "hello.js", "--kind", "nodejs:20", "--docker", "i"],
            149,
            "Cannot specify both --kind and --docker at the same time.",
        ),
        (
            ["h", "hello.js", "--web", "maybe"],
            2,
            "Invalid argument 'maybe' for --web flag. Valid input consist of 'yes', 'true', 'raw', 'false', or 'no'.",
        ),
        (
            ["h", "hello.js", "--web-secure", "s"],
            2,
            "The --web-secure option is only valid when the --web option is enabled.",
        ),
        (
            ["h", "hello.js", "--web", "no", "--web-secure", "s"],
            2,
            "The --web-secure option is only valid when the --web option is enabled.",
        ),
    ],
)
def test_an_action_that_cannot_be_made_is_refused_before_anything_is_sent(
    args: list[str], code: int, text: str
) -> None:
    run = wsk("action", "create", *args, files=HELLO | {"h.cs": "", "h.zip": ""})
    assert (run.exit, run.stderr, run.lines) == (code, f"error: Invalid argument(s). {text}\n{HINT}", [])


def test_limits_are_sent_only_when_given() -> None:
    assert wsk("action", "update", "h", "-m", "128").body["limits"] == {"memory": 128}


def test_a_copy_takes_over_code_parameters_and_annotations() -> None:
    source = {
        "name": "src",
        "exec": {"kind": "python:3.11", "code": CODE, "binary": False},
        "parameters": [{"key": "a", "value": 1}],
        "annotations": [{"key": "b", "value": 2}],
    }
    server: Any = {("GET", "actions/src"): (200, source)}
    run = wsk("action", "create", "h", "src", "--copy", "-p", "x", "9", "-a", "y", "8", server=server)
    assert run.lines == ["GET actions/src?code=true", "PUT actions/h?overwrite=false"]
    assert run.body["exec"]["kind"] == "python:3.11"
    assert run.body["exec"]["code"] == CODE
    assert pairs(run.body["parameters"]) == [("x", 9), ("a", 1)]
    assert pairs(run.body["annotations"])[:2] == [("y", 8), ("b", 2)]


def test_a_copy_of_nothing_is_an_error() -> None:
    run = wsk("action", "create", "c", "--copy")
    assert run.exit in (1, 2)
    assert run.stderr.startswith("error: ")
    assert run.lines == []
    missing: Any = {("GET", "actions/s"): (404, {"error": "Not found.", "code": "abc"})}
    run = wsk("action", "create", "c", "s", "--copy", server=missing)
    assert (run.exit, run.lines) == (148, ["GET actions/s?code=true"])
    assert run.stderr == f"error: Invalid argument(s). Unable to get action 's': Not found. (code abc)\n{HINT}"


@pytest.mark.parametrize(
    ("mode", "annotations"),
    [
        ("true", WEB),
        ("YES", WEB),
        ("raw", [("web-export", True), ("raw-http", True), ("final", True)]),
        ("no", [("web-export", False), ("raw-http", False), ("final", False)]),
    ],
)
def test_the_web_mode_becomes_three_annotations(mode: str, annotations: list[tuple[str, bool]]) -> None:
    run = wsk("action", "create", "h", "hello.js", "--web", mode, "-a", "final", "x", files=HELLO)
    assert pairs(run.body["annotations"]) == annotations


def test_a_web_action_is_secured_by_a_secret() -> None:
    run = wsk("action", "create", "h", "hello.js", "--web", "true", "--web-secure", "42", files=HELLO)
    assert ("require-whisk-auth", "42") in pairs(run.body["annotations"])


def test_a_secret_of_true_is_a_random_integer() -> None:
    def secret() -> Any:
        run = wsk("action", "create", "h", "hello.js", "--web", "yes", "--web-secure", "true", files=HELLO)
        return dict(pairs(run.body["annotations"]))["require-whisk-auth"]

    first, second = secret(), secret()
    assert type(first) is int
    assert 0 <= first < 2**53
    assert first != second


def test_an_update_looks_first_and_sends_only_what_is_given() -> None:
    run = wsk("action", "update", "h", "-p", "a", "1", server=existing(annotations=ANNOTATED))
    assert run.lines == ["GET actions/h?code=false", "PUT actions/h?overwrite=true"]
    assert run.body == {"namespace": "_", "name": "h", "parameters": [{"key": "a", "value": 1}]}
    assert (run.exit, run.stdout) == (0, "ok: updated action h\n")


def test_an_update_creates_what_is_not_there() -> None:
    run = wsk("action", "update", "h", "hello.js", files=HELLO, server=ABSENT)
    assert (run.exit, run.stdout) == (0, "ok: updated action h\n")
    assert run.lines == ["GET actions/h?code=false", "PUT actions/h?overwrite=true"]


@pytest.mark.parametrize(
    "wrong", [["nowhere.js"], ["--web", "perhaps"], ["-p", "a", "1", "hello.js", "--kind", "x", "--docker", "y"]]
)
def test_an_update_with_wrong_arguments_asks_nothing(wrong: list[str]) -> None:
    run = wsk("action", "update", "h", *wrong, files=HELLO, server=existing())
    assert run.exit != 0
    assert run.requests == []


def test_an_update_stops_when_looking_fails() -> None:
    server: Any = {("GET", "actions/h"): (403, {"error": "No.", "code": "abc"})}
    run = wsk("action", "update", "h", "hello.js", files=HELLO, server=server)
    assert (run.exit, run.lines) == (147, ["GET actions/h?code=false"])
    assert run.stderr == f"error: Invalid argument(s). Unable to get action 'h': No. (code abc)\n{HINT}"


def test_making_an_action_a_web_action_keeps_its_annotations() -> None:
    run = wsk("action", "update", "h", "--web", "true", server=existing(annotations=ANNOTATED))
    assert dict(pairs(run.body["annotations"])) == dict(pairs(ANNOTATED)) | dict(WEB)


def test_new_annotations_replace_all_but_the_secret() -> None:
    run = wsk("action", "update", "h", "--web", "true", "-a", "k", "v", server=existing(annotations=ANNOTATED))
    assert dict(pairs(run.body["annotations"])) == {"k": "v", "require-whisk-auth": 17} | dict(WEB)


def test_an_integer_secret_is_kept_when_security_is_asked_for_again() -> None:
    secured = [*ANNOTATED, {"key": "web-export", "value": True}]
    run = wsk("action", "update", "h", "--web-secure", "true", server=existing(annotations=secured))
    assert dict(pairs(run.body["annotations"]))["require-whisk-auth"] == 17


def test_security_is_taken_away_by_deleting_its_annotation() -> None:
    secured = [*ANNOTATED, {"key": "web-export", "value": True}]
    run = wsk("action", "update", "h", "--web-secure", "false", server=existing(annotations=secured))
    assert run.body["delAnnotations"] == ["require-whisk-auth"]
    assert "require-whisk-auth" not in dict(pairs(run.body["annotations"]))


def test_annotations_are_deleted_by_name() -> None:
    run = wsk("action", "update", "h", "--del-annotation", "k1", "--del-annotation", "k,2", server=existing())
    assert run.body == {"namespace": "_", "name": "h", "delAnnotations": ["k1", "k,2"]}


@pytest.mark.parametrize("flag", ["--kind", "--main"])
def test_a_flag_that_has_no_effect_without_code_is_warned_about(flag: str) -> None:
    run = wsk("action", "update", "h", flag, "nodejs:20", server=existing())
    assert (run.exit, run.stdout) == (0, "ok: updated action h\n")
    assert flag in run.stderr
    assert "exec" not in run.body
