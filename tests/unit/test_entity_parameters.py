"""Parameters and annotations: how they are read, merged, measured and handed over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sabayon.entity.parameters import (
    MalformedParameters,
    Parameter,
    compact,
    environment_value,
    final_keys,
    find,
    has,
    init_keys,
    is_array,
    is_object,
    is_true,
    is_truthy,
    merge,
    parameter,
    parse_parameters,
    size_bytes,
    without,
)

ENTRIES = st.lists(st.builds(parameter, st.sampled_from("abcd"), st.integers(0, 99)), max_size=6)


def values(entries: Any) -> dict[str, Any]:
    return {entry.key: msgspec.json.decode(entry.value) for entry in entries}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('{"key":"k","value":1}', '{"key":"k","value":1}'),
        ('{"key":"k","value":null}', '{"key":"k","value":null}'),
        ('{"key":"","value":""}', '{"key":"","value":""}'),
        ('{"key":"k","value":1,"init":false}', '{"key":"k","value":1}'),
        ('{"key":"k","value":1,"init":true}', '{"init":true,"key":"k","value":1}'),
        ('{"key":"k","value":1,"init":true,"encryption":null}', '{"init":true,"key":"k","value":1}'),
        ('{"key":"k","value":"x","encryption":"aes"}', '{"encryption":"aes","key":"k","value":"x"}'),
        ('{"key":"k","value":1,"color":"red"}', '{"key":"k","value":1}'),
        ('{ "key" : "k", "value" : { "a" : [ 1.50, "b c" ] } }', '{"key":"k","value":{"a":[1.50,"b c"]}}'),
        ('{"key":"k","value":12345678901234567890123}', '{"key":"k","value":12345678901234567890123}'),
    ],
)
def test_an_entry_is_shown_with_sorted_keys_and_its_value_as_it_was(sent: str, shown: str) -> None:
    assert msgspec.json.encode(parse_parameters(f"[ {sent} ]".encode())) == f"[{shown}]".encode()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"k":1}',
        "null",
        "1",
        '"text"',
        "[1]",
        "[null]",
        "[[]]",
        "[{}]",
        '[{"key":"k"}]',
        '[{"value":1}]',
        '[{"key":1,"value":1}]',
        '[{"key":null,"value":1}]',
        '[{"key":"k","value":1,"init":"true"}]',
        '[{"key":"k","value":1,"init":null}]',
        '[{"key":"k","value":1,"init":0}]',
        '[{"key":"k","value":1,"encryption":null}]',
        '[{"key":"k","value":1,"encryption":5}]',
        '[{"key":"k","value":1},{"key":"l"}]',
    ],
)
def test_an_array_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(MalformedParameters, match=r"^parameters malformed!$"):
        parse_parameters(text.encode())


def test_of_a_repeated_key_the_last_entry_counts() -> None:
    text = b'[{"key":"a","value":1},{"key":"b","value":2},{"key":"a","value":3,"init":true}]'
    entries = parse_parameters(text)
    assert values(entries) == {"a": 3, "b": 2}
    assert len(entries) == 2
    assert init_keys(entries) == {"a"}


def test_merging_lets_the_higher_entries_win_key_by_key_without_looking_inside() -> None:
    low = (parameter("a", {"x": 1}), parameter("b", 1), Parameter(key="c", value=Raw(b"1"), init=True))
    high = (parameter("a", {"y": 2}), parameter("c", None))
    merged = merge(low, high)
    assert values(merged) == {"a": {"y": 2}, "b": 1, "c": None}
    assert init_keys(merged) == frozenset()


@given(package=ENTRIES, binding=ENTRIES, action=ENTRIES)
def test_merging_in_steps_gives_what_dictionaries_would(package: Any, binding: Any, action: Any) -> None:
    expected = {**values(package), **values(binding), **values(action)}
    assert values(merge(merge(package, binding), action)) == expected
    assert values(merge(package, merge(binding, action))) == expected


@given(entries=ENTRIES, keys=st.sets(st.sampled_from("abcd")))
def test_removing_keys_leaves_all_others(entries: Any, keys: set[str]) -> None:
    assert [entry.key for entry in without(entries, keys)] == [e.key for e in entries if e.key not in keys]


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        (False, False),
        (None, False),
        (0, False),
        (0.0, False),
        (1, True),
        (-0.5, True),
        ("", False),
        ("false", True),
        ([], True),
        ({}, True),
    ],
)
def test_truthiness_is_that_of_the_contract(value: Any, truth: bool) -> None:
    entries = (parameter("k", value),)
    assert is_truthy(entries, "k", absent=not truth) is truth


@pytest.mark.parametrize("absent", [True, False])
def test_a_missing_annotation_is_as_true_as_the_asker_says(absent: bool) -> None:
    assert is_truthy((parameter("other", 1),), "k", absent=absent) is absent


@pytest.mark.parametrize(("value", "truth"), [(True, True), (False, False), ("true", False), (1, False), (None, False)])
def test_only_the_boolean_is_true_to_the_letter(value: Any, truth: bool) -> None:
    assert is_true((parameter("k", value),), "k") is truth


def test_a_null_value_is_there_though_nothing_is_found() -> None:
    entries = (parameter("k", None),)
    assert has(entries, "k")
    assert find(entries, "k") is None
    assert not has(entries, "other")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[]", 0),
        ('[{"key":"k","value":"abc"}]', 1 + 5),
        ('[{"key":"ké","value":"é"}]', 3 + 4),
        ('[{"key":"k","value":"\\"\\n"}]', 1 + 6),
        ('[{"key":"k","value": [ 1 , 2 ] ,"init":true}]', 1 + 5),
        ('[{"key":"a","value":null},{"key":"b","value":1.0}]', 1 + 4 + 1 + 3),
        ('[{"key":"a","value":"long gone"},{"key":"a","value":1}]', 1 + 1),
    ],
)
def test_the_size_counts_bytes_of_keys_and_compact_values(text: str, size: int) -> None:
    assert size_bytes(parse_parameters(text.encode())) == size


def test_an_action_marked_final_protects_what_is_defined() -> None:
    assert final_keys((parameter("a", 0), parameter("b", None), parameter("c", ""))) == {"a", "c"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("äö \n", "äö \n"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (1.5, "1.5"),
        ({"a": [1, "x"]}, '{"a":[1,"x"]}'),
        ([], "[]"),
        ("null", "null"),
    ],
)
def test_an_init_only_value_becomes_text_of_the_environment(value: Any, text: str) -> None:
    assert environment_value(parameter("k", value).value) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_compacting_changes_white_space_only(value: Any) -> None:
    spaced = msgspec.json.format(msgspec.json.encode(value), indent=3)
    assert bytes(compact(Raw(b" \n" + spaced + b"\t"))) == msgspec.json.encode(value)


@pytest.mark.parametrize(("text", "which"), [(b"{}", "object"), (b"[]", "array"), (b"1", ""), (b'"{"', "")])
def test_objects_and_arrays_are_told_apart_by_their_text(text: bytes, which: str) -> None:
    assert (is_object(Raw(text)), is_array(Raw(text))) == (which == "object", which == "array")
