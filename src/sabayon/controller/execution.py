"""Running actions of any kind to their end: by an invoker, or, what is made of other actions, here."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.controller.composite import (
    MAX_DEPTH,
    Budget,
    Cancelled,
    ComponentRefused,
    ComponentTimeout,
    Finished,
    Frame,
    application_error,
    composite_record,
    whisk_error,
)
from sabayon.controller.conductor import run_composition
from sabayon.controller.entitlement import Entitlement, Right
from sabayon.controller.payload import Payload, inputs
from sabayon.controller.resolve import Resolved, resolve_action
from sabayon.controller.sequence import run_sequence
from sabayon.controller.services import Services
from sabayon.entity.action import Action
from sabayon.entity.activation import Activation, Response, cancelled, cancelled_response, new_activation_id, stored
from sabayon.entity.identity import Identity
from sabayon.entity.names import EntityName
from sabayon.errors import Rejection

COMPONENT_GRACE_MS: Final = 60_000
"""How much longer than its time limit a component may take to answer."""

logger = logging.getLogger("sabayon.controller")


class Caller(NamedTuple):
    """On whose behalf something runs, and for which request. is_stored: whether records are kept for this caller."""

    services: Services
    entitlement: Entitlement
    identity: Identity
    is_stored: bool
    transaction_id: str


class Invocation(NamedTuple):
    """A call that has passed all checks. accepted_ms: when the request arrived."""

    activation_id: str
    resolved: Resolved
    payload: Payload
    accepted_ms: int

    @property
    def is_composite(self) -> bool:
        return is_composite(self.resolved.action)


def is_composite(action: Action) -> bool:
    """Whether the controller runs `action` itself, as activations of other actions."""
    return action.exec.is_sequence or action.is_conductor


async def check_components(caller: Caller, sequence: Action) -> None:
    """Raises Rejection when the caller may not run a direct component of `sequence`."""
    names = [name.resolve(caller.identity.namespace) for name in sequence.exec.component_names()]
    await caller.entitlement.check_references(caller.identity, Right.ACTIVATE, [("actions", name) for name in names])


def message_of(
    caller: Caller, invocation: Invocation, *, blocking: bool, is_journaled: bool = False, cause: str | None = None
) -> ActivationMessage:
    """What an invoker is told of the run of a primitive action."""
    action, revision, binding = invocation.resolved
    arguments, environment = inputs(action.parameters, invocation.payload)
    return ActivationMessage(
        accepted_ms=invocation.accepted_ms,
        action=action,
        activation_id=invocation.activation_id,
        arguments=arguments,
        binding=None if binding is None else binding.id,
        blocking=blocking,
        cause=cause,
        environment=environment,
        identity=caller.identity,
        is_journaled=is_journaled,
        is_stored=caller.is_stored,
        revision=revision,
        transaction_id=caller.transaction_id,
    )


class Execution:
    """Runs composites and their components for one caller; it is their `Executor`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def namespace(self) -> str:
        """The caller's namespace."""
        return self._caller.identity.namespace

    async def run_invocation(self, invocation: Invocation, *, settles: bool) -> Activation:
        """Run a composite that was invoked directly. settles: whether its record settles a journal entry."""
        frame = self._frame(invocation.activation_id, invocation.resolved, invocation.accepted_ms, None)
        return (await self._complete(frame, invocation.payload, settles=settles)).activation

    async def find(self, name: EntityName) -> Resolved:
        """The action `name`, if the caller may run it. Raises ComponentRefused, Rejection."""
        caller = self._caller
        try:
            await caller.entitlement.check_entity(caller.identity, Right.ACTIVATE, "actions", name)
        except Rejection as refusal:
            raise ComponentRefused from refusal
        return await self.resolve(name)

    async def resolve(self, name: EntityName) -> Resolved:
        """The action `name`. Raises Rejection."""
        return await resolve_action(self._caller.services.artifacts, name)

    async def run(self, resolved: Resolved, payload: Payload, parent: Frame) -> Finished:
        """Run a component of any kind. Raises ComponentTimeout, Cancelled, SabayonError."""
        if not is_composite(resolved.action):
            return await self.run_code(resolved, payload, parent)
        frame = self._frame(new_activation_id(), resolved, self._caller.services.now_ms(), parent)
        parent.begin(frame.activation_id)
        return await self._complete(frame, payload)

    async def run_code(self, resolved: Resolved, payload: Payload, parent: Frame) -> Finished:
        """Run the code of an action, also that of a conductor. Raises ComponentTimeout, Cancelled, SabayonError."""
        services = self._caller.services
        invocation = Invocation(new_activation_id(), resolved, payload, services.now_ms())
        message = message_of(self._caller, invocation, blocking=True, cause=parent.activation_id)
        parent.begin(invocation.activation_id)
        future = services.running.adopt(invocation.activation_id, services.bus.dispatch(message))
        activation = await services.running.outcome_within(future, resolved.action.limits.timeout + COMPONENT_GRACE_MS)
        if activation is None:
            raise ComponentTimeout(invocation.activation_id)
        return Finished(activation, resolved.action.limits.memory)

    def _frame(self, activation_id: str, resolved: Resolved, accepted_ms: int, parent: Frame | None) -> Frame:
        services = self._caller.services
        return Frame(
            activation_id=activation_id,
            resolved=resolved,
            cause=None if parent is None else parent.activation_id,
            depth=1 if parent is None else parent.depth + 1,
            accepted_ms=accepted_ms,
            start_ms=services.now_ms(),
            length=services.limits.sequence_length,
            budget=_budget(resolved.action, parent),
        )

    async def _complete(self, frame: Frame, payload: Payload, *, settles: bool = False) -> Finished:
        """The run of a composite, which can be cancelled until its response is known."""
        caller, underway = self._caller, self._caller.services.underway
        underway.add(caller.identity.namespace, frame)
        try:
            response = await self._respond(frame, payload)
        finally:
            underway.remove(frame)
        is_cancelled = frame.course.is_cancelled
        activation = composite_record(
            frame,
            cancelled_response() if is_cancelled else response,
            namespace=caller.identity.namespace,
            subject=caller.identity.subject,
            end_ms=caller.services.now_ms(),
        )
        if is_cancelled:
            activation = cancelled(activation)
        if caller.is_stored:
            await caller.services.activations.put(stored(activation), settles=settles)
        return Finished(activation, frame.trail.memory_mb)

    async def _respond(self, frame: Frame, payload: Payload) -> Response:
        """How the composite ends. Whatever goes wrong on the way, it does end."""
        is_sequence = frame.resolved.action.exec.is_sequence
        if frame.depth > MAX_DEPTH:
            return application_error(messages.SEQUENCE_TOO_LONG if is_sequence else messages.COMPOSITION_TOO_LONG)
        try:
            if not is_sequence:
                return await run_composition(self, frame, payload)
            if frame.cause is not None:
                await check_components(self._caller, frame.resolved.action)
            return await run_sequence(self, frame, payload)
        except Cancelled:
            return cancelled_response()
        except Rejection as refusal:
            return application_error(refusal.text)
        except ComponentTimeout as late:
            text = messages.sequence_component_timeout if is_sequence else messages.composition_timeout
            return whisk_error(text(late.activation_id))
        except Exception:
            logger.exception("activation %s failed on the platform's side", frame.activation_id)
            text_ = messages.SEQUENCE_FAILED if is_sequence else messages.COMPOSITION_ACTIVATION_FAILED
            return whisk_error(text_)


def _budget(action: Action, parent: Frame | None) -> Budget:
    """Sequences in sequences share one budget, and so do compositions in compositions."""
    if parent is not None and parent.resolved.action.exec.is_sequence == action.exec.is_sequence:
        return parent.budget
    return Budget()
