"""The record of one run of a primitive action."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from sabayon.bus.base import ActivationMessage
from sabayon.entity.activation import Activation, Response
from sabayon.entity.parameters import Parameter, parameter

_parameter = lru_cache(4096, typed=True)(parameter)
"""Most annotations of an action's records are the same in all of them."""


class Times(NamedTuple):
    """When a run happened. Epoch ms and durations in ms.

    start_ms: of init if there was one, else of run. init_ms: None for a warm start. wait_ms: until start_ms.
    """

    start_ms: int
    wait_ms: int
    init_ms: int | None
    run_ms: int

    @property
    def duration_ms(self) -> int:
        return self.run_ms + (self.init_ms or 0)


def record_of(
    message: ActivationMessage, response: Response, logs: tuple[str, ...], times: Times, *, is_timeout: bool
) -> Activation:
    """The record of a run that reached a container."""
    return _record(message, response, logs, times, tuple(_annotations(message, times, is_timeout=is_timeout)))


def _record(
    message: ActivationMessage,
    response: Response,
    logs: tuple[str, ...],
    times: Times,
    annotations: tuple[Parameter, ...],
) -> Activation:
    return Activation(
        activation_id=message.activation_id,
        annotations=annotations,
        cause=message.cause,
        duration=times.duration_ms,
        end=times.start_ms + times.duration_ms,
        logs=logs,
        name=message.action.name,
        namespace=message.identity.namespace,
        response=response,
        start=times.start_ms,
        subject=message.identity.subject,
        version=message.action.version,
    )


def _annotations(message: ActivationMessage, times: Times, *, is_timeout: bool) -> list[Parameter]:
    action = message.action
    annotations = [
        _parameter("limits", action.limits),
        _parameter("path", action.entity_name.id),
        _parameter("kind", action.exec.kind),
        _parameter("timeout", is_timeout),
    ]
    if message.cause is not None:
        annotations.append(_parameter("causedBy", "sequence"))
    if times.init_ms is not None:
        annotations.append(_parameter("initTime", times.init_ms))
    annotations.append(_parameter("waitTime", times.wait_ms))
    if message.binding is not None:
        annotations.append(_parameter("binding", message.binding))
    return annotations
