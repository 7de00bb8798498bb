"""Reading what an activation came to from its record as it is stored."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from sabayon.entity.activation import Outcome, Response
from sabayon.entity.parameters import Parameters, parameter
from sabayon.errors import Corrupt

T = TypeVar("T")


class _ResponsePart(msgspec.Struct):
    result: Raw
    status: str


class _Record(msgspec.Struct):
    annotations: Parameters
    response: _ResponsePart


_COMPOSITE: Final = parameter("kind", "sequence")
_record = msgspec.json.Decoder(_Record)
_members = msgspec.json.Decoder(dict[str, Raw])


def recorded_response(record: bytes) -> Response:
    """How the activation ended. Raises Corrupt."""
    response = _decoded(_record, record).response
    return Response(Outcome.of_label(response.status), response.result)


def as_answered(record: bytes) -> bytes:
    """The record as a blocking call is answered with it: with the logs of composites alone. Raises Corrupt."""
    if _COMPOSITE in _decoded(_record, record).annotations:
        return record
    members: dict[str, Any] = _decoded(_members, record)
    return msgspec.json.encode({**members, "logs": ()})


def _decoded(decoder: msgspec.json.Decoder[T], record: bytes) -> T:
    try:
        return decoder.decode(record)
    except msgspec.DecodeError as error:
        raise Corrupt("an activation record cannot be read") from error
