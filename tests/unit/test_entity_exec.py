"""The forms of `exec`, and the kinds a platform knows."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.exec import Exec, MalformedExec, is_base64, parse_exec, resolve_components, sent_size_bytes
from sabayon.entity.manifest import Manifest, Runtime, manifest_of

MANIFEST = Manifest(
    {
        "java": (Runtime(kind="java:8", default=True, image="java", require_main=True),),
        "python": (
            Runtime(kind="python:3.9", image="python"),
            Runtime(kind="python:3.11", default=True, image="python"),
        ),
    }
)
ARCHIVE = base64.b64encode(b"PK\x03\x04 and so on").decode()


def shown(body: Any) -> Any:
    """How a body's `exec` is written on the wire."""
    return msgspec.json.decode(msgspec.json.encode(parse_exec(body, MANIFEST)))


def detail(body: Any) -> str:
    with pytest.raises(MalformedExec) as raised:
        parse_exec(body, MANIFEST)
    return str(raised.value)


def test_source_code_is_kept_as_it_was_sent() -> None:
    code = "\n def main(args): return {'ä': 1}\n"
    assert shown({"kind": "python:3.11", "code": code}) == {"binary": False, "code": code, "kind": "python:3.11"}


def test_an_archive_is_recognised_and_trimmed_whatever_the_client_says() -> None:
    body = {"kind": "python:3.11", "code": f" {ARCHIVE}\n", "binary": False, "main": "run", "init": 1}
    assert shown(body) == {"binary": True, "code": ARCHIVE, "kind": "python:3.11", "main": "run"}


@pytest.mark.parametrize(
    "exec_", [{"kind": "python:3.11"}, {"kind": "blackbox", "image": "i"}], ids=["managed", "blackbox"]
)
def test_an_archive_is_kept_in_canonical_base64(exec_: dict[str, str]) -> None:
    assert shown({**exec_, "code": "YWJ="})["code"] == "YWI="


def test_the_client_cannot_make_source_an_archive() -> None:
    assert shown({"kind": "python:3.11", "code": "", "binary": True})["binary"] is False


@pytest.mark.parametrize(
    ("kind", "resolved"),
    [
        ("python:default", "python:3.11"),
        (" Python:3.9\n", "python:3.9"),
        ("PYTHON:DEFAULT", "python:3.11"),
    ],
)
def test_a_kind_is_trimmed_lowered_and_resolved(kind: str, resolved: str) -> None:
    assert shown({"kind": kind, "code": ""})["kind"] == resolved


@pytest.mark.parametrize(
    "kind", ["python", "", "python:", "python:2", "cobol:85", "default", ":default", "python:3.11:default"]
)
def test_an_unknown_kind_is_refused_with_all_that_are_known(kind: str) -> None:
    known = "'java:8', 'python:3.9', 'python:3.11', 'sequence', 'blackbox'"
    text = f"The specified runtime '{kind}' is not supported by this platform. Valid values are: {known}"
    assert detail({"kind": kind, "code": ""}) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "JSON object expected"),
        ([], "JSON object expected"),
        ("code", "JSON object expected"),
        ({}, "'kind' must be a string defined in 'exec'"),
        ({"kind": 1}, "'kind' must be a string defined in 'exec'"),
        (
            {"kind": "Python:default"},
            "'code' must be a string or attachment object defined in 'exec' for 'python:default' actions",
        ),
        (
            {"kind": "python:3.9", "code": None},
            "'code' must be a string or attachment object defined in 'exec' for 'python:3.9' actions",
        ),
        ({"kind": "java:8", "code": ""}, "'main' must be a string defined in 'exec' for 'java:8' actions"),
        (
            {"kind": "python:3.9", "code": "", "main": 1},
            "if defined, 'main' be a string in 'exec' for 'python:3.9' actions",
        ),
        ({"kind": "blackbox"}, "'image' must be a string defined in 'exec' for 'blackbox' actions"),
        ({"kind": "blackbox", "image": "A B"}, "could not parse image name"),
        ({"kind": "blackbox", "image": ""}, "could not parse image name"),
        ({"kind": "blackbox", "image": "a:b:c:d"}, "could not parse image name"),
        ({"kind": "sequence"}, "'components' must be defined for sequence kind"),
        ({"kind": "sequence", "components": "/ns/a"}, "'components' must be an array"),
        ({"kind": "sequence", "components": {}}, "'components' must be an array"),
        ({"kind": "sequence", "components": ["/ns/a", 1]}, "fully qualified name malformed"),
    ],
)
def test_what_is_wrong_with_exec_is_said(body: Any, text: str) -> None:
    assert detail(body) == text


def test_a_component_needs_its_namespace() -> None:
    assert "must contain at least the namespace" in detail({"kind": "sequence", "components": ["a"]})


def test_a_main_function_satisfies_a_runtime_that_requires_one() -> None:
    assert shown({"kind": "java:8", "code": "", "main": "Main"})["main"] == "Main"


