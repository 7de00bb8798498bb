"""After a start: take up what an earlier run of the platform accepted and did not bring to its record."""

from __future__ import annotations

import logging

from sabayon import messages
from sabayon.controller.composite import Budget, Frame, composite_record, whisk_error
from sabayon.controller.entitlement import Entitlement
from sabayon.controller.execution import Caller
from sabayon.controller.fire import Firing, run_fire
from sabayon.controller.pending import Pending, PendingAction, PendingComposite, PendingFire, decode_pending
from sabayon.controller.resolve import Resolved
from sabayon.controller.services import Services
from sabayon.controller.throttle import Throttle
from sabayon.entity.activation import stored
from sabayon.entity.limits import effective_limits
from sabayon.errors import Corrupt

logger = logging.getLogger("sabayon.controller")


async def recover(services: Services) -> None:
    """Start again what is pending; returns when all is under way, not when it is over.

    Actions run again, once more if they had started. A trigger fires again as a whole. A sequence or a composition
    ends with a record that says it was interrupted: its first actions have had their effect already.
    May be called while requests are served: what they have in flight is left alone.
    """
    for activation_id, entry in (await services.journal.pending()).items():
        try:
            pending = decode_pending(entry)
        except Corrupt as error:
            logger.error("activation %s cannot be taken up again: %s", activation_id, error)
            continue
        if activation_id not in services.running and not await _has_record(services, activation_id, pending):
            await _take_up(services, pending)


async def _has_record(services: Services, activation_id: str, pending: Pending) -> bool:
    identity = pending.message.identity if isinstance(pending, PendingAction) else pending.identity
    return await services.activations.read(identity.namespace, activation_id) is not None


async def _take_up(services: Services, pending: Pending) -> None:
    if isinstance(pending, PendingAction):
        message = pending.message
        services.running.adopt(message.activation_id, services.bus.dispatch(message))
    elif isinstance(pending, PendingFire):
        services.running.adopt(pending.activation_id, run_fire(_firing(services, pending), pending))
    else:
        await _interrupt(services, pending)


def _firing(services: Services, fire: PendingFire) -> Firing:
    """The fire was let through when it was accepted: its invocations are counted for themselves."""
    caller = Caller(services, Entitlement(services.artifacts), fire.identity, True, fire.transaction_id)
    return Firing(caller, Throttle(), effective_limits(services.limits, fire.identity.limits))


async def _interrupt(services: Services, pending: PendingComposite) -> None:
    frame = Frame(
        activation_id=pending.activation_id,
        resolved=Resolved(pending.action, 0, pending.binding),
        cause=None,
        depth=1,
        accepted_ms=pending.accepted_ms,
        start_ms=pending.accepted_ms,
        length=0,
        budget=Budget(),
    )
    identity = pending.identity
    activation = composite_record(
        frame,
        whisk_error(messages.INTERRUPTED),
        namespace=identity.namespace,
        subject=identity.subject,
        end_ms=services.now_ms(),
    )
    await services.activations.put(stored(activation), settles=True)
