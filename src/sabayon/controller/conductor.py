"""Compositions: a conductor action says after each step which action comes next."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sabayon import messages
from sabayon.controller.composite import ComponentRefused, Executor, Frame, application_error, whisk_error
from sabayon.controller.payload import EMPTY, Payload, overlay, payload_from, payload_of
from sabayon.entity.activation import Response
from sabayon.entity.names import EntityName, MalformedName, parse_name
from sabayon.entity.parameters import Arguments, is_object
from sabayon.errors import SabayonError


class Step(NamedTuple):
    """What a conductor wants done: `action` is the JSON it named it with. `state`: to be given back to it."""

    action: Raw
    params: Payload
    state: Arguments


class _Wish(msgspec.Struct):
    action: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    state: Raw | UnsetType = UNSET


_wish = msgspec.json.Decoder(_Wish)
_text = msgspec.json.Decoder(str)
_PARAMS_BOX: Final = "value"
_STATE_BOX: Final = "state"


async def run_composition(executor: Executor, frame: Frame, payload: Payload) -> Response:
    """Alternate between the conductor of `frame` and the actions it names, until it names none.

    Failures of a component are told to the conductor; only its own end the composition.
    """
    state: Arguments = {}
    while True:
        if frame.budget.conductors > 2 * frame.length:
            return application_error(messages.COMPOSITION_TOO_LONG)
        frame.budget.conductors += 1
        finished = await executor.run_code(frame.resolved, overlay(payload, state) if state else payload, frame)
        frame.trail.add(finished)
        step = read_step(finished.activation.response)
        if isinstance(step, Response):
            return step
        state = step.state
        payload = await _run_component(executor, frame, step)


def read_step(response: Response) -> Step | Response:
    """The next step in a conductor's result; the composition's response when there is none."""
    if response.is_array:
        return whisk_error(messages.COMPOSITION_ACTIVATION_FAILED)
    wish = _wish.decode(response.result)
    params = None if wish.params is UNSET else _boxed(wish.params, _PARAMS_BOX)
    if wish.action is UNSET:
        return response if params is None else Response(response.outcome, params.text)
    state = {} if wish.state is UNSET else _boxed(wish.state, _STATE_BOX).members or {}
    return Step(wish.action, params or EMPTY, state)


def _boxed(value: Raw, key: str) -> Payload:
    return payload_of(value) if is_object(value) else payload_from({key: value})


def component_name(action: Raw, namespace: str) -> EntityName | None:
    """The action a conductor named: `a`, `pkg/a`, `[/]ns/pkg/a` or `/ns/a`; None when that is no name."""
    try:
        text = _text.decode(action)
        is_absolute = text.startswith("/") or text.count("/") > 1
        return parse_name(text if is_absolute else f"{namespace}/{text}").resolve(namespace)
    except (msgspec.DecodeError, MalformedName):
        return None


async def _run_component(executor: Executor, frame: Frame, step: Step) -> Payload:
    """What the conductor is told of the component: its result, or why there is none. Raises ComponentTimeout."""
    name = component_name(step.action, executor.namespace)
    if name is None:
        return _trouble(messages.composition_name_malformed(bytes(step.action).decode()))
    if frame.budget.components >= frame.length:
        return _trouble(messages.COMPOSITION_TOO_LONG)
    try:
        response = await _run_named(executor, frame, name, step.params)
    except ComponentRefused:
        return _trouble(messages.composition_not_entitled(name.id))
    except SabayonError:
        return _trouble(messages.composition_name_unresolved(name.id))
    return _trouble(messages.composition_name_unresolved(name.id)) if response.is_array else payload_of(response.result)


async def _run_named(executor: Executor, frame: Frame, name: EntityName, params: Payload) -> Response:
    component = await executor.find(name)
    if not component.action.is_conductor:
        frame.budget.components += 1
    finished = await executor.run(component, params, frame)
    frame.trail.add(finished)
    return finished.activation.response


def _trouble(text: str) -> Payload:
    return payload_from({"error": Raw(msgspec.json.encode(text))})
