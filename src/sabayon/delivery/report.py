"""What a record tells of attempts, and what a destination is told of a record."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from sabayon.bus.base import ActivationMessage
from sabayon.entity.activation import Activation, Response, record_without_logs
from sabayon.entity.delivery import History
from sabayon.entity.logline import format_line
from sabayon.entity.parameters import Parameter, parameter

ERROR_CHARS: Final = 200
"""How much a log line tells of the error of an earlier attempt."""

RESULT_BYTES: Final = 512 * 1024
"""Longer results are not passed on to destinations: the record has to fit in an argument."""

UNKNOWN_KIND: Final = "unknown"


def record_without_run(message: ActivationMessage, response: Response, now_ms: int) -> Activation:
    """The record of an activation that ended before there was a container for it: no duration, kind unknown."""
    annotations = [parameter("path", message.action.entity_name.id), parameter("kind", UNKNOWN_KIND)]
    if message.cause is not None:
        annotations.append(parameter("causedBy", "sequence"))
    return Activation(
        activation_id=message.activation_id,
        annotations=tuple(annotations),
        cause=message.cause,
        duration=0,
        end=now_ms,
        logs=(),
        name=message.action.name,
        namespace=message.identity.namespace,
        response=response,
        start=now_ms,
        subject=message.identity.subject,
        version=message.action.version,
    )


def with_history(activation: Activation, history: History, retry_of: str | None) -> Activation:
    """The record, with the number of attempts if there were several, and what became of the others."""
    added: list[Parameter] = []
    if history.attempt > 1:
        added.append(parameter("attempts", history.attempt))
    if retry_of is not None:
        added.append(parameter("retryOf", retry_of))
    if not added and not history.earlier:
        return activation
    annotations, logs = (*activation.annotations, *added), (*history.earlier, *activation.logs)
    return msgspec.structs.replace(activation, annotations=annotations, logs=logs)


def earlier_line(attempt: int, activation: Activation) -> str:
    """The log line about an attempt that did not succeed."""
    text = f"Attempt {attempt} ended with {activation.response.outcome.label}: {_error_text(activation)}"
    return format_line((activation.end or activation.start) * 1_000_000, "stderr", text)


def _error_text(activation: Activation) -> str:
    result: Any = msgspec.json.decode(activation.response.result)
    error = result.get("error") if isinstance(result, dict) else None
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return " ".join(text[: 2 * ERROR_CHARS].split())[:ERROR_CHARS]


def destination_payload(activation: Activation) -> Raw:
    """The record without logs, and without a result that is too long to pass on."""
    response = activation.response
    if len(bytes(response.result)) > RESULT_BYTES:
        response = msgspec.structs.replace(response, result=Raw(b"null"))
        activation = msgspec.structs.replace(activation, response=response)
    return Raw(record_without_logs(activation))
