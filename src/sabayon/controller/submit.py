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
from sabayon.entity.activation import Activation, new_activation_id
from sabayon.entity.names import EntityName
from sabayon.errors import Rejection


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
        return _conduct(caller, invocation, on_end, settles=False)
    try:
        return _dispatch(caller, message_of(caller, invocation, blocking=True), on_end)
    except BaseException:
        on_end()
        raise


async def accept(caller: Caller, invocation: Invocation, on_end: Callable[[], None]) -> None:
    """Take on `invocation` for good: when this returns it will have its record, even if the platform is killed.

    It goes on even if the one who waits is cancelled. `on_end` is called once, when it is over or when this raises.
    """
    await caller.services.running.finish(invocation.activation_id, _accept(caller, invocation, on_end))


async def _accept(caller: Caller, invocation: Invocation, on_end: Callable[[], None]) -> None:
    is_journaled = caller.is_stored  # without records there is none that could settle the entry
    try:
        caller.services.bus.check()
        if invocation.is_composite:
            if is_journaled:
                await _append(caller, invocation, _pending_composite(caller, invocation))
            _conduct(caller, invocation, on_end, settles=is_journaled)
        else:
            message = message_of(caller, invocation, blocking=False, is_journaled=is_journaled)
            if is_journaled:
                await _append(caller, invocation, PendingAction(message))
            _dispatch(caller, message, on_end)
    except BaseException:
        on_end()
        raise


async def _append(caller: Caller, invocation: Invocation, pending: Pending) -> None:
    await caller.services.journal.append(invocation.activation_id, encode_pending(pending))


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
