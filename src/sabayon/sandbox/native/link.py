"""The frame connection to a launcher: questions with a number each, and answers in any order.

A question is a length (u32, big endian), a kind, a number (u32) and a body; an answer is a length, a status (u16), the
number of its question, and a body. An answer that nobody waits for is a lie of the action's, and ends the connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from sabayon.deadlines import Deadline, Deadlines
from sabayon.sandbox.base import Reply, SandboxTimeout

INIT: Final = b"I"
INIT_SHARED: Final = b"C"
"""As INIT, for code whose runs may overlap."""

PREPARE: Final = b"P"
"""Unpack code for other sandboxes, and run nothing of it."""

PLACED: Final = b"L"
"""The code is in its folder, as PREPARE leaves it; the INIT to come is without."""

RUN: Final = b"R"
SHARED: Final = 202
"""The status with which a launcher tells that the code is loaded and that its runs will overlap."""

MAX_REPLY_BYTES: Final = 1 << 30
"""No launcher of ours sends more: what claims to be longer is garbage that the action wrote."""

_HEAD: Final = struct.Struct(">IHI")
_QUESTION: Final = struct.Struct(">IcI")
_MALFORMED: Final = "the action sent a malformed frame"

_Waiter = tuple[asyncio.Future[Reply], Deadline | None]


class Link(asyncio.Protocol):
    """The platform's end of the frame socket.

    ready: the launcher's first frame, empty, which it sends when it can take questions.
    on_lost(reason) makes the error for whoever waits when the other end is gone or talks garbage.
    """

    def __init__(self, limit_bytes: int, deadlines: Deadlines, on_lost: Callable[[str], Exception]) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._limit = limit_bytes
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting: dict[int, _Waiter] = {0: (self.ready, None)}
        self._expired: set[int] = set()
        self._buffer = bytearray()
        self._status = 0
        self._number = 0
        self._length = -1
        self._received = 0
        self._error: Exception | None = None

    @property
    def is_lost(self) -> bool:
        """Whether all later questions will fail."""
        return self._error is not None

    def ask(self, kind: bytes, body: bytes, timeout_s: float, number: int) -> asyncio.Future[Reply]:
        """Send a question; its answer, or SandboxTimeout, or what `on_lost` makes.

        number: no other question that is unanswered has it. After one has timed out, later ones fail at once.
        """
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        if self._error is not None or self._transport is None:
            waiter.set_exception(self._error or self._on_lost("the sandbox is not connected"))
            return waiter
        assert number not in self._waiting
        self._waiting[number] = waiter, self._deadlines.begin(timeout_s, partial(self._expire, number))
        self._transport.writelines((_QUESTION.pack(len(body), kind, number), body))
        return waiter

    def close(self, error: Exception) -> None:
        """Fail whoever waits, and all later questions, with `error`."""
        self._fail(error)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._error is None or self._waiting:
            self._fail(self._on_lost("the sandbox exited"))

    def data_received(self, data: bytes) -> None:
        if not self._waiting and not self._expired:
            self._refuse()
            return
        if self._length < 0 and not self._buffer and len(data) >= _HEAD.size:
            length, status, number = _HEAD.unpack_from(data)
            if length + _HEAD.size == len(data) and length <= self._limit:
                self._answer(number, Reply(status, data[_HEAD.size :], length))
                return
        at = 0
        while at < len(data):
            at = self._collect(data, at)

    def _collect(self, data: bytes, at: int) -> int:
        """An answer that came in pieces, with others, or is too long: only what fits the limit is kept.

        Reads `data` from `at`; returns where to go on.
        """
        if self._length < 0:
            head = data[at : at + _HEAD.size - len(self._buffer)]
            self._buffer += head
            at += len(head)
            if len(self._buffer) < _HEAD.size:
                return at
            self._length, self._status, self._number = _HEAD.unpack(self._buffer)
            self._buffer.clear()
            self._received = 0
            if self._length > MAX_REPLY_BYTES:
                self._refuse()
                return len(data)
        part = data[at : at + self._length - self._received]
        at += len(part)
        self._received += len(part)
        self._buffer += part[: max(0, self._limit - len(self._buffer))]
        if self._received < self._length:
            return at
        reply = Reply(self._status, bytes(self._buffer), self._length)
        self._buffer.clear()
        self._length = -1
        if at < len(data) and len(self._waiting) + len(self._expired) < 2:
            self._refuse()  # there is more than anybody asked for: then this is no answer either
            return len(data)
        return at if self._answer(self._number, reply) else len(data)

    def _answer(self, number: int, reply: Reply) -> bool:
        """Give an answer to who waits for it; False, and the connection is closed, when nobody does."""
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            if number in self._expired:
                self._expired.discard(number)
                return True
            self._refuse()
            return False
        waiter, deadline = waiting
        if deadline is not None:
            deadline.cancel()
        if not waiter.done():
            waiter.set_result(reply)
        return True

    def _refuse(self) -> None:
        self.close(self._on_lost(_MALFORMED))

    def _expire(self, number: int) -> None:
        """One question has waited for too long: no further one is sent, and the others may still be answered."""
        error = SandboxTimeout("no answer within the time limit")
        self._error = self._error or error
        self._expired.add(number)
        waiter, _ = self._waiting.pop(number)
        if not waiter.done():
            waiter.set_exception(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        waiting, self._waiting = self._waiting, {}
        for waiter, deadline in waiting.values():
            if deadline is not None:
                deadline.cancel()
            if not waiter.done():
                waiter.set_exception(error)
