"""Submitting an invocation: the checks before it, then the start of a run that a caller waits for, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.controller.execution import Caller, Execution, Invocation, check_components, message_of
from sabayon.controller.payload import Payload, overrides_final
from sabayon.controller.pending import Pending, PendingAction, PendingComposite, encode_pending
from sabayon.controller.resolve import resolve_action
from sabayon.controller.services import Services
from sabayon.entity.activation import Activation, new_activation_id
from sabayon.entity.names import EntityName
from sabayon.errors import Rejection
from sabayon.store.base import Claim


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

    `on_end` is called once, when it is over; not when this raises.
    """
    if invocation.is_composite:
        return _conduct(caller, invocation, on_end, settles=False)
    return _dispatch(caller, message_of(caller, invocation, blocking=True), on_end)


async def accept(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], claim: Claim | None = None
) -> Claim | None:
    """Take on `invocation` for good: when this returns it will have its record, even if the platform is killed.

    It goes on even if the one who waits is cancelled. `on_end` is called once, when it is over or when this raises.
    claim: of an idempotency key, for callers whose records are kept. When an earlier one has the key, that is the
    result, and nothing is taken on.
    """
    return await caller.services.running.finish(invocation.activation_id, _accept(caller, invocation, on_end, claim))


async def _accept(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], claim: Claim | None
) -> Claim | None:
    services, activation_id = caller.services, invocation.activation_id
    is_journaled = caller.is_stored  # without records there is none that could settle the entry
    try:
        if invocation.is_composite:
            pending = _pending_composite(caller, invocation)
            if is_journaled and (earlier := await append_entry(services, activation_id, pending, claim)):
                on_end()
                return earlier
            _conduct(caller, invocation, on_end, settles=is_journaled)
        else:
            message = message_of(caller, invocation, blocking=False, is_journaled=is_journaled)
            entry = PendingAction(message)
            if is_journaled and (earlier := await append_entry(services, activation_id, entry, claim)):
                on_end()
                return earlier
            _dispatch(caller, message, on_end)
    except BaseException:
        on_end()
        raise
    return None


async def append_entry(services: Services, activation_id: str, pending: Pending, claim: Claim | None) -> Claim | None:
    """Have `pending` in the journal, with `claim` if there is one; the earlier claim when its key was taken already."""
    entry = encode_pending(pending)
    if claim is not None:
        return await services.keys.claim(claim, entry)
    await services.journal.append(activation_id, entry)
    return None


def _dispatch(caller: Caller, message: ActivationMessage, on_end: Callable[[], None]) -> asyncio.Future[Activation]:
    services = caller.services
    return services.running.adopt(message.activation_id, services.bus.dispatch(message), on_end)


def _conduct(
    caller: Caller, invocation: Invocation, on_end: Callable[[], None], *, settles: bool
) -> asyncio.Future[Activation]:
    work = Execution(caller).run_invocation(invocation, settles=settles)
    return caller.services.running.adopt(invocation.activation_id, work, on_end)


def _pending_composite(caller: Caller, invocation: Invocation) -> PendingComposite:
    action, _, binding = invocation.resolved
    return PendingComposite(
        accepted_ms=invocation.accepted_ms,
        action=action,
        activation_id=invocation.activation_id,
        binding=binding,
        identity=caller.identity,
    )
