"""What the journal keeps: work that was accepted with a 202 and has no record yet."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from sabayon.bus.base import ActivationMessage
from sabayon.entity.action import Action
from sabayon.entity.delivery import FIRST, History
from sabayon.entity.identity import Identity
from sabayon.entity.names import EntityName
from sabayon.entity.trigger import Trigger
from sabayon.errors import Corrupt


class PendingAction(msgspec.Struct, frozen=True, tag_field="kind", tag="action"):
    """The run of a primitive action, as the bus carries it."""

    message: ActivationMessage

    @property
    def accepted_ms(self) -> int:
        return self.message.accepted_ms

    @property
    def action(self) -> Action:
        return self.message.action

    @property
    def activation_id(self) -> str:
        return self.message.activation_id

    @property
    def addressed(self) -> EntityName:
        """The name of the action in the call."""
        return EntityName(self.action.name, self.message.binding or self.action.namespace)

    @property
    def history(self) -> History:
        return self.message.history

    @property
    def identity(self) -> Identity:
        return self.message.identity

    @property
    def payload(self) -> Raw:
        """What the caller sent."""
        sent = self.message.sent
        return self.message.arguments if sent is UNSET else sent

    @property
    def retry_of(self) -> str | None:
        return self.message.retry_of

    @property
    def transaction_id(self) -> str:
        return self.message.transaction_id

    def at(self, history: History) -> PendingAction:
        """The same work, further on."""
        return PendingAction(msgspec.structs.replace(self.message, history=history))


class PendingComposite(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sequence"):
    """A sequence or a composition that was called with `payload`. accepted_ms: as in ActivationMessage."""

    accepted_ms: int
    action: Action
    activation_id: str
    binding: EntityName | None
    history: History = FIRST
    identity: Identity
    payload: Raw
    retry_of: str | None = None
    transaction_id: str

    @property
    def addressed(self) -> EntityName:
        """The name of the action in the call."""
        return EntityName(self.action.name, self.action.namespace if self.binding is None else self.binding.id)

    def at(self, history: History) -> PendingComposite:
        """The same work, further on."""
        return msgspec.structs.replace(self, history=history)


class PendingFire(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trigger"):
    """A trigger that was fired with `payload`. trigger, headers: as they were then; the headers as actions see them."""

    accepted_ms: int
    activation_id: str
    headers: dict[str, str]
    identity: Identity
    payload: Raw
    transaction_id: str
    trigger: Trigger


class PendingDestination(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="destination"):
    """A trigger that is to be fired with the record of an activation; which rules it has is asked then."""

    accepted_ms: int
    activation_id: str
    identity: Identity
    payload: Raw
    transaction_id: str
    trigger: EntityName


PendingActivation = PendingAction | PendingComposite
Pending = PendingActivation | PendingFire | PendingDestination

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Pending] = msgspec.json.Decoder(Pending)
_activation_decoder: msgspec.json.Decoder[PendingActivation] = msgspec.json.Decoder(PendingActivation)


def encode_pending(pending: Pending) -> bytes:
    """The journal's entry for `pending`. It holds the caller's key: it must not be logged or shown."""
    return _encoder.encode(pending)


def decode_pending(entry: bytes) -> Pending:
    """The opposite. Raises Corrupt."""
    try:
        return _decoder.decode(entry)
    except msgspec.DecodeError as error:
        raise Corrupt("an entry of the journal cannot be read") from error


def decode_activation(message: bytes) -> PendingActivation:
    """The opposite for what is known to be an activation's. Raises Corrupt."""
    try:
        return _activation_decoder.decode(message)
    except msgspec.DecodeError as error:
        raise Corrupt("an activation's message cannot be read") from error
