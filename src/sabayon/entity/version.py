"""Versions of entities: `major.minor.patch`."""

from __future__ import annotations

import re
from typing import Final

from sabayon import messages

FIRST: Final = "0.0.1"

_PART = re.compile(r"0*([0-9]{1,10})")  # numbers have an end: a version is echoed, and counted up


class MalformedVersion(ValueError):
    """Not a semantic version; the text is the contract's detail."""


def parse_version(text: str) -> str:
    """`text` in full form: missing parts are 0, further ones ignored. Raises MalformedVersion."""
    numbers = [_number(part) for part in [*text.split("."), "0", "0"][:3]]
    if not any(numbers):
        raise MalformedVersion(messages.VERSION_MALFORMED)
    return ".".join(str(number) for number in numbers)


def _number(part: str) -> int:
    match = _PART.fullmatch(part)
    if match is None:
        raise MalformedVersion(messages.VERSION_MALFORMED)
    return int(match[1])


def bump(version: str) -> str:
    """The version of the next update."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"
