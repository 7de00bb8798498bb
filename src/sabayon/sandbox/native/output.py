"""Standard output and error of a sandbox: pipes, drained as they fill, kept up to a limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from typing import Final

from sabayon.sandbox.base import Logs
from sabayon.sandbox.native.ledger import Kept, KeptByRun

_CHUNK_BYTES: Final = 16384
"""Read at a time: bounds what one noisy action takes from a turn of the loop."""

_MAX_LINE_BYTES: Final = 65536
_DRAIN_BYTES: Final = 1 << 20
"""The most a pipe can hold, as far as ordinary users may enlarge one."""


class Output:
    """Both streams of one sandbox."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams = [_Stream(stdout, "stdout"), _Stream(stderr, "stderr")]
        self._kept: Kept | KeptByRun = Kept()
        self._poll = select.poll()
        self._by_descriptor = {stream.descriptor: stream for stream in self._streams}
        for stream in self._streams:
            os.set_blocking(stream.descriptor, False)
            self._poll.register(stream.descriptor, select.POLLIN)
            self._loop.add_reader(stream.descriptor, self._on_readable, stream)

    def share(self) -> None:
        """From now on runs overlap."""
        if isinstance(self._kept, Kept):
            self._kept = KeptByRun(self._kept)

    def limit(self, limit_bytes: int, number: int) -> None:
        """Bound what is kept of run `number`, which begins now."""
        self._kept.limit(limit_bytes, number)

    def drain(self) -> None:
        """Read what is in the pipes now, up to a bound that no writer can stretch. Most often there is nothing."""
        for descriptor, _ in self._poll.poll(0):
            stream = self._by_descriptor[descriptor]
            for _ in range(_DRAIN_BYTES // _CHUNK_BYTES):
                if not self._read(stream):
                    break

    def take(self, number: int, *, goes_on: bool = False) -> Logs:
        """All that was kept of run `number`, which has ended unless it `goes_on`, in the order it was read."""
        self.drain()
        for stream in self._streams:
            if stream.partial and self._kept.is_alone(number):
                self._kept.keep(stream.name, bytes(stream.partial), time.time_ns())
                stream.partial.clear()
        return self._kept.take(number, goes_on=goes_on)

    def close(self) -> None:
        """Stop reading and give the pipes back."""
        for stream in self._streams:
            self._close(stream)

    def _close(self, stream: _Stream) -> None:
        if stream.descriptor >= 0:
            self._loop.remove_reader(stream.descriptor)
            self._poll.unregister(stream.descriptor)
            os.close(stream.descriptor)
            stream.descriptor = -1

    def _on_readable(self, stream: _Stream) -> None:
        self._read(stream)

    def _read(self, stream: _Stream) -> bool:
        """One chunk; whether there may be more."""
        if stream.descriptor < 0:
            return False
        try:
            if self._kept.is_full:
                return _discard(stream.descriptor) or self._ended(stream)
            data = os.read(stream.descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not data:
            return self._ended(stream)
        self._split(stream, data)
        return len(data) == _CHUNK_BYTES

    def _ended(self, stream: _Stream) -> bool:
        self._close(stream)
        return False

    def _split(self, stream: _Stream, data: bytes) -> None:
        now = time.time_ns()
        stream.partial += data
        *lines, rest = stream.partial.split(b"\n")
        for line in lines:
            self._kept.keep(stream.name, bytes(line), now)
        while len(rest) > _MAX_LINE_BYTES:
            self._kept.keep(stream.name, bytes(rest[:_MAX_LINE_BYTES]), now)
            rest = rest[_MAX_LINE_BYTES:]
        stream.partial = rest


class _Stream:
    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self.partial = bytearray()


_null = -1


def _discard(descriptor: int) -> bool:
    """Throw away what is in a pipe without copying it; False at its end. Raises BlockingIOError when it is empty."""
    global _null
    if _null < 0:
        _null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    with contextlib.suppress(InterruptedError):
        return os.splice(descriptor, _null, 1 << 20) > 0
    return True
