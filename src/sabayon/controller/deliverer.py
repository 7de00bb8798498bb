"""Takes up what waits in the journal: what an earlier run of the platform left, what is tried again, what was delayed.

One task reads it a page at a time and keeps a bounded number of each namespace under way, whatever waits: nobody's work
waits for somebody else's. What is accepted and dispatched at once is not its business: its acceptor has it in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import msgspec

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.controller.composite import whisk_error
from sabayon.controller.entitlement import Entitlement
from sabayon.controller.execution import Caller, Execution, Invocation, message_of
from sabayon.controller.fire import Firing, has_active_rule, run_fire
from sabayon.controller.payload import parse_payload
from sabayon.controller.resolve import Resolved, resolve_action
from sabayon.controller.services import Services
from sabayon.controller.throttle import Throttle
from sabayon.controller.waiting import record_of_waiting
from sabayon.delivery.decision import TOO_OLD, before
from sabayon.delivery.pending import (
    Pending,
    PendingAction,
    PendingActivation,
    PendingComposite,
    PendingDestination,
    PendingFire,
    decode_pending,
)
from sabayon.entity.limits import effective_limits
from sabayon.entity.names import parse_name
from sabayon.entity.trigger import Trigger
from sabayon.errors import Corrupt, NotNow, Rejection, StoreUnavailable
from sabayon.store.base import Entry

logger = logging.getLogger("sabayon.controller")

MOST_UNDER_WAY: Final = 128
"""Of one namespace. Enough to keep a machine busy, and little for a fresh request to wait behind."""

RETRY_S: Final = 0.5
"""How long to wait for a store that cannot be read."""


class Deliverer:
    """Runs what waits in the journal when it is due.

    others: the names of those who share the journal and are there now, None while that is not known. Without it nobody
    else does, and all that was in somebody's hands at the start is free.
    """

    def __init__(self, services: Services, others: Callable[[], Collection[str] | None] | None = None) -> None:
        self._services = services
        self._others = others
        self._under_way: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._is_released = False
        self._is_told = False
        self._next_due: int | None = None
        """Of what there is room for; None also when something has to end first."""

    async def start(self) -> None:
        """Take up what an earlier run left, and what is due from now on."""
        with contextlib.suppress(StoreUnavailable):  # what cannot be done now is tried again, and told
            await self._release()
        self._task = asyncio.create_task(self._run(), name="deliverer")

    async def aclose(self) -> None:
        """Take up nothing more; what is under way goes on. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._release()
                await self._take_what_is_due()
                self._is_told = False
            except StoreUnavailable as error:
                if not self._is_told:
                    logger.warning("what waits in the journal has to wait longer: %s", error)
                self._is_told = True
                await asyncio.sleep(RETRY_S)
            except Exception:  # the supervisor of all that waits: a defect of ours must not end its turn for good
                logger.exception("what waits in the journal was not taken up")
                await asyncio.sleep(RETRY_S)
            else:
                await self._services.agenda.wait(self._next_due, self._services.now_ms())

    async def _release(self) -> None:
        """Once where nobody else is; else again and again, for the others may die at any time."""
        alive = () if self._others is None else self._others()
        if not self._is_released and alive is not None:
            await self._services.journal.release(alive)
            self._is_released = self._others is None

    async def _take_what_is_due(self) -> None:
        """Take up what there is room for, and see when the next is due."""
        journal, next_due = self._services.journal, None
        is_done = False
        while not is_done:
            is_done, next_due = True, None
            for namespace, due_ms in (await journal.waiting()).items():
                room, now_ms = MOST_UNDER_WAY - self._under_way[namespace], self._services.now_ms()
                if room > 0 and due_ms <= now_ms:
                    for entry in await journal.take(namespace, now_ms, room):
                        self._take_up(entry)
                    is_done = False
                elif room > 0:
                    next_due = due_ms if next_due is None else min(next_due, due_ms)
        self._next_due = next_due

    def _take_up(self, entry: Entry) -> None:
        self._under_way[entry.namespace] += 1
        self._services.running.adopt(entry.activation_id, self._deliver(entry), partial(self._ended, entry.namespace))

    def _ended(self, namespace: str) -> None:
        if self._under_way[namespace] >= MOST_UNDER_WAY:
            self._services.agenda.call()
        self._under_way[namespace] -= 1
        if not self._under_way[namespace]:
            del self._under_way[namespace]

    async def _deliver(self, entry: Entry) -> None:
        """Run one entry to the end of this attempt. One that the store or the bus does not let begin waits again."""
        try:
            await self._begin(entry, decode_pending(entry.message))
        except Corrupt as error:
            logger.error("activation %s cannot be taken up again: %s", entry.activation_id, error)
        except (StoreUnavailable, NotNow) as error:
            logger.warning("activation %s has to wait: %s", entry.activation_id, error)
            await asyncio.sleep(RETRY_S)
            await self._services.settler.give_back(entry.activation_id)

    async def _begin(self, entry: Entry, pending: Pending) -> None:
        identity = await self._services.identities.by_namespace(pending.identity.namespace)
        if identity is None or identity.uuid != pending.identity.uuid:
            await self._services.journal.drop(entry.activation_id)  # the namespace has gone, and its records with it
            return
        caller = Caller(self._services, Entitlement(self._services.artifacts), identity, True, pending.transaction_id)
        if isinstance(pending, PendingAction | PendingComposite):
            await self._deliver_activation(caller, pending, entry.attempts)
        else:
            await self._deliver_fire(caller, pending)

    async def _deliver_activation(self, caller: Caller, work: PendingActivation, attempts: int) -> None:
        """Run it again with the action as it is now, or end it without."""
        services, policy = self._services, work.action.policy
        lost = attempts - work.history.attempt
        refusal = before(policy, lost=lost, since_ms=work.accepted_ms, now_ms=services.now_ms())
        made = attempts if refusal is None else attempts - 1
        work = work.at(msgspec.structs.replace(work.history, attempt=made))
        if refusal is not None:
            text = messages.too_old(policy.max_age_ms // 1000) if refusal.reason == TOO_OLD else messages.INTERRUPTED
            record = record_of_waiting(work, whisk_error(text), services.now_ms())
            await services.settler.give_up_on(work, record, refusal)
        elif isinstance(work, PendingAction):
            await services.bus.dispatch(await self._current(caller, work))
        else:
            invocation = await self._invocation(work)
            current = msgspec.structs.replace(work, action=invocation.resolved.action, identity=caller.identity)
            await Execution(caller).run_invocation(invocation, current)

    async def _current(self, caller: Caller, work: PendingAction) -> ActivationMessage:
        """The message, made anew if the action has changed since it was accepted."""
        message, invocation = work.message, await self._invocation(work)
        if invocation.resolved.revision == message.revision or invocation.is_composite:
            return msgspec.structs.replace(message, identity=caller.identity)
        current = message_of(caller, invocation, blocking=False, is_journaled=True)
        return msgspec.structs.replace(current, history=message.history)

    async def _invocation(self, work: PendingActivation) -> Invocation:
        """The call again: of the action as it is now, or as it was where there is none any more."""
        try:
            resolved = await resolve_action(self._services.artifacts, work.addressed)
        except Rejection:
            resolved = _as_accepted(work)
        if resolved.action.is_composite != work.action.is_composite:
            resolved = _as_accepted(work)
        payload = parse_payload(bytes(work.payload))
        return Invocation(work.activation_id, resolved, payload, work.accepted_ms, retry_of=work.retry_of)

    async def _deliver_fire(self, caller: Caller, pending: PendingFire | PendingDestination) -> None:
        """The fire was let through when it was accepted: its invocations are counted for themselves."""
        fire = await self._fire(pending) if isinstance(pending, PendingDestination) else pending
        if fire is None:
            await self._services.journal.drop(pending.activation_id)
            return
        limits = effective_limits(self._services.limits, caller.identity.limits)
        await run_fire(Firing(caller, Throttle(), limits), fire, is_again=True)

    async def _fire(self, destination: PendingDestination) -> PendingFire | None:
        """None when it would do nothing: as with any fire there is no record then."""
        document = await self._services.artifacts.read(destination.trigger.id)
        trigger = None if document is None else document.entity
        if not isinstance(trigger, Trigger):
            logger.info("tx=%s: there is no trigger %s to be fired", destination.transaction_id, destination.trigger)
            return None
        if not has_active_rule(trigger):
            return None
        return PendingFire(
            accepted_ms=destination.accepted_ms,
            activation_id=destination.activation_id,
            headers={},
            identity=destination.identity,
            payload=destination.payload,
            transaction_id=destination.transaction_id,
            trigger=trigger,
        )


def _as_accepted(work: PendingActivation) -> Resolved:
    binding = work.addressed.path if work.addressed.path != work.action.namespace else None
    revision = work.message.revision if isinstance(work, PendingAction) else 0
    return Resolved(work.action, revision, None if binding is None else parse_name(binding))
