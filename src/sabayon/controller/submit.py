"""Submitting an invocation: the checks before it, then the start of a run that a caller waits for, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.controller.execution import Caller, Execution, Invocation, check_components, message_of
from sabayon.controller.payload import Payload, overrides_final
from sabayon.controller.resolve import resolve_action
from sabayon.controller.services import Services
from sabayon.delivery.pending import Pending, PendingAction, PendingActivation, PendingComposite, encode_pending
from sabayon.entity.activation import Activation, new_activation_id
from sabayon.entity.names import EntityName
from sabayon.errors import Rejection
from sabayon.store.base import Claim, Entry


async def prepare(caller: Caller, name: EntityName, payload: Payload, accepted_ms: int) -> Invocation:
    """Find the action and check that it may be run with `payload`. Raises Rejection."""
    resolved = await resolve_action(caller.services.artifacts, name)
    action = resolved.action
    if action.exec.is_sequence:
        await check_components(caller, action)
    if overrides_final(action, payload):
        raise Rejection(400, messages.PARAMETERS_NOT_ALLOWED)
    runtime = caller.services.manifest.find(action.exec.kind)
    if runtime is not None and runtime.deprecated:
        raise Rejection(400, messages.kind_deprecated(action.exec.kind))
    return Invocation(new_activation_id(), resolved, payload, accepted_ms)


def start(caller: Caller, invocation: Invocation, on_end: Callable[[], None]) -> asyncio.Future[Activation]:
    """Have `invocation` run for a caller who waits: the finished activation, its record stored.

    `on_end` is called once, when it is over or when this raises, which is NotNow.
    """
    if invocation.is_composite:
        return _conduct(caller, invocation, on_end, None)
    try:
        return _dispatch(caller, message_of(caller, invocation, blocking=True), on_end)
    except BaseException:
        on_end()
        raise


async def accept(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], claim: Claim | None = None
) -> Claim | None:
    """Take on `invocation` for good: when this returns it will have its record, even if the platform is killed.

    It goes on even if the one who waits is cancelled. `on_end` is called once: when it is over, when it is left to
    wait for its time, or when this raises. Raises Rejection 404 when the dead letter that it was for has gone.
    claim: of an idempotency key, for callers whose records are kept. When an earlier one has the key, that is the
    result, and nothing is taken on.
    """
    return await caller.services.running.finish(invocation.activation_id, _accept(caller, invocation, on_end, claim))


def check_load(services: Services) -> None:
    """Raises Rejection 503 when there is so much in flight that nothing should be accepted for later."""
    if len(services.running) >= services.most_in_flight:
        raise Rejection(503, messages.OVERLOADED, retry_after_s=1)


async def _accept(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], claim: Claim | None
) -> Claim | None:
    is_journaled = caller.is_stored  # without records there is none that could settle the entry
    work: PendingActivation
    try:
        caller.services.bus.check()
        if invocation.is_composite:
            work = _pending_composite(caller, invocation)
        else:
            work = PendingAction(message_of(caller, invocation, blocking=False, is_journaled=is_journaled))
        if is_journaled and (earlier := await _append(caller.services, work, invocation.delay_ms, claim)):
            on_end()
            return earlier
        if invocation.delay_ms:
            on_end()
        elif isinstance(work, PendingAction):
            _dispatch(caller, work.message, on_end)
        else:
            _conduct(caller, invocation, on_end, work if is_journaled else None)
    except BaseException:
        on_end()
        raise
    return None


async def append_entry(
    services: Services, pending: Pending, claim: Claim | None, due_ms: int | None = None
) -> Claim | None:
    """Have `pending` in the journal, with `claim` if there is one; the earlier claim when its key was taken already."""
    message = encode_pending(pending)
    if claim is not None:
        return await services.keys.claim(claim, message, due_ms=due_ms)
    namespace = pending.identity.namespace
    await services.journal.append(pending.activation_id, message, namespace=namespace, due_ms=due_ms)
    return None


async def _append(services: Services, work: PendingActivation, delay_ms: int, claim: Claim | None) -> Claim | None:
    if work.retry_of is not None:
        await _revive(services, work, work.retry_of)
        return None
    due_ms = work.accepted_ms if delay_ms else None
    earlier = await append_entry(services, work, claim, due_ms)
    if earlier is None and due_ms is not None:
        services.agenda.expect(due_ms)
    return earlier


async def _revive(services: Services, work: PendingActivation, letter_id: str) -> None:
    namespace = work.identity.namespace
    letter = await services.dead_letters.read(namespace, letter_id)
    entry = Entry(work.activation_id, namespace, encode_pending(work), work.accepted_ms)
    if letter is None or not await services.dead_letters.revive(letter, entry):
        raise Rejection(404, messages.DEAD_LETTER_NOT_FOUND)


def _dispatch(caller: Caller, message: ActivationMessage, on_end: Callable[[], None]) -> asyncio.Future[Activation]:
    services = caller.services
    return services.running.adopt(message.activation_id, services.bus.dispatch(message), on_end)


def _conduct(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], work: PendingComposite | None
) -> asyncio.Future[Activation]:
    running = Execution(caller).run_invocation(invocation, work)
    return caller.services.running.adopt(invocation.activation_id, running, on_end)


def _pending_composite(caller: Caller, invocation: Invocation) -> PendingComposite:
    action, _, binding = invocation.resolved
    return PendingComposite(
        accepted_ms=invocation.accepted_ms + invocation.delay_ms,
        action=action,
        activation_id=invocation.activation_id,
        binding=binding,
        identity=caller.identity,
        payload=invocation.payload.text,
        retry_of=invocation.retry_of,
        transaction_id=caller.transaction_id,
    )
