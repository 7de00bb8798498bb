"""Standard output and error of a sandbox: pipes, drained as they fill, kept up to a limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from typing import Final

from sabayon.sandbox.base import LogLine, Logs

_CHUNK_BYTES: Final = 16384
"""Read at a time: bounds what one noisy action takes from a turn of the loop."""

_MAX_LINE_BYTES: Final = 65536
_DRAIN_BYTES: Final = 1 << 20
"""The most a pipe can hold, as far as ordinary users may enlarge one."""

_NOTHING: Final = Logs((), False)
_FRAMING_BYTES: Final = len('{"log":"\\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}\n')
"""What the contract's accounting adds to the text of each line."""


class Output:
    """Both streams of one sandbox."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams = [_Stream(stdout, "stdout"), _Stream(stderr, "stderr")]
        self._lines: list[LogLine] = []
        self._left_bytes = 0
        self._is_truncated = False
        self._poll = select.poll()
        self._by_descriptor = {stream.descriptor: stream for stream in self._streams}
        for stream in self._streams:
            os.set_blocking(stream.descriptor, False)
            self._poll.register(stream.descriptor, select.POLLIN)
            self._loop.add_reader(stream.descriptor, self._on_readable, stream)

    def limit(self, limit_bytes: int) -> None:
        """Bound what is kept until the next `take`."""
        self._left_bytes = limit_bytes
        self._is_truncated = False

    def drain(self) -> None:
        """Read what is in the pipes now, up to a bound that no writer can stretch. Most often there is nothing."""
        for descriptor, _ in self._poll.poll(0):
            stream = self._by_descriptor[descriptor]
            for _ in range(_DRAIN_BYTES // _CHUNK_BYTES):
                if not self._read(stream):
                    break

    def take(self) -> Logs:
        """All that was kept since the last time, in the order it was read."""
        self.drain()
        for stream in self._streams:
            if stream.partial:
                self._keep(stream, bytes(stream.partial), time.time_ns())
                stream.partial.clear()
        if not self._lines:
            return _NOTHING if not self._is_truncated else Logs((), True)
        lines, self._lines = self._lines, []
        lines.sort(key=lambda line: line.time_ns)
        return Logs(lines, self._is_truncated)

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
            if self._is_truncated:
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
            self._keep(stream, bytes(line), now)
        while len(rest) > _MAX_LINE_BYTES:
            self._keep(stream, bytes(rest[:_MAX_LINE_BYTES]), now)
            rest = rest[_MAX_LINE_BYTES:]
        stream.partial = rest

    def _keep(self, stream: _Stream, line: bytes, now: int) -> None:
        self._left_bytes -= len(line) + _FRAMING_BYTES
        if self._left_bytes < 0:
            self._is_truncated = True
        else:
            self._lines.append(LogLine(now, stream.name, line.decode(errors="replace")))


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
