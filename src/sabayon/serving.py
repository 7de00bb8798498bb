"""The HTTP server: uvicorn on sockets that are handed in, with bounds on what comes before a body.

Besides the main socket it serves listeners that come and go, such as the one inside each
sandbox's network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sabayon.errors import OperatorError

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. The longest URI that is served is 8 KiB."""

_TOO_LARGE_TEXT: Final = b"The request's headers are larger than this server accepts."
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
    b"content-type: text/plain; charset=UTF-8\r\ncontent-length: %d\r\n\r\n%s" % (len(_TOO_LARGE_TEXT), _TOO_LARGE_TEXT)
)

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose head grows past the bound, before it is kept in memory."""

    _head_bytes = 0
    _is_in_head = True

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._ends_head(data):
                self.transport.write(_TOO_LARGE)
                self.transport.close()
                return
        super().data_received(data)

    def _ends_head(self, data: bytes) -> bool:
        """Whether what exceeds the bound may be body that arrived together with the head."""
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._head_bytes - len(data) + end <= MAX_HEAD_BYTES

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_complete()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has an owner already."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI application."""

    def __init__(self, app: ASGIApp, *, drain_s: float) -> None:
        self._config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            backlog=2048,
        )
        self._config.load()
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None
        self._openings: set[asyncio.Task[asyncio.Server]] = set()

    async def start(self, main: socket.socket) -> None:
        """Serve `main` until `aclose`."""
        self._task = asyncio.create_task(self._server.serve(sockets=[main]), name="http server")
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.001)

    def listen(self, extra: socket.socket) -> Callable[[], None]:
        """Serve `extra` as well. Calling the result stops that and closes the socket."""
        loop = asyncio.get_running_loop()
        opening = loop.create_task(loop.create_server(self._protocol, sock=extra))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

        def close(opened: asyncio.Task[asyncio.Server]) -> None:
            if opened.cancelled() or opened.exception() is not None:
                extra.close()
            else:
                opened.result().close()

        return lambda: opening.add_done_callback(close)

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self._config, self._server.server_state, {})

    async def aclose(self) -> None:
        """Stop accepting on the main socket, let requests under way be answered for a bounded time, close."""
        if self._task:
            self._server.should_exit = True
            await self._task


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OperatorError when the address is taken or not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror as error:
        raise OperatorError(f"cannot listen on {host!r}: {error.strerror}") from error
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        hint = "; choose another with --port" if port else ""
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error
    return sock
