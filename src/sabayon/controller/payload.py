"""What an action is run with: reading the caller's payload, and laying it over the action's parameters."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from sabayon import messages
from sabayon.controller.http import check_json_text, malformed
from sabayon.entity.action import Action
from sabayon.entity.parameters import (
    Arguments,
    Parameters,
    environment_value,
    final_keys,
    init_keys,
    is_array,
    is_object,
    is_true,
)

_object = msgspec.json.Decoder(Arguments)
_encoder = msgspec.json.Encoder()


class Payload(NamedTuple):
    """JSON handed to an action: its text, and its members when it is an object; an array has None."""

    text: Raw
    members: Arguments | None


EMPTY: Final = Payload(Raw(b"{}"), {})


def parse_payload(body: bytes) -> Payload:
    """The body of an invocation or a fire; empty counts as `{}`. Raises FrameworkRejection 400."""
    if not body:
        return EMPTY
    check_json_text(body)
    try:
        members = _object.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(messages.OBJECT_EXPECTED) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(str(error)) from error
    return Payload(Raw(body), members)


def payload_of(result: Raw) -> Payload:
    """A result as the next action's payload: an object or an array as it is, anything else becomes `{}`."""
    if is_object(result):
        return Payload(result, _object.decode(result))
    return Payload(result, None) if is_array(result) else EMPTY


def payload_from(members: Arguments) -> Payload:
    """An object made of `members`."""
    return Payload(Raw(_encoder.encode(members)), members)


def overlay(payload: Payload, members: Arguments) -> Payload:
    """`payload` with `members` over it; an array gives way to them."""
    return payload_from({**(payload.members or {}), **members})


def overrides_final(action: Action, payload: Payload) -> bool:
    """Whether `payload` has a key that an action marked `final` protects."""
    if not payload.members or not action.parameters or not is_true(action.annotations, "final"):
        return False
    return not final_keys(action.parameters).isdisjoint(payload.members)


class Inputs(NamedTuple):
    """`arguments`: JSON text of a run's `value`. `environment`: init-only parameters as text."""

    arguments: Raw
    environment: dict[str, str]


def inputs(parameters: Parameters, payload: Payload) -> Inputs:
    """`payload` over `parameters`, key by key; an array is passed as it is.

    Init-only keys stay so when the payload overrides them: they go to the environment alone.
    """
    if not parameters:
        return Inputs(payload.text, {})
    defaults = {entry.key: entry.value for entry in parameters}
    merged = defaults if payload.members is None else {**defaults, **payload.members}
    environment = {key: environment_value(merged[key]) for key in init_keys(parameters)}
    if payload.members is None:
        return Inputs(payload.text, environment)
    arguments = {key: value for key, value in merged.items() if key not in environment} if environment else merged
    return Inputs(Raw(_encoder.encode(arguments)), environment)
