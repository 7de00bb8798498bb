"""Names of namespaces, packages and entities: what may be one, and how they are read from bodies."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.names import (
    EntityName,
    MalformedName,
    check_activation_id,
    check_name,
    check_namespace,
    is_segment,
    name_from_wire,
    package_name,
    parse_name,
)
from sabayon.errors import Rejection

NOT_QUALIFIED = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name "
    "of the entity."
)
MALFORMED = "fully qualified name malformed"
GRAMMAR = re.compile(r"[a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_@ .&-]{0,254}[a-zA-Z0-9_@.&-]")
SEGMENTS = st.from_regex(GRAMMAR, fullmatch=True).filter(lambda text: len(text) <= 256)


def refusal(check: Any, text: str) -> tuple[int, str]:
    with pytest.raises(Rejection) as raised:
        check(text)
    return raised.value.status, raised.value.text


@pytest.mark.parametrize("text", ["a", "_", "0", "0.0.0", "_ _", "a@b.c&d", "a b", "a.0", "a-", "a..", "a" * 256])
def test_what_may_be_a_name(text: str) -> None:
    assert check_name(text) == check_namespace(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            " x",
            "x ",
            "-a",
            "&a",
            "@a",
            ".a",
            "a=b",
            "a?b",
            "x#x",
            "a()b",
            "a+b",
            "$a",
            "a/b",
            "a\n",
            "\n",
            "a\tb",
        ),
        *("é", "aé", "ａ", "a٣", "ß", "a\u00a0b", "a\x00", "😀", "a" * 255 + " "),
    ],
)
def test_what_may_not_be_a_name(text: str) -> None:
    assert refusal(check_name, text) == (400, "The name of the entity contains illegal characters.")
    assert refusal(check_namespace, text) == (400, "The namespace contains illegal characters.")


@pytest.mark.parametrize("text", ["a" * 257, "$" * 257, "é" * 257])
def test_a_name_that_is_too_long_is_refused_for_its_length_first(text: str) -> None:
    assert refusal(check_name, text) == (400, "Name segement longer than allowed: 257 > 256.")
    assert refusal(check_namespace, text) == (400, "Namespace longer than allowed: 257 > 256.")


@given(st.text(max_size=8) | st.text("a_0 @.&-\n", max_size=8) | st.text("a b", min_size=254, max_size=258))
def test_a_name_is_what_the_grammar_says(text: str) -> None:
    assert is_segment(text) is (GRAMMAR.fullmatch(text) is not None)


def test_an_activation_id_is_32_lower_case_hexadecimal_digits() -> None:
    assert check_activation_id("0123456789abcdef" * 2) == "0123456789abcdef" * 2


@pytest.mark.parametrize("length", [0, 31, 33])
def test_an_activation_id_of_another_length_is_refused(length: int) -> None:
    assert refusal(check_activation_id, "a" * length) == (400, f"Activation id length is {length} but must be 32.")


@pytest.mark.parametrize("last", ["A", "g", "-", "٣", "\n", " "])
def test_an_activation_id_with_another_character_is_refused(last: str) -> None:
    assert refusal(check_activation_id, "a" * 31 + last) == (400, "The activation id is not valid.")


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("ns/a", "ns", "a"),
        ("/ns/a", "ns", "a"),
        ("/ns/pkg/a", "ns/pkg", "a"),
        ("//ns//pkg///a/", "ns/pkg", "a"),
        ("/_/a", "_", "a"),
        ("/n s/a b", "n s", "a b"),
    ],
)
def test_a_qualified_name_is_read_with_or_without_its_slashes(text: str, path: str, name: str) -> None:
    assert parse_name(text) == EntityName(name, path)


@pytest.mark.parametrize("text", ["", "/", "a", "/a", "a/", "///a//"])
def test_a_name_without_its_namespace_is_refused(text: str) -> None:
    with pytest.raises(MalformedName, match=re.escape(NOT_QUALIFIED)):
        parse_name(text)


@pytest.mark.parametrize("text", ["a/b/c/d", "ns/ a", "ns/a ", "ns/ä", "ns/$/a", "$/a", f"ns/{'a' * 257}", "ns/a\n"])
def test_a_qualified_name_with_a_wrong_segment_is_refused(text: str) -> None:
    with pytest.raises(MalformedName, match=MALFORMED):
        parse_name(text)


def test_a_name_in_a_body_may_be_an_object() -> None:
    assert name_from_wire({"path": "ns/pkg", "name": "a", "version": "1.0.0"}) == EntityName("a", "ns/pkg")


@pytest.mark.parametrize("value", [None, 1, True, [], {}, {"path": "ns"}, {"name": "a"}, {"path": 1, "name": "a"}])
def test_a_name_in_a_body_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(MalformedName, match=MALFORMED):
        name_from_wire(value)


@given(namespace=SEGMENTS, package=st.none() | SEGMENTS, name=SEGMENTS)
def test_a_name_survives_being_written_and_read(namespace: str, package: str | None, name: str) -> None:
    written = EntityName(name, f"{namespace}/{package}" if package else namespace)
    assert parse_name(written.absolute) == parse_name(written.id) == parse_name(str(written)) == written
    assert (written.namespace, written.package) == (namespace, package)


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("/_/a", "/ns/a"),
        ("/_/pkg/a", "/ns/pkg/a"),
        ("/other/a", "/other/a"),
        ("/_x/_/a", "/_x/_/a"),
        ("/_/_/_", "/ns/_/_"),
    ],
)
def test_only_an_underscore_alone_stands_for_the_namespace_of_the_caller(text: str, resolved: str) -> None:
    assert parse_name(text).resolve("ns").absolute == resolved


def test_a_package_is_an_entity_of_its_namespace() -> None:
    assert package_name("ns", "pkg").id == "ns/pkg"
