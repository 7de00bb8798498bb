"""The API on listening sockets of this process, when it is another process that serves it: bytes go to and fro.

Sandboxes find the API on their own loopback wherever they run. On a host without a controller, this is what is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sabayon.errors import OperatorError

logger = logging.getLogger("sabayon.relay")

MAX_CONNECTIONS: Final = 64
"""At a time to one listener: a sandbox must not use up this process's descriptors."""

CONNECT_S: Final = 5.0
IDLE_S: Final = 120.0
"""Longer than the API lets anybody wait for anything."""

CHUNK_BYTES: Final = 64 * 1024


class Upstream(NamedTuple):
    """Where the API is."""

    host: str
    port: int
    is_tls: bool


def upstream(url: str) -> Upstream:
    """`http://HOST[:PORT]` or `https://…`. Raises OperatorError."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise OperatorError(f"the setting api must be http://HOST[:PORT] or https://HOST[:PORT], not {url!r}")
    return Upstream(parts.hostname, port, parts.scheme == "https")


class Relay:
    """Connections to an API elsewhere; to none, which ends them at once, if `target` is None."""

    def __init__(self, target: Upstream | None) -> None:
        self._target = target

    def listen(self, extra: socket.socket) -> Callable[[], None]:
        """Serve `extra`. Calling the result stops that, hangs up on its clients and closes the socket."""
        loop = asyncio.get_running_loop()
        clients: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            if len(clients) >= MAX_CONNECTIONS:
                writer.close()
                return
            clients.add(task)
            try:
                await self._relay(reader, writer)
            finally:
                clients.discard(task)

        opening = loop.create_task(asyncio.start_server(serve, sock=extra))

        def close(opened: asyncio.Task[asyncio.Server]) -> None:
            if opened.cancelled() or opened.exception() is not None:
                extra.close()
            else:
                opened.result().close()
            for client in list(clients):
                client.cancel()

        return lambda: opening.add_done_callback(close)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        with contextlib.closing(writer):
            if self._target is None:
                return
            host, port, is_tls = self._target
            try:
                async with asyncio.timeout(CONNECT_S):
                    up_reader, up_writer = await asyncio.open_connection(host, port, ssl=is_tls or None)
            except (OSError, TimeoutError) as error:
                logger.warning("the API at %s:%d cannot be reached: %s", host, port, str(error) or "no answer")
                return
            with contextlib.closing(up_writer):
                ways = [asyncio.create_task(_copy(reader, up_writer)), asyncio.create_task(_copy(up_reader, writer))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """One way, until its source ends, or says nothing for too long."""
    with contextlib.suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(IDLE_S):
                data = await source.read(CHUNK_BYTES)
            if not data:
                return
            target.write(data)
            async with asyncio.timeout(IDLE_S):
                await target.drain()
