"""GET on activations: lists, counts, records and their parts. What is stored is passed on, never encoded anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.http import Response, json_response, raw_json_response
from sabayon.controller.query import boolean, epoch_ms, name_filter, paging
from sabayon.entity.names import check_activation_id
from sabayon.errors import Corrupt, Rejection
from sabayon.store.base import Activations, Filter

T = TypeVar("T")


class _ResponsePart(msgspec.Struct):
    response: Raw


class _IdPart(msgspec.Struct, rename={"activation_id": "activationId"}):
    activation_id: str


class _LogsPart(msgspec.Struct):
    logs: Raw


_response_part = msgspec.json.Decoder(_ResponsePart)
_id_part = msgspec.json.Decoder(_IdPart)
_logs_part = msgspec.json.Decoder(_LogsPart)


async def list_activations(call: Call) -> Response:
    """`GET activations`: summaries, or whole records with `docs`; with `count` only how many there are."""
    query = call.request.query
    limit, skip = paging(query, "activations", call.services.limits)
    is_full, is_count = boolean(query, "docs", False), boolean(query, "count", False)
    wanted = Filter(name_filter(query), epoch_ms(query, "since"), epoch_ms(query, "upto"))
    store = call.services.activations
    if is_count and is_full:
        raise Rejection(400, messages.DOCS_WITH_COUNT)
    if is_count:
        return json_response({"activations": max(0, await store.count(call.namespace, wanted) - skip)})
    summaries = await store.list(call.namespace, wanted, skip=skip, limit=limit)
    if not is_full:
        return raw_json_response(b"[" + b",".join(summaries) + b"]")
    ids = [_part(summary, _id_part).activation_id for summary in summaries]
    return Response(200, b"[", parts=_records(store, call.namespace, ids))


async def _records(store: Activations, namespace: str, ids: Sequence[str]) -> AsyncIterator[bytes]:
    """The records of a list one by one, up to its closing bracket: with their logs they may be gigabytes."""
    separator = b""
    for id in ids:
        if record := await store.read(namespace, id):
            yield separator + record
            separator = b","
    yield b"]"


async def read_activation(call: Call) -> Response:
    """`GET activations/{id}`: the record."""
    return raw_json_response(await _record(call))


async def read_activation_result(call: Call) -> Response:
    """`GET activations/{id}/result`: its `response`."""
    return raw_json_response(bytes(_part(await _record(call), _response_part).response))


async def read_activation_logs(call: Call) -> Response:
    """`GET activations/{id}/logs`: its log lines."""
    return raw_json_response(b'{"logs":' + bytes(_part(await _record(call), _logs_part).logs) + b"}")


async def _record(call: Call) -> bytes:
    record = await call.services.activations.read(call.namespace, check_activation_id(call.parts[0]))
    if record is None:
        raise Rejection(404, messages.NOT_FOUND)
    return record


def _part(record: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(record)
    except msgspec.DecodeError as error:
        raise Corrupt("an activation record cannot be read") from error
