"""The bus port and its message.

In one process a transport is a function call; between machines it is a broker. The
message therefore encodes as JSON, whole: it is also what the journal keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sabayon.entity.action import Action
from sabayon.entity.activation import Activation
from sabayon.entity.delivery import FIRST, History
from sabayon.entity.identity import Identity


class ActivationMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted run of a primitive action.

    action: as resolved when it was accepted, without its code; `revision` is its document's.
    arguments: JSON text, the merged `value` of the runtime contract, without init-only parameters.
    environment: init-only parameters, converted to text.
    identity: the caller, in whose namespace the record is kept.
    accepted_ms: epoch ms when the request arrived, or when its delay was over; waiting time is counted from it.
    binding: `ns/binding` when the action was addressed through one.
    history: of its earlier attempts; only what is journaled can have some.
    is_journaled: whether the journal holds this message until its record is stored.
    is_stored: whether a record is kept.
    retry_of: the id of the dead letter that this is another try of.
    sent: of what is journaled, the payload of the call where `arguments` are more than that.
    """

    accepted_ms: int
    action: Action
    activation_id: str
    arguments: Raw
    binding: str | None = None
    blocking: bool
    cause: str | None = None
    environment: dict[str, str]
    history: History = FIRST
    identity: Identity
    is_journaled: bool = False
    is_stored: bool = True
    retry_of: str | None = None
    revision: int
    sent: Raw | UnsetType = UNSET
    transaction_id: str


class Bus(Protocol):
    """Carries messages to an invoker and completions back."""

    def dispatch(self, message: ActivationMessage) -> Awaitable[Activation]:
        """Have the message run. The result is the finished activation, its record already stored; perhaps without logs.

        Of a journaled one the result may be that of an attempt after which it waits in the journal for another.
        Raises BusUnavailable or Overloaded, at once, when it cannot be taken on now; never for what is journaled or
        part of something else, which waits. Never raises for what happens to the action: every failure is an
        activation with its response class. Cancelling the returned awaitable does not cancel the run: `cancel` does.
        """
        ...

    def check(self) -> None:
        """Raises BusUnavailable, Overloaded: nothing more should be promised now. To be asked before the journal is."""
        ...

    def cancel(self, namespace: str, activation_id: str) -> Awaitable[bool]:
        """Stop what was dispatched for `namespace` under this id; whether it had not ended yet.

        Its activation, which says that it was cancelled, reaches the one who dispatched it. What waits does not start;
        what runs is not heard any more.
        """
        ...
