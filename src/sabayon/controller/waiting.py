"""Work that waits in the journal: ending it without a run."""

from __future__ import annotations

from sabayon.controller.composite import Budget, Frame, composite_record
from sabayon.controller.resolve import Resolved
from sabayon.controller.services import Services
from sabayon.delivery.decision import Settle
from sabayon.delivery.pending import PendingAction, PendingActivation, PendingComposite, decode_pending
from sabayon.delivery.report import record_without_run
from sabayon.entity.activation import Activation, Response, cancelled, cancelled_response


async def cancel_waiting(services: Services, namespace: str, activation_id: str) -> bool:
    """End an activation that waits for its time with a record that says it was cancelled; whether there was one.

    A trigger's fire is not cancelled: it waits for nothing but its turn. Raises Corrupt, StoreUnavailable.
    """
    entry = await services.journal.take_one(namespace, activation_id)
    if entry is None:
        return False
    work = decode_pending(entry.message)
    if not isinstance(work, PendingAction | PendingComposite):
        await services.settler.give_back(activation_id)
        return False
    record = cancelled(record_of_waiting(work, cancelled_response(), services.now_ms()))
    await services.settler.give_up_on(work, record, Settle())
    return True


def record_of_waiting(work: PendingActivation, response: Response, now_ms: int) -> Activation:
    """The record of what is not run, or not run again."""
    if isinstance(work, PendingAction):
        return record_without_run(work.message, response, now_ms)
    frame = Frame(
        activation_id=work.activation_id,
        resolved=Resolved(work.action, 0, work.binding),
        cause=None,
        depth=1,
        accepted_ms=work.accepted_ms,
        start_ms=work.accepted_ms,
        length=0,
        budget=Budget(),
    )
    identity = work.identity
    return composite_record(frame, response, namespace=identity.namespace, subject=identity.subject, end_ms=now_ms)
