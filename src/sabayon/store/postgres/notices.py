"""What processes on one database tell each other: which entity was written, or that anything may have been."""

from __future__ import annotations

from typing import Final, NamedTuple

CHANNEL: Final = "sabayon"
IDENTITIES: Final = "identities"
EVERYTHING: Final = "everything"


class EntityNotice(NamedTuple):
    """`id` was written at `revision`, or deleted: 0."""

    id: str
    revision: int


def entity_notice(id: str, revision: int) -> str:
    """The payload that says so; ids are far shorter than the 8,000 bytes that the server allows."""
    return f"{revision} {id}"


def read_notice(payload: str) -> EntityNotice | None:
    """The notice of an entity; None for the two others, and for what a later version may tell."""
    revision, _, id = payload.partition(" ")
    return EntityNotice(id, int(revision)) if revision.isdecimal() and id else None
