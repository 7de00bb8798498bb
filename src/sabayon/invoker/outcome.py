"""How a launcher's replies to init and run become an activation's response.

The cases and their order are those of the runtime contract; the texts are in `messages`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sabayon import messages
from sabayon.entity.activation import Outcome, Response, error_response
from sabayon.sandbox.base import Reply

OK = 200


class Limits(NamedTuple):
    """What one run is held to: its time limit, and how long a result may be."""

    timeout_ms: int
    payload_bytes: int
    truncation_bytes: int


class _WithError(msgspec.Struct):
    """An object, of which only the key `error` matters; the rest is checked for syntax and skipped."""

    error: Raw | UnsetType = UNSET


_object = msgspec.json.Decoder(_WithError)
_array = msgspec.json.Decoder(list[Raw])


def init_failure(reply: Reply, elapsed_ms: float, limits: Limits) -> Response | None:
    """What ends the activation at initialization, or None when the code is loaded."""
    if reply.status == OK and not reply.is_truncated:
        return None
    if elapsed_ms >= limits.timeout_ms:
        return timed_out(limits, during_init=True)
    if reply.is_truncated:
        return _truncated(reply, limits, Outcome.DEVELOPER_ERROR)
    text = _text(reply.body)
    error = None if text is None else _error_of(reply.body)
    if isinstance(error, Raw):
        return _reduced(Outcome.DEVELOPER_ERROR, error, text)
    shown = reply.body.decode(errors="replace")
    return error_response(Outcome.DEVELOPER_ERROR, messages.init_failed(shown), len(shown))


def run_response(reply: Reply, elapsed_ms: float, limits: Limits) -> Response:
    """The response of an activation whose run was answered."""
    if elapsed_ms >= limits.timeout_ms:
        return timed_out(limits, during_init=False)
    if reply.is_truncated or reply.length > limits.payload_bytes:
        return _truncated(reply, limits, Outcome.APPLICATION_ERROR)
    text = _text(reply.body)
    error = None if text is None else _error_of(reply.body)
    if text is None or error is None:
        return _invalid(reply.body)
    if reply.status != OK:
        return _reduced(Outcome.DEVELOPER_ERROR, error, text) if isinstance(error, Raw) else _invalid(reply.body)
    if isinstance(error, Raw):
        return _reduced(Outcome.APPLICATION_ERROR, error, text)
    return Response(Outcome.SUCCESS, Raw(reply.body.strip()), len(text))


def timed_out(limits: Limits, *, during_init: bool) -> Response:
    """The time limit has passed."""
    return error_response(Outcome.DEVELOPER_ERROR, messages.time_exceeded(limits.timeout_ms, during_init=during_init))


def died(*, during_init: bool, is_out_of_memory: bool) -> Response:
    """The sandbox went away without an answer."""
    if is_out_of_memory:
        return error_response(Outcome.DEVELOPER_ERROR, messages.OUT_OF_MEMORY)
    return error_response(Outcome.DEVELOPER_ERROR, messages.INIT_DIED if during_init else messages.RUN_DIED)


def _error_of(body: bytes) -> Raw | UnsetType | None:
    """The value of `error`; UNSET for an object without it and for an array; None for what is neither."""
    try:
        if body.lstrip()[:1] == b"[":
            _array.decode(body)
            return UNSET
        return _object.decode(body).error
    except (msgspec.MsgspecError, RecursionError):
        return None


def _reduced(outcome: Outcome, error: Raw, text: str | None) -> Response:
    """Only the error is kept of a result that has one."""
    return Response(outcome, Raw(b'{"error":' + bytes(error) + b"}"), None if text is None else len(text))


def _invalid(body: bytes) -> Response:
    text = body.decode(errors="replace")
    return error_response(Outcome.DEVELOPER_ERROR, messages.invalid_response(text), len(text))


def _truncated(reply: Reply, limits: Limits, outcome: Outcome) -> Response:
    prefix = reply.body[: limits.truncation_bytes].decode(errors="replace")
    text = messages.response_truncated(reply.length, limits.payload_bytes, prefix)
    return error_response(outcome, text, reply.length)


def _text(body: bytes) -> str | None:
    """The body as text, None when it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
