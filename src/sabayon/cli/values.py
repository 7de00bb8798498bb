"""JSON as users type it and see it: numbers keep the form they were written in."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

INDENT: Final = "    "
_LINE_SEPARATORS: Final = {0x2028: "\\u2028", 0x2029: "\\u2029"}


class Number(str):
    """A JSON number's own text, such as `1.50` or `12345678901234567890`."""

    __slots__ = ()


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def parse_first(text: str) -> Any:
    """The first JSON value of a text, whatever follows it. Raises ValueError."""
    decoder = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse)
    stripped = text.lstrip()
    if not stripped:
        raise ValueError("EOF")
    return decoder.raw_decode(stripped)[0]


def typed_value(text: str) -> Any:
    """What a value on the command line means: JSON if it is, else text in which JSON's escapes count, else itself."""
    for candidate in (text, f'"{text}"'):
        try:
            return parse_json(candidate)
        except ValueError:
            continue
    return text


def compact(value: Any) -> str:
    """One line of JSON."""
    return _render(value, None, sort=False)


def pretty(value: Any, *, sort: bool = False) -> str:
    """Indented JSON. sort: all keys ascending."""
    return _render(value, "\n", sort=sort)


def sorted_deep(value: Any) -> Any:
    """`value` with the keys of all its objects ascending."""
    if isinstance(value, dict):
        return {key: sorted_deep(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_deep(item) for item in value]
    return value


def integer(value: Any) -> int:
    """A number of a document as an int; 0 when it is absent or none."""
    try:
        return int(float(value)) if isinstance(value, Number) else int(value or 0)
    except (ValueError, OverflowError):
        return 0


def _render(value: Any, newline: str | None, *, sort: bool) -> str:
    """newline: line break and indentation of the level, None for one line."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        deeper = newline + INDENT if newline is not None else None
        colon = ":" if newline is None else ": "
        keys = sorted(value) if sort else list(value)
        items = [f"{_render(key, None, sort=sort)}{colon}{_render(value[key], deeper, sort=sort)}" for key in keys]
        return _enclosed("{", items, "}", newline)
    if isinstance(value, list | tuple):
        deeper = newline + INDENT if newline is not None else None
        return _enclosed("[", [_render(item, deeper, sort=sort) for item in value], "]", newline)
    return json.dumps(value, ensure_ascii=False).translate(_LINE_SEPARATORS)


def _enclosed(opening: str, items: list[str], closing: str, newline: str | None) -> str:
    if not items or newline is None:
        return opening + ",".join(items) + closing
    inner = newline + INDENT
    return opening + inner + f",{inner}".join(items) + newline + closing


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
