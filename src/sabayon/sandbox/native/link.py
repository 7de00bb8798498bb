"""The frame connection to a launcher: one question at a time, one answer each."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final, cast

from sabayon.sandbox.base import Reply, SandboxTimeout

INIT: Final = b"I"
RUN: Final = b"R"
MAX_REPLY_BYTES: Final = 1 << 30
"""No launcher of ours sends more: what claims to be longer is garbage that the action wrote."""

_HEAD: Final = struct.Struct(">IH")
_QUESTION: Final = struct.Struct(">I")


class Link(asyncio.Protocol):
    """The platform's end of the frame socket.

    ready: the launcher's first frame, empty, which it sends when it can take questions.
    on_lost(reason) makes the error for whoever waits when the other end is gone or talks garbage.
    """

    def __init__(self, limit_bytes: int, on_lost: Callable[[str], Exception]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit_bytes
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter: asyncio.Future[Reply] | None = self.ready
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()
        self._status = 0
        self._length = -1
        self._received = 0
        self._error: Exception | None = None

    @property
    def is_lost(self) -> bool:
        """Whether all later questions will fail."""
        return self._error is not None

    def ask(self, kind: bytes, body: bytes, timeout_s: float) -> asyncio.Future[Reply]:
        """Send a question; its answer, or SandboxTimeout, or what `on_lost` makes."""
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        if self._error is not None or self._transport is None:
            waiter.set_exception(self._error or self._on_lost("the sandbox is not connected"))
            return waiter
        self._waiter = waiter
        self._timer = self._loop.call_later(timeout_s, self._expire)
        self._transport.writelines((_QUESTION.pack(len(body)) + kind, body))
        return waiter

    def close(self, error: Exception) -> None:
        """Fail whoever waits, and all later questions, with `error`."""
        self._fail(error)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._error is None:
            self._fail(self._on_lost("the sandbox exited"))

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.close(self._on_lost("the action sent a malformed frame"))
            return
        if self._length < 0 and not self._buffer and len(data) >= _HEAD.size:
            length, status = _HEAD.unpack_from(data)
            if length + _HEAD.size == len(data) and length <= self._limit:
                self._answer(Reply(status, data[_HEAD.size :], length))
                return
        self._collect(data)

    def _collect(self, data: bytes) -> None:
        """A reply that came in pieces, or is too long: only what fits the limit is kept."""
        if self._length < 0:
            self._buffer += data
            if len(self._buffer) < _HEAD.size:
                return
            self._length, self._status = _HEAD.unpack_from(self._buffer)
            data = bytes(self._buffer[_HEAD.size :])
            self._buffer.clear()
            self._received = 0
            if self._length > MAX_REPLY_BYTES:
                self.close(self._on_lost("the action sent a malformed frame"))
                return
        self._received += len(data)
        self._buffer += data[: max(0, self._limit - len(self._buffer))]
        if self._received > self._length:
            self.close(self._on_lost("the action sent a malformed frame"))
        elif self._received == self._length:
            reply = Reply(self._status, bytes(self._buffer), self._length)
            self._buffer.clear()
            self._length = -1
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        waiter = self._settle()
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _expire(self) -> None:
        self._fail(SandboxTimeout("no answer within the time limit"))

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        waiter = self._settle()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _settle(self) -> asyncio.Future[Reply] | None:
        waiter, self._waiter = self._waiter, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiter
