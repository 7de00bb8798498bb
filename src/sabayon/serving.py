"""The HTTP server: uvicorn on sockets that are handed in, with bounds on what a client may take of it.

Besides the main socket it serves listeners that come and go, such as the one inside each
sandbox's network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sabayon.errors import OperatorError
from sabayon.newcomers import keep_out

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. The longest URI that is served is 8 KiB."""

MAX_EXTRA_CONNECTIONS: Final = 64
"""At a time to one listener that is not the main one: a sandbox must not use up the platform's descriptors."""

HANDSHAKE_S: Final = 0.25
"""For connections that have begun to become complete, and be accepted."""

_LINGER_S: Final = 2.0
_TOO_LARGE_TEXT: Final = b"The request's headers are larger than this server accepts."
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
    b"content-type: text/plain; charset=UTF-8\r\ncontent-length: %d\r\n\r\n%s" % (len(_TOO_LARGE_TEXT), _TOO_LARGE_TEXT)
)

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class Patience(NamedTuple):
    """How long a client may keep a connection without getting on, in seconds.

    head_s: for a whole head, and before the first. stall_s: between two parts of a body, and for taking any part of an
    answer. idle_s: between two requests.
    """

    head_s: float = 30.0
    stall_s: float = 60.0
    idle_s: int = 75


PATIENCE: Final = Patience()


class _Timer:
    """Calls once, unless it is set again or cleared before."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._handle is not None

    def set(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.clear()
        self._handle = self._loop.call_later(delay_s, callback)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that grows past the bound before it is kept in memory, and hangs up on who does not get on.

    peers: the connections of the same listener, where their number is bounded. is_retiring: whether each request is to
    be the last of its connection.
    """

    def __init__(
        self,
        *args: Any,
        patience: Patience,
        peers: set[BoundedProtocol] | None = None,
        is_retiring: Callable[[], bool] = lambda: False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._is_retiring = is_retiring
        self._patience = patience
        self._peers = peers
        self._head_bytes = 0
        self._is_in_head = True
        self._is_in_body = False
        self._is_refused = False
        self._unsent_bytes = 0
        self._reading = _Timer()
        self._writing = _Timer()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._peers is not None:
            if len(self._peers) >= MAX_EXTRA_CONNECTIONS:
                transport.abort()
                return
            self._peers.add(self)
        self._reading.set(self._patience.head_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peers is not None:
            self._peers.discard(self)
        self._reading.clear()
        self._writing.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._ends_head(data):
                self._refuse()
                return
        super().data_received(data)
        self._expect_more()

    def _refuse(self) -> None:
        """Answer, and throw away for a while what still comes: to close with it unread would destroy the answer."""
        self._is_refused = True
        self.transport.write(_TOO_LARGE)
        self.transport.write_eof()
        self._reading.set(_LINGER_S, self.transport.abort)

    def _expect_more(self) -> None:
        """Set the time by which more must have come, if any must. A head gets its time once, a body for each part."""
        if self._is_in_body:
            self._reading.set(self._patience.stall_s, self._on_silence)
        elif not self._head_bytes:
            self._reading.clear()
        elif not self._reading.is_set:
            self._reading.set(self._patience.head_s, self.transport.abort)

    def _on_silence(self) -> None:
        """No part of the body for long; not the client's fault while the application does not take what has come."""
        if self.flow.read_paused:
            self._expect_more()
        else:
            self.transport.abort()

    def _ends_head(self, data: bytes) -> bool:
        """Whether what exceeds the bound may be body that arrived together with the head."""
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._head_bytes - len(data) + end <= MAX_HEAD_BYTES

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body = False, True
        super().on_headers_complete()
        self.retire()

    def retire(self) -> None:
        """If it is time, have the answer to the request under way say that it is the last, unless it has begun."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self._is_retiring() and cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._is_in_head, self._is_in_body, self._head_bytes = True, False, 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._writing.set(self._patience.stall_s, self._on_stall)

    def resume_writing(self) -> None:
        self._writing.clear()
        super().resume_writing()

    def _on_stall(self) -> None:
        """An answer that is not taken keeps its memory, so it is given up unless some of it has gone."""
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self.pause_writing()
        else:
            self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has an owner already."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI application."""

    def __init__(self, app: ASGIApp, *, drain_s: float, patience: Patience = PATIENCE) -> None:
        self._patience = patience
        self._is_retiring = False
        protocol = functools.partial(BoundedProtocol, patience=patience, is_retiring=lambda: self._is_retiring)
        self._config = uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=patience.idle_s,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            backlog=2048,
        )
        self._config.load()
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None
        self._main: socket.socket | None = None
        self._openings: set[asyncio.Task[asyncio.Server]] = set()

    async def start(self, main: socket.socket) -> None:
        """Serve `main` until `aclose`."""
        self._main = main
        self._task = asyncio.create_task(self._server.serve(sockets=[main]), name="http server")
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.001)

    def listen(self, extra: socket.socket) -> Callable[[], None]:
        """Serve `extra` as well. Calling the result stops that, hangs up on its clients and closes the socket."""
        loop = asyncio.get_running_loop()
        peers: set[BoundedProtocol] = set()
        protocol = functools.partial(
            BoundedProtocol, self._config, self._server.server_state, {}, patience=self._patience, peers=peers
        )
        opening = loop.create_task(loop.create_server(protocol, sock=extra))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

        def close(opened: asyncio.Task[asyncio.Server]) -> None:
            if opened.cancelled() or opened.exception() is not None:
                extra.close()
            else:
                opened.result().close()
            for peer in list(peers):
                peer.transport.abort()

        return lambda: opening.add_done_callback(close)

    async def retire(self, most_s: float) -> None:
        """Refuse new connections on the main socket, and serve each that is open once more, for at most so long.

        Returns when none is left. A client that goes elsewhere when it is refused, or told that a connection is
        closed, notices nothing: what it has sent is answered.
        """
        assert self._main is not None
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + most_s
        self._is_retiring = True
        connections = self._server.server_state.connections
        for connection in connections:
            assert isinstance(connection, BoundedProtocol)
            connection.retire()
        with contextlib.suppress(OSError):  # a kernel without packet filters: then some may be hung up on
            keep_out(self._main)
        await asyncio.sleep(HANDSHAKE_S)
        for server in self._server.servers:
            server.close()
        while connections and loop.time() < ends_at:  # noqa: ASYNC110 - the set is uvicorn's, which tells nobody
            await asyncio.sleep(0.02)

    def abandon(self) -> None:
        """Have `aclose` wait for requests under way no longer."""
        self._server.force_exit = True

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


class Router:
    """Sends a request to the application mounted at the longest matching prefix."""

    def __init__(self) -> None:
        self._mounts: list[tuple[str, ASGIApp]] = []

    def mount(self, prefix: str, app: ASGIApp) -> None:
        self._mounts.append((prefix, app))
        self._mounts.sort(key=lambda mount: -len(mount[0]))

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        path: str = scope["path"]
        for prefix, app in self._mounts:
            if path.startswith(prefix):
                return app(scope, receive, send)
        raise NotImplementedError(f"nothing is mounted at {path}")
