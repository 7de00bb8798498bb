"""Activations: the record of one run, and the two views a client may have of it."""

from __future__ import annotations

import secrets
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sabayon import messages
from sabayon.entity.parameters import Parameter, Parameters, is_array, parameter


class Outcome(IntEnum):
    """The four classes of a response; the value is the numeric `statusCode` of summaries."""

    SUCCESS = 0
    APPLICATION_ERROR = 1
    DEVELOPER_ERROR = 2
    WHISK_ERROR = 3

    @property
    def label(self) -> str:
        """The text in `response.status`."""
        return _LABELS[self]

    @property
    def http_status(self) -> int:
        """The status of the answer to a blocking invocation."""
        return (200, 502, 502, 500)[self]


_LABELS = ("success", "application error", "action developer error", "whisk internal error")


class Response(msgspec.Struct, frozen=True):
    """How a run ended. `size`: characters of the container's answer, None for answers the platform made.

    `result` has no white space around it.
    """

    outcome: Outcome
    result: Raw
    size: int | None = None

    @property
    def is_array(self) -> bool:
        return is_array(self.result)


def error_response(outcome: Outcome, text: str, size: int | None = None) -> Response:
    """A response whose result is `{"error": text}`."""
    return Response(outcome, Raw(msgspec.json.encode({"error": text})), size)


CANCELLED: Final = parameter("cancelled", True)
"""The annotation by which what was cancelled is told from what failed: nobody may try it again."""


class Activation(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One run of an action, a sequence or a trigger.

    namespace: the caller's. start, end: epoch ms; end is None for triggers. duration: ms, not always end - start.
    cause: id of the enclosing sequence or composition.
    """

    activation_id: str
    annotations: Parameters = ()
    cause: str | None = None
    duration: int | None = None
    end: int | None = None
    logs: tuple[str, ...] = ()
    name: str
    namespace: str
    response: Response
    start: int
    subject: str
    version: str

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody stopped it."""
        return CANCELLED in self.annotations

    @cached_property
    def record(self) -> bytes:
        """The full record as JSON, encoded once: it is stored, and sent to the one who waits."""
        return _encode(self, self.logs)


def cancelled_response() -> Response:
    """How an activation ends that somebody stopped: neither its code's fault nor the platform's."""
    return error_response(Outcome.APPLICATION_ERROR, messages.CANCELLED)


def cancelled(activation: Activation) -> Activation:
    """`activation`, marked as one that somebody stopped."""
    return msgspec.structs.replace(activation, annotations=(*activation.annotations, CANCELLED))


class _ResponseView(msgspec.Struct, frozen=True):
    result: Raw
    size: int | UnsetType
    status: str
    success: bool


class _RecordView(msgspec.Struct, frozen=True, rename={"activation_id": "activationId"}):
    activation_id: str
    annotations: Parameters
    cause: str | UnsetType
    duration: int | UnsetType
    end: int | UnsetType
    logs: tuple[str, ...]
    name: str
    namespace: str
    publish: bool
    response: _ResponseView
    start: int
    subject: str
    version: str


class _SummaryView(msgspec.Struct, frozen=True, rename={"activation_id": "activationId", "status_code": "statusCode"}):
    activation_id: str
    annotations: Parameters
    cause: str | UnsetType
    duration: int | UnsetType
    end: int | UnsetType
    name: str
    namespace: str
    publish: bool
    start: int
    status_code: int | UnsetType
    version: str


class StoredActivation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An activation as the store keeps it: both views encoded once, and what lists filter by.

    name_filter: what `?name=` is compared with: `action` or `package/action`.
    """

    activation_id: str
    namespace: str
    name_filter: str
    start: int
    record: bytes
    summary: bytes


_encoder = msgspec.json.Encoder()


def new_activation_id() -> str:
    """32 random lower-case hexadecimal digits."""
    return secrets.token_hex(16)


def record_without_logs(activation: Activation) -> bytes:
    """The record as JSON, its list of logs empty."""
    return _encode(activation, ()) if activation.logs else activation.record


def _encode(activation: Activation, logs: tuple[str, ...]) -> bytes:
    response = activation.response
    return _encoder.encode(
        _RecordView(
            activation.activation_id,
            activation.annotations,
            _or_unset(activation.cause),
            _or_unset(activation.duration),
            _or_unset(activation.end),
            logs,
            activation.name,
            activation.namespace,
            False,
            _ResponseView(
                response.result,
                _or_unset(response.size),
                response.outcome.label,
                response.outcome is Outcome.SUCCESS,
            ),
            activation.start,
            activation.subject,
            activation.version,
        )
    )


def encode_summary(activation: Activation) -> bytes:
    """The list view as JSON; a trigger's has no end, duration or status code."""
    is_trigger = activation.end is None
    return _encoder.encode(
        _SummaryView(
            activation.activation_id,
            activation.annotations,
            _or_unset(activation.cause),
            _or_unset(activation.duration),
            _or_unset(activation.end),
            activation.name,
            activation.namespace,
            False,
            activation.start,
            UNSET if is_trigger else int(activation.response.outcome),
            activation.version,
        )
    )


def stored(activation: Activation) -> StoredActivation:
    """`activation` in the form the store keeps."""
    return StoredActivation(
        activation.activation_id,
        activation.namespace,
        name_filter(activation),
        activation.start,
        activation.record,
        encode_summary(activation),
    )


def name_filter(activation: Activation) -> str:
    """`action`, or `package/action` where the package is the binding's if the call went through one."""
    package = ""
    for annotation in activation.annotations:
        if annotation.key == "binding":
            return f"{_text(annotation).partition('/')[2]}/{activation.name}"
        if annotation.key == "path":
            package = _text(annotation).rpartition("/")[0].partition("/")[2]
    return f"{package}/{activation.name}" if package else activation.name


def _text(annotation: Parameter) -> str:
    value = msgspec.json.decode(annotation.value)
    return value if isinstance(value, str) else ""


def _or_unset(value: Any) -> Any:
    return UNSET if value is None else value