def test_the_components_of_a_sequence_are_shown_with_a_leading_slash() -> None:
    components = ["ns/a", "/ns/pkg/b", "/_/c", {"path": "_/pkg", "name": "d"}]
    body = {"kind": "Sequence", "components": components, "code": "ignored", "main": 5}
    assert shown(body) == {"components": ["/ns/a", "/ns/pkg/b", "/_/c", "/_/pkg/d"], "kind": "sequence"}


def test_components_under_the_default_namespace_move_to_the_callers() -> None:
    exec_ = parse_exec({"kind": "sequence", "components": ["/_/a", "/other/b"]}, MANIFEST)
    assert resolve_components(exec_, "ns").components == ("/ns/a", "/other/b")
    assert [name.namespace for name in resolve_components(exec_, "ns").component_names()] == ["ns", "other"]


def test_code_has_no_components() -> None:
    exec_ = parse_exec({"kind": "python:3.11", "code": ""}, MANIFEST)
    assert exec_.component_names() == []
    assert resolve_components(exec_, "ns") == exec_
    assert (exec_.is_sequence, exec_.is_binary) == (False, False)


@pytest.mark.parametrize(
    ("sent", "image"),
    [
        ("user/image", "user/image"),
        (" image ", "image"),
        ("image:tag", "image:tag"),
        ("registry.example:5000/a/b_c/image:1.0-x", "registry.example:5000/a/b_c/image:1.0-x"),
        ("localhost/image", "localhost/image"),
        (f"user/image:tag@sha256:{'a' * 64}", "user/image:tag"),
    ],
)
def test_an_image_is_shown_without_its_digest(sent: str, image: str) -> None:
    assert shown({"kind": "blackbox", "image": sent}) == {"binary": False, "image": image, "kind": "blackbox"}


@pytest.mark.parametrize("code", ["", "  \n", None, 5])
def test_blank_code_of_a_blackbox_is_dropped(code: Any) -> None:
    assert "code" not in shown({"kind": "blackbox", "image": "i", "code": code})


@pytest.mark.parametrize(("code", "binary"), [("#!/bin/sh\n", False), (ARCHIVE, True)])
def test_code_of_a_blackbox_is_kept(code: str, binary: bool) -> None:
    body = {"kind": "blackbox", "image": "i", "code": code, "main": "m"}
    assert shown(body) == {"binary": binary, "code": code, "image": "i", "kind": "blackbox", "main": "m"}


@pytest.mark.parametrize("text", ["abcd", " abcd\n", "ab==", "abc=", "AZaz09+/"])
def test_what_could_be_base64_counts_as_an_archive(text: str) -> None:
    assert is_base64(text)


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "a===", "====", "ab=c", "ab==abcd", "abc-", "abc_", "ab cd", "ab\ncd12", "äbcd"]
)
def test_what_is_not_strictly_base64_is_source(text: str) -> None:
    assert not is_base64(text)


@given(st.binary(min_size=1))
def test_every_encoded_archive_is_recognised(content: bytes) -> None:
    assert is_base64(base64.b64encode(content).decode())


@given(st.text("abAZ09+/= \n-", max_size=12))
def test_what_counts_as_base64_can_be_decoded_strictly(text: str) -> None:
    if is_base64(text):
        assert base64.b64decode(text.strip(), validate=True)
    else:
        trimmed = text.strip()
        assert len(trimmed) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", trimmed)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"kind": "python:3.11", "code": "äbc", "main": "main"}, 4 + 4),
        ({"kind": "python:3.11", "code": f" {ARCHIVE} "}, len(ARCHIVE) + 2),
        ({"kind": "python:3.11", "code": "abc", "image": "user/image"}, 3),
        ({"kind": "python:3.11", "code": "abc", "components": ["/ns/a"]}, 3),
        ({"kind": "blackbox", "code": "x", "image": "user/image"}, 1 + 10),
        ({"kind": "blackbox", "image": "user/image", "code": 5}, 10),
        ({"kind": "sequence", "components": ["/ns/a", "ns//pkg/b-c"]}, 4 + 10),
        ({"kind": "sequence", "components": [{"path": "ns/pkg", "name": "b"}], "code": "abc"}, 8),
    ],
)
def test_the_size_counts_what_its_kind_has_in_bytes_as_they_were_sent(body: Any, size: int) -> None:
    assert sent_size_bytes(parse_exec(body, MANIFEST), body) == size


def test_the_newest_version_of_a_family_is_its_default() -> None:
    manifest = manifest_of(["python:3.9", "python:3.11", "python:3.10", "nodejs:20"])
    assert {r.kind for r in manifest if r.default} == {"python:3.11", "nodejs:20"}
    assert manifest.kinds() == ["nodejs:20", "python:3.9", "python:3.10", "python:3.11", "sequence", "blackbox"]
    resolved = manifest.find("python:default")
    assert resolved is not None and resolved.kind == "python:3.11"


def test_code_is_unset_when_it_was_not_read() -> None:
    assert msgspec.json.encode(Exec(kind="python:3.11", binary=False)) == b'{"binary":false,"kind":"python:3.11"}'
