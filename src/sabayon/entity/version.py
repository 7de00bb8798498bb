"""Versions of entities: `major.minor.patch`."""

from __future__ import annotations

from typing import Final

from sabayon import messages

FIRST: Final = "0.0.1"


class MalformedVersion(ValueError):
    """Not a semantic version; the text is the contract's detail."""


def parse_version(text: str) -> str:
    """`text` in full form: missing parts are 0, further ones ignored. Raises MalformedVersion."""
    parts = [*text.split("."), "0", "0"][:3]
    if not all(part.isascii() and part.isdigit() for part in parts) or not any(int(part) for part in parts):
        raise MalformedVersion(messages.VERSION_MALFORMED)
    return ".".join(str(int(part)) for part in parts)


def bump(version: str) -> str:
    """The version of the next update."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"
