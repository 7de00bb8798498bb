"""Requests and responses as the controller's modules see them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from sabayon import messages
from sabayon.errors import Rejection

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"
HTML = "text/html; charset=UTF-8"

Headers = tuple[tuple[str, str], ...]

CORS: Final[Headers] = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Headers", "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"),
    ("Access-Control-Allow-Methods", "GET, DELETE, POST, PUT, HEAD"),
)

MAX_NUMBER_CHARS: Final = 100

_encoder = msgspec.json.Encoder()
_LONG_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?<![\d.eE+-])([\d.eE+-]{%d,}+)' % (MAX_NUMBER_CHARS + 1))
_NUMBER_CHARS = bytes(b"0"[0] if c in b"0123456789.eE+-" else b" "[0] for c in range(256))
_LONG_RUN = b"0" * (MAX_NUMBER_CHARS + 1)


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
    """One answer. `headers` come on top of those every answer has. parts: what follows `body`, as it becomes ready.

    has_cors: whether pages of other origins are told that they may read it.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()
    parts: AsyncIterator[bytes] | None = None
    has_cors: bool = False


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """`value` as compact JSON."""
    return Response(status, _encoder.encode(value), JSON, headers)


def raw_json_response(body: bytes, status: int = 200, headers: Headers = ()) -> Response:
    """JSON that is encoded already."""
    return Response(status, body, JSON, headers)


def text_response(text: str, status: int = 200) -> Response:
    """Plain text."""
    return Response(status, text.encode(), TEXT)


def html_response(page: str) -> Response:
    """A page for people."""
    return Response(200, page.encode(), HTML)


def error_response(
    status: int, text: str, transaction_id: str, headers: Headers = (), *, has_cors: bool = False
) -> Response:
    """The error body: `code` is the transaction id, never a number."""
    body = _encoder.encode({"code": transaction_id, "error": text})
    return Response(status, body, JSON, headers, has_cors=has_cors)


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


def check_json_text(body: bytes) -> None:
    """What a decoder that keeps values as they came does not see: text that is no UTF-8, and numbers without end.

    Numbers longer than the contract allows bring the JSON readers of some languages down. Raises FrameworkRejection.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise malformed(str(error)) from error
    has_long_run = len(body) > MAX_NUMBER_CHARS and _LONG_RUN in body.translate(_NUMBER_CHARS)
    if has_long_run and any(_LONG_NUMBER.findall(body)):
        raise malformed(f"a number literal is longer than {MAX_NUMBER_CHARS} characters")


def malformed(detail: str) -> FrameworkRejection:
    """400 for a body that cannot be decoded."""
    return FrameworkRejection(400, messages.MALFORMED_CONTENT + detail)


def malformed_query(name: str, detail: str) -> FrameworkRejection:
    """400 for a query parameter that cannot be decoded."""
    return FrameworkRejection(400, messages.malformed_query(name, detail))


def no_route() -> FrameworkRejection:
    """404 for a path, or a method on a path, that does not exist."""
    return FrameworkRejection(404, messages.NO_ROUTE)
