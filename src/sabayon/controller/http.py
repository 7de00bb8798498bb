"""Requests and responses as the controller's modules see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from sabayon import messages
from sabayon.errors import Rejection

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"

Headers = tuple[tuple[str, str], ...]

_encoder = msgspec.json.Encoder()


class Request(NamedTuple):
    """One request, its body read whole.

    segments: percent-decoded path segments below `/api/v1/`; a trailing slash gives a last empty segment.
    query: the first occurrence of each parameter. headers: names in lower case, the last occurrence.
    accepted_ms: epoch ms when the request arrived.
    """

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    transaction_id: str
    accepted_ms: int


class Response(NamedTuple):
    """One answer. `headers` come on top of those every answer has."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """`value` as compact JSON."""
    return Response(status, _encoder.encode(value), JSON, headers)


def raw_json_response(body: bytes, status: int = 200, headers: Headers = ()) -> Response:
    """JSON that is encoded already."""
    return Response(status, body, JSON, headers)


def text_response(text: str, status: int = 200) -> Response:
    """Plain text."""
    return Response(status, text.encode(), TEXT)


def error_response(status: int, text: str, transaction_id: str, headers: Headers = ()) -> Response:
    """The error body: `code` is the transaction id, never a number."""
    return json_response({"code": transaction_id, "error": text}, status, headers)


class FrameworkRejection(Rejection):
    """Refused before a handler was chosen or entered. Answered without CORS headers."""


def check_content_type(request: Request) -> None:
    """Raises FrameworkRejection 415 unless the body may be JSON. An empty one may have none, but not a wrong one."""
    content_type = request.headers.get("content-type")
    if content_type is None:
        if request.body:
            raise FrameworkRejection(415, messages.content_type_not_supported("application/octet-stream"))
    elif content_type.partition(";")[0].strip().lower() != JSON:
        raise FrameworkRejection(415, messages.content_type_not_supported(content_type))


def malformed(detail: str) -> FrameworkRejection:
    """400 for a body that cannot be decoded."""
    return FrameworkRejection(400, messages.MALFORMED_CONTENT + detail)


def malformed_query(name: str, detail: str) -> FrameworkRejection:
    """400 for a query parameter that cannot be decoded."""
    return FrameworkRejection(400, messages.malformed_query(name, detail))


def no_route() -> FrameworkRejection:
    """404 for a path, or a method on a path, that does not exist."""
    return FrameworkRejection(404, messages.NO_ROUTE)
