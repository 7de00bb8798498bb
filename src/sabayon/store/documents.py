"""How entities are written down: the JSON of a document, its code apart, and what lists select by."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from sabayon.entity.action import Action
from sabayon.entity.package import Package
from sabayon.entity.rule import Rule
from sabayon.entity.trigger import Trigger
from sabayon.errors import Corrupt
from sabayon.store.base import Entity, EntityKind

KINDS: Final[dict[EntityKind, str]] = {Action: "action", Package: "package", Trigger: "trigger", Rule: "rule"}
_DECODERS: Final = {name: msgspec.json.Decoder(kind) for kind, name in KINDS.items()}
_encoder = msgspec.json.Encoder()


class Row(NamedTuple):
    """One entity as it is kept. code: None when it has none or was put without."""

    id: str
    namespace: str
    package: str | None
    kind: str
    updated: int
    is_shared: bool
    body: bytes
    code: str | None


def row_of(entity: Entity) -> Row:
    """`entity` as it is kept."""
    name = entity.entity_name
    code = entity.exec.code if isinstance(entity, Action) and entity.exec.code is not UNSET else None
    is_shared = isinstance(entity, Package) and entity.publish and entity.binding is None
    body = _encoder.encode(without_code(entity))
    return Row(name.id, name.namespace, name.package, KINDS[type(entity)], entity.updated, is_shared, body, code)


def without_code(entity: Entity) -> Entity:
    """An action's code unset; other entities as they are."""
    if not isinstance(entity, Action) or entity.exec.code is UNSET:
        return entity
    return msgspec.structs.replace(entity, exec=msgspec.structs.replace(entity.exec, code=UNSET))


def entity_of(kind: str, body: bytes) -> Entity:
    """The entity that was written down as `body`. Raises Corrupt."""
    try:
        return _DECODERS[kind].decode(body)
    except (KeyError, msgspec.MsgspecError) as error:
        raise Corrupt(f"a stored {kind} cannot be read: {error}") from error
