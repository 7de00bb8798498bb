"""What the journal keeps: work that was accepted with a 202 and has no record yet."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from sabayon.bus.base import ActivationMessage
from sabayon.entity.action import Action
from sabayon.entity.identity import Identity
from sabayon.entity.names import EntityName
from sabayon.entity.trigger import Trigger
from sabayon.errors import Corrupt


class PendingAction(msgspec.Struct, frozen=True, tag_field="kind", tag="action"):
    """The run of a primitive action, as the bus carries it."""

    message: ActivationMessage


class PendingComposite(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sequence"):
    """A sequence or a composition: enough for its record, not to run it again."""

    accepted_ms: int
    action: Action
    activation_id: str
    binding: EntityName | None
    identity: Identity


class PendingFire(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trigger"):
    """A trigger that was fired with `payload`. trigger, headers: as they were then; the headers as actions see them."""

    accepted_ms: int
    activation_id: str
    headers: dict[str, str]
    identity: Identity
    payload: Raw
    transaction_id: str
    trigger: Trigger


Pending = PendingAction | PendingComposite | PendingFire

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Pending] = msgspec.json.Decoder(Pending)


def encode_pending(pending: Pending) -> bytes:
    """The journal's entry for `pending`. It holds the caller's key: it must not be logged or shown."""
    return _encoder.encode(pending)


def decode_pending(entry: bytes) -> Pending:
    """The opposite. Raises Corrupt."""
    try:
        return _decoder.decode(entry)
    except msgspec.DecodeError as error:
        raise Corrupt("an entry of the journal cannot be read") from error
