"""Ends activations, or has them tried again: carries out what `decision` says."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from sabayon.delivery.agenda import Agenda
from sabayon.delivery.decision import Ending, Retry, Settle, after
from sabayon.delivery.keeping import RecordKeeper
from sabayon.delivery.letters import letter_of
from sabayon.delivery.pending import PendingAction, PendingActivation, PendingDestination, encode_pending
from sabayon.delivery.report import destination_payload, earlier_line, with_history
from sabayon.entity.activation import Activation, Outcome, new_activation_id, stored
from sabayon.store.base import Activations, Entry, Journal, Settlement

logger = logging.getLogger("sabayon.delivery")

EARLIER_LINES: Final = 10
"""Log lines about earlier attempts in one record; the latest stay."""


class Settler:
    """Where every activation ends: its record, and what is to follow it, in one transaction."""

    def __init__(self, activations: Activations, journal: Journal, agenda: Agenda, now_ms: Callable[[], int]) -> None:
        self._activations = activations
        self._journal = journal
        self._agenda = agenda
        self._now_ms = now_ms
        self._keeper = RecordKeeper()

    async def store(self, activation: Activation) -> None:
        """Keep the record of what is in no journal. Raises StoreUnavailable."""
        await self._activations.put(stored(activation))

    async def settle_fire(self, activation: Activation) -> None:
        """Keep the record of a trigger's fire that is in the journal, waiting for the store if need be."""
        record = stored(activation)
        await self._keeper.keep(record.activation_id, partial(self._activations.put, record, settles=True))

    async def after(self, work: PendingActivation, activation: Activation, ending: Ending) -> None:
        """An attempt of what is in the journal has ended: settle it, or have it tried again.

        Waits for a store that takes nothing now, until `give_up`; then the journal has it for the next start.
        """

        async def write() -> None:
            now_ms = self._now_ms()
            decision = after(
                work.action.policy,
                ending,
                work.history,
                since_ms=work.accepted_ms,
                now_ms=now_ms,
                chance=random.random(),
            )
            if isinstance(decision, Retry):
                await self._retry(work, activation, decision)
            else:
                await self._settle(work, activation, decision, now_ms)

        await self._keeper.keep(work.activation_id, write)

    async def give_up_on(self, work: PendingActivation, activation: Activation, decision: Settle) -> None:
        """What will not be run any more ends with `activation`, which says why."""
        write = partial(self._settle, work, activation, decision, self._now_ms())
        await self._keeper.keep(work.activation_id, write)

    async def give_back(self, activation_id: str) -> None:
        """What is in the journal and has not begun waits again; when the store takes nothing, as in `after`."""
        await self._keeper.keep(activation_id, partial(self._journal.give_back, activation_id))
        self._agenda.call()

    def give_up(self) -> None:
        """The platform stops: all that wait for the store are tried once more, at once. Idempotent."""
        self._keeper.give_up()

    def tell_left(self) -> None:
        """Log how many the journal keeps for the next start because the store took nothing, if any."""
        self._keeper.tell_left()

    async def _retry(self, work: PendingActivation, activation: Activation, retry: Retry) -> None:
        history = retry.history
        if isinstance(work, PendingAction) and work.action.limits.logs:
            line = earlier_line(work.history.attempt, activation)
            history = msgspec.structs.replace(history, earlier=(*history.earlier, line)[-EARLIER_LINES:])
        message = encode_pending(work.at(history))
        attempts = work.history.attempt
        namespace = work.identity.namespace
        await self._journal.append(
            work.activation_id, message, namespace=namespace, due_ms=retry.due_ms, attempts=attempts
        )
        self._agenda.expect(retry.due_ms)

    async def _settle(self, work: PendingActivation, activation: Activation, decision: Settle, now_ms: int) -> None:
        activation = with_history(activation, work.history, work.retry_of)
        fire = _destination(work, activation, now_ms)
        if fire is None and decision.reason is None:
            await self._activations.put(stored(activation), settles=True)
            return
        letter = None if decision.reason is None else letter_of(work, decision.reason, now_ms)
        dropped = await self._journal.settle(Settlement(stored(activation), fire, letter))
        if fire is not None:
            self._agenda.expect(fire.due_ms)
        if letter is not None:
            logger.warning("activation %s is a dead letter: %s", work.activation_id, decision.reason)
        if dropped:
            logger.warning("namespace %s has too many dead letters; its oldest went", work.identity.namespace)


def _destination(work: PendingActivation, activation: Activation, now_ms: int) -> Entry | None:
    """The fire of the trigger that the action names for what came of it.

    It is fired on behalf of the namespace that invoked, whose record it is told; nobody else's trigger is. For what was
    cancelled none is fired: who did that knows.
    """
    if activation.is_cancelled:
        return None
    policy, identity = work.action.policy, work.identity
    chosen = policy.on_success if activation.response.outcome is Outcome.SUCCESS else policy.on_failure
    name = None if chosen is None else chosen.resolve(identity.namespace)
    if name is None or name.namespace != identity.namespace:
        return None
    fire = PendingDestination(
        accepted_ms=now_ms,
        activation_id=new_activation_id(),
        identity=identity,
        payload=destination_payload(activation),
        transaction_id=work.transaction_id,
        trigger=name,
    )
    return Entry(fire.activation_id, identity.namespace, encode_pending(fire), now_ms)
