"""Parameters and annotations: arrays of `{key, value}` on the wire, ordered values here.

A value is kept as the JSON text it came in (compacted), so numbers and escapes survive
storage and hand-over unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from sabayon import messages


class MalformedParameters(ValueError):
    """The array does not have the contract's shape; the text is the contract's detail."""

    def __init__(self) -> None:
        super().__init__(messages.PARAMETERS_MALFORMED)


class Parameter(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One entry. `init`: delivered at initialization only. `encryption`: the scheme that `value` is encrypted with."""

    encryption: str | None = None
    init: bool = False
    key: str
    value: Raw


Parameters = tuple[Parameter, ...]
Arguments = dict[str, Raw]
"""What an action is run with: top-level key to JSON text."""

_OPEN_BRACE = ord("{")
_OPEN_BRACKET = ord("[")

_elements = msgspec.json.Decoder(list[dict[str, Raw]])
_string = msgspec.json.Decoder(str)
_string_or_null = msgspec.json.Decoder(str | None)
_boolean = msgspec.json.Decoder(bool)


def parse_parameters(raw: Raw | bytes) -> Parameters:
    """The array of a body; a repeated key keeps its last entry. Raises MalformedParameters."""
    try:
        entries = [_parse_entry(element) for element in _elements.decode(raw)]
    except msgspec.DecodeError as error:
        raise MalformedParameters from error
    return tuple({entry.key: entry for entry in entries}.values())


def _parse_entry(element: Mapping[str, Raw]) -> Parameter:
    if "key" not in element or "value" not in element:
        raise MalformedParameters
    init = _boolean.decode(element["init"]) if "init" in element else False
    encryption = _string_or_null.decode(element["encryption"]) if "encryption" in element else None
    if encryption is None and "encryption" in element and "init" not in element:
        raise MalformedParameters
    return Parameter(
        key=_string.decode(element["key"]), value=compact(element["value"]), init=init, encryption=encryption
    )


def compact(raw: Raw | bytes) -> Raw:
    """The same JSON without white space between tokens, in a buffer of its own."""
    return Raw(msgspec.json.format(bytes(raw), indent=-1))


def is_object(raw: Raw) -> bool:
    """Whether JSON text without white space before it is an object."""
    return memoryview(raw)[0] == _OPEN_BRACE


def is_array(raw: Raw) -> bool:
    """Whether JSON text without white space before it is an array."""
    return memoryview(raw)[0] == _OPEN_BRACKET


def parameter(key: str, value: Any) -> Parameter:
    """An entry made by the platform from a Python value."""
    return Parameter(key=key, value=Raw(msgspec.json.encode(value)))


def merge(low: Iterable[Parameter], high: Iterable[Parameter]) -> Parameters:
    """Both, entries of `high` replacing those of `low` with the same key."""
    return tuple({entry.key: entry for entry in (*low, *high)}.values())


def without(entries: Iterable[Parameter], keys: Iterable[str]) -> Parameters:
    """All entries but those with one of `keys`."""
    excluded = frozenset(keys)
    return tuple(entry for entry in entries if entry.key not in excluded)


def find(entries: Iterable[Parameter], key: str) -> Any:
    """The decoded value of `key`, or None when it is absent or null."""
    for entry in entries:
        if entry.key == key:
            return msgspec.json.decode(entry.value)
    return None


def has(entries: Iterable[Parameter], key: str) -> bool:
    """Whether `key` is there, whatever its value."""
    return any(entry.key == key for entry in entries)


def is_truthy(entries: Iterable[Parameter], key: str, *, absent: bool) -> bool:
    """The contract's truthiness: false for `false`, `null`, `0` and `""`; `absent` when the key is missing."""
    entries = tuple(entries)
    if not has(entries, key):
        return absent
    value = find(entries, key)
    return bool(value) if isinstance(value, bool | int | float | str) else value is not None


def is_true(entries: Iterable[Parameter], key: str) -> bool:
    """Whether the value is the boolean `true`; strings and numbers do not count."""
    return find(entries, key) is True


def size_bytes(entries: Iterable[Parameter]) -> int:
    """What the limit counts: UTF-8 bytes of keys and of values as compact JSON."""
    return sum(len(entry.key.encode()) + len(bytes(entry.value)) for entry in entries)


def final_keys(entries: Iterable[Parameter]) -> frozenset[str]:
    """Keys that an action marked `final` protects: those with a value that is not null."""
    return frozenset(entry.key for entry in entries if bytes(entry.value) != b"null")


def init_keys(entries: Iterable[Parameter]) -> frozenset[str]:
    """Keys delivered only at initialization."""
    return frozenset(entry.key for entry in entries if entry.init)


def environment_value(raw: Raw) -> str:
    """How an init-only value appears as an environment variable: strings as is, null empty, the rest as JSON text."""
    text = bytes(raw)
    if text == b"null":
        return ""
    return _string.decode(text) if text.startswith(b'"') else text.decode()
