"""The ends of a request on the wire: a body read whole, an answer sent whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from sabayon import messages
from sabayon.controller.http import CORS, Response, text_response
from sabayon.deadlines import Deadlines
from sabayon.entity.limits import MB

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_BODY_BYTES: Final = 50 * MB
BODY_S: Final = 30.0


class PlainAnswer(Exception):
    """An answer of the transport: plain text instead of the JSON error body."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = text_response(text, status)


_CORS: Final = tuple((name.encode(), value.encode()) for name, value in CORS)


async def read_body(receive: Receive, headers: dict[str, str], deadlines: Deadlines) -> bytes:
    """The whole body. Raises PlainAnswer 413, 408, or 400 when the client goes away before its end."""
    declared = headers.get("content-length")
    if declared is None and "transfer-encoding" not in headers:
        return b""
    if declared is not None and declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise PlainAnswer(413, messages.TOO_LARGE)
    parts: list[bytes] = []
    size = 0
    try:
        with deadlines.within(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise PlainAnswer(400, messages.BAD_REQUEST)  # half a body must not be taken for a whole one
                part = message.get("body", b"")
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise PlainAnswer(413, messages.TOO_LARGE)
                parts.append(part)
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError as error:
        raise PlainAnswer(408, messages.BODY_TIMEOUT) from error


async def send_response(send: Send, response: Response, transaction_id: str) -> int:
    """Send `response` with the headers that every answer has. The size of its body in bytes."""
    headers = [(b"x-request-id", transaction_id.encode("latin-1"))]
    if response.has_cors:
        headers += _CORS
    for name, value in response.headers:
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    if response.status != 204 and response.parts is None:
        headers.append((b"content-length", str(len(response.body)).encode()))
    if response.body:
        headers.append((b"content-type", response.content_type.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    is_whole = response.parts is None
    await send({"type": "http.response.body", "body": response.body, "more_body": not is_whole})
    size = len(response.body)
    if response.parts is not None:
        async for part in response.parts:
            size += len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    return size
