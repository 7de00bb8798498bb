"""POST on an action: run it, and wait for it or not."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from sabayon import messages
from sabayon.controller.awaiting import record_within
from sabayon.controller.call import Call
from sabayon.controller.execution import Caller
from sabayon.controller.http import (
    Response,
    check_content_type,
    json_response,
    malformed_query,
    raw_json_response,
)
from sabayon.controller.idempotency import Keyed, keyed, once
from sabayon.controller.payload import Payload, parse_payload
from sabayon.controller.query import boolean
from sabayon.controller.recorded import as_answered, recorded_response
from sabayon.controller.submit import accept, prepare, start
from sabayon.entity.activation import Activation, record_without_logs
from sabayon.entity.names import EntityName
from sabayon.errors import Rejection

ACTIVATION_ID_HEADER: Final = "x-openwhisk-activation-id"
MAX_WAIT_MS: Final = 60_000


class _Options(NamedTuple):
    """What the query asks for."""

    blocking: bool
    only_result: bool
    timeout_ms: int


async def invoke_action(call: Call) -> Response:
    """`POST actions/[{package}/]{name}`: 202 at once, or when it is over 200, 502 or 500 by the class of its end."""
    check_payload_size(call)
    options = _read_options(call)
    payload = read_payload(call)
    caller = caller_of(call)
    if (request := keyed(call, "actions", payload)) is not None:
        return await _invoke_once(call, request, payload, options)
    invocation = await prepare(caller, _addressed(call), payload, call.request.accepted_ms)
    release = call.slot.take()
    if not options.blocking:
        await accept(caller, invocation, release)
        return accepted_response(invocation.activation_id)
    activation = await call.services.running.outcome_within(start(caller, invocation, release), options.timeout_ms)
    if activation is None:
        return accepted_response(invocation.activation_id)
    return _completed_response(activation, options, has_logs=invocation.is_composite)


async def _invoke_once(call: Call, request: Keyed, payload: Payload, options: _Options) -> Response:
    """As `invoke_action`; what the first request with the key has started is not started again."""

    async def begin() -> str:
        caller = caller_of(call)
        call.throttle.take_place(call.identity, call.limits)
        release = partial(call.throttle.release, call.identity)
        try:
            invocation = await prepare(caller, _addressed(call), payload, call.request.accepted_ms)
        except BaseException:
            release()
            raise
        claim = request.claim(invocation.activation_id, call.services.now_ms())
        earlier = await accept(caller, invocation, release, claim)
        return invocation.activation_id if earlier is None else request.same(earlier)

    activation_id = await once(call, request, begin)
    assert activation_id is not None
    if not options.blocking:
        return accepted_response(activation_id)
    record = await record_within(call.services, call.identity.namespace, activation_id, options.timeout_ms / 1000)
    if record is None:
        return accepted_response(activation_id)
    return _recorded_response(activation_id, record, options)


def check_payload_size(call: Call) -> None:
    """Raises Rejection 413 when the body is larger than the caller's namespace may send."""
    if len(call.request.body) > call.limits.payload_bytes:
        raise Rejection(413, messages.too_large("Request", len(call.request.body), call.limits.payload_bytes))


def read_payload(call: Call) -> Payload:
    """The body of an invocation or a fire. Raises FrameworkRejection 415 or 400."""
    check_content_type(call.request)
    return parse_payload(call.request.body)


def caller_of(call: Call) -> Caller:
    """The one who sent the request."""
    return Caller(
        call.services, call.entitlement, call.identity, call.limits.store_activations, call.request.transaction_id
    )


def accepted_response(activation_id: str) -> Response:
    """202: it will run, or goes on running."""
    return json_response({"activationId": activation_id}, 202, ((ACTIVATION_ID_HEADER, activation_id),))


def _addressed(call: Call) -> EntityName:
    return EntityName(call.parts[-1], "/".join((call.namespace, *call.parts[:-1])))


def _read_options(call: Call) -> _Options:
    query = call.request.query
    if not query:
        return _Options(False, False, MAX_WAIT_MS)
    blocking, only_result = boolean(query, "blocking", False), boolean(query, "result", False)
    return _Options(blocking, only_result, _wait_ms(query.get("timeout")))


def _wait_ms(text: str | None) -> int:
    if text is None:
        return MAX_WAIT_MS
    if text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_WAIT_MS:
        return int(text)
    raise malformed_query("timeout", messages.TIMEOUT_OUT_OF_RANGE)


def _completed_response(activation: Activation, options: _Options, *, has_logs: bool) -> Response:
    """An array result is always answered bare. The logs of a primitive action are not part of the answer."""
    response = activation.response
    if options.only_result or response.is_array:
        body = bytes(response.result)
    else:
        body = activation.record if has_logs else record_without_logs(activation)
    headers = ((ACTIVATION_ID_HEADER, activation.activation_id),)
    return raw_json_response(body, response.outcome.http_status, headers)


def _recorded_response(activation_id: str, record: bytes, options: _Options) -> Response:
    """What `_completed_response` is of an activation that somebody else has waited for, made from its record."""
    response = recorded_response(record)
    is_bare = options.only_result or response.is_array
    body = bytes(response.result) if is_bare else as_answered(record)
    return raw_json_response(body, response.outcome.http_status, ((ACTIVATION_ID_HEADER, activation_id),))
