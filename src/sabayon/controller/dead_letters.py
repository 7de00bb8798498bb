"""Dead letters: listed, read, tried again and dropped by hand."""

from __future__ import annotations

from msgspec import Raw

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.entitlement import Right
from sabayon.controller.http import Response, json_response, raw_json_response
from sabayon.controller.invoke import accepted_response, caller_of
from sabayon.controller.payload import parse_payload
from sabayon.controller.query import boolean, paging
from sabayon.controller.submit import accept, check_load, prepare
from sabayon.delivery.letters import letter_view
from sabayon.delivery.pending import decode_activation
from sabayon.errors import Rejection
from sabayon.store.base import Letter


async def list_dead_letters(call: Call) -> Response:
    """`GET dead-letters`: summaries, latest first; with `count` only how many there are."""
    limit, skip = paging(call.request.query, "dead-letters", call.services.limits)
    letters = call.services.dead_letters
    if boolean(call.request.query, "count", False):
        return json_response({"dead-letters": max(0, await letters.count(call.namespace) - skip)})
    return json_response([Raw(summary) for summary in await letters.list(call.namespace, skip=skip, limit=limit)])


async def read_dead_letter(call: Call) -> Response:
    """`GET dead-letters/{id}`: its summary, and the payload of the call."""
    return raw_json_response(letter_view(await _required(call)))


async def retry_dead_letter(call: Call) -> Response:
    """`POST dead-letters/{id}`: invoke the action as it is now, under a new id, in place of the letter; 202.

    The record of the old id stays: an id has one record.
    """
    check_load(call.services)
    letter = await _required(call)
    work, caller = decode_activation(letter.message), caller_of(call)
    if not caller.is_stored:
        raise Rejection(400, messages.RETRY_WITHOUT_RECORDS)
    await call.entitlement.check_entity(call.identity, Right.ACTIVATE, "actions", work.addressed)
    payload = parse_payload(bytes(work.payload))
    invocation = await prepare(caller, work.addressed, payload, call.request.accepted_ms)
    await accept(caller, invocation._replace(retry_of=letter.activation_id), call.slot.take())
    return accepted_response(invocation.activation_id)


async def delete_dead_letter(call: Call) -> Response:
    """`DELETE dead-letters/{id}`: drop it; its activation record stays."""
    letter = await _required(call)
    if not await call.services.dead_letters.delete(call.namespace, letter.activation_id):
        raise Rejection(404, messages.DEAD_LETTER_NOT_FOUND)
    return raw_json_response(letter.summary)


async def _required(call: Call) -> Letter:
    letter = await call.services.dead_letters.read(call.namespace, call.parts[0])
    if letter is None:
        raise Rejection(404, messages.DEAD_LETTER_NOT_FOUND)
    return letter
