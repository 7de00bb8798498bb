"""A plain load balancer, as a client of the controllers behind it: what one does that asks nobody how they are.

Requests go to the controllers by turns, on connections that are kept. Another is taken when one refuses the connection,
or has closed it before anything was sent; what was sent is never sent again.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.faults.checked_load import Target

ANSWERED_S: Final = 70.0
_ROUNDS: Final = 3
"""How often it tries each controller before it says that there is none."""


class Reply(NamedTuple):
    """An answer. headers: their names in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


class NoReply(Exception):
    """Nobody took the request, or it was sent and not answered."""


class Front:
    """In front of controllers; each of `targets` tells where one is now."""

    def __init__(self, targets: Sequence[Callable[[], Target]]) -> None:
        self._targets = targets
        self._turns = itertools.count()
        self._idle: list[list[tuple[Target, socket.socket]]] = [[] for _ in targets]

    async def post(self, query: str, payload: object, headers: str = "") -> Reply:
        """Invoke the action. headers: more of them, each with its line's end. Raises NoReply."""
        first = next(self._turns)
        for attempt in range(_ROUNDS * len(self._targets)):
            turn = (first + attempt) % len(self._targets)
            target = self._targets[turn]()
            try:
                connection = await self._connection(turn, target)
            except ConnectionRefusedError:
                continue
            try:
                async with asyncio.timeout(ANSWERED_S):
                    reply = await _exchange(connection, _request(target, query, payload, headers))
            except (OSError, EOFError) as error:  # a timeout is one
                connection.close()
                raise NoReply(f"sent to {target.port} and not answered: {error!r}") from error
            if reply.headers.get("connection") == "close":
                connection.close()
            else:
                self._idle[turn].append((target, connection))
            return reply
        raise NoReply("no controller takes a connection")

    async def open(self, number: int) -> None:
        """Have so many connections to each, for what is to be sent at the same moment."""
        for turn, target in enumerate(self._targets):
            fresh = [await _connect(target()) for _ in range(number)]
            self._idle[turn] += [(target(), connection) for connection in fresh]

    def close(self) -> None:
        for _, connection in itertools.chain(*self._idle):
            connection.close()

    async def _connection(self, turn: int, target: Target) -> socket.socket:
        """The one that was used last, if it is still open. Raises ConnectionRefusedError."""
        idle = self._idle[turn]
        while idle:
            to, connection = idle.pop()
            if to == target and _is_open(connection):
                return connection
            connection.close()
        return await _connect(target)


@contextmanager
def front(targets: Sequence[Callable[[], Target]]) -> Iterator[Front]:
    """One that closes its connections in the end."""
    one = Front(targets)
    try:
        yield one
    finally:
        one.close()


async def _connect(target: Target) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (target.host, target.port))
    except BaseException:
        connection.close()
        raise
    return connection


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed it."""
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False  # its end, or what nobody has asked for


def _request(target: Target, query: str, payload: object, headers: str) -> bytes:
    text = json.dumps(payload)
    key = base64.b64encode(target.key.encode()).decode()
    return (
        f"POST /api/v1/namespaces/_/actions/{target.action}?{query} HTTP/1.1\r\nHost: front\r\n"
        f"Authorization: Basic {key}\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


async def _exchange(connection: socket.socket, request: bytes) -> Reply:
    """Raises OSError, EOFError."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request)
    answer = b""
    while (head_end := answer.find(b"\r\n\r\n")) < 0:
        answer += await _received(connection)
    first, *lines = answer[:head_end].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = answer[head_end + 4 :]
    while len(body) < int(headers["content-length"]):
        body += await _received(connection)
    return Reply(int(first.split(" ", 2)[1]), headers, json.loads(body))


async def _received(connection: socket.socket) -> bytes:
    if not (part := await asyncio.get_running_loop().sock_recv(connection, 65536)):
        raise EOFError("the connection was closed")
    return part
