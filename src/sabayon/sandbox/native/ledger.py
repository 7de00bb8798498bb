"""Whose a line of output is, and how much is kept of it.

Where runs overlap, the launcher marks each line that one of them prints: NUL, then the run's number in eight
hexadecimal digits. What carries no mark (a child process, native code, a thread that knows of no run), or that of a run
which has been answered, is given to the run that has been there longest.
"""

from __future__ import annotations

from typing import Final

from sabayon.sandbox.base import LogLine, Logs

MARK: Final = b"\0"
_MARK_BYTES: Final = 9
_FRAMING_BYTES: Final = len('{"log":"\\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}\n')
"""What the contract's accounting adds to the text of each line."""

_TOGETHER: Final = 4
"""How many times the limit of one run all in flight may print together, which is kept in the platform's memory."""

_NOTHING: Final = Logs((), False)
_ALL_OF_NOTHING: Final = Logs((), True)


class Kept:
    """The lines of one run, or of one run after the other, up to a limit.

    is_full: nothing will be kept any more, so that output need not even be read.
    limit_bytes, printed_bytes: of the run that began last, counted as the contract does.
    """

    def __init__(self) -> None:
        self.number = 0
        self.is_full = False
        self.printed_bytes = 0
        self.limit_bytes = 0
        self._lines: list[LogLine] = []

    def limit(self, limit_bytes: int, number: int) -> None:
        """Run `number` begins: bound what is kept from now on."""
        self.number = number
        self.is_full = False
        self.printed_bytes = 0
        self.limit_bytes = limit_bytes

    def keep(self, stream: str, line: bytes, now: int) -> None:
        """A line has been read."""
        self.printed_bytes += len(line) + _FRAMING_BYTES
        if self.is_full or self.printed_bytes > self.limit_bytes:
            self.is_full = True
        else:
            self._lines.append(LogLine(now, stream, line.decode(errors="replace")))

    def is_alone(self, number: int) -> bool:
        """Whether all that is printed is of this run."""
        return True

    def take(self, number: int, *, goes_on: bool = False) -> Logs:
        """What was kept, by the time it was read. goes_on: whether the run has not ended, and may print more."""
        if not self._lines:
            return _ALL_OF_NOTHING if self.is_full else _NOTHING
        lines, self._lines = self._lines, []
        lines.sort(key=lambda line: line.time_ns)
        return Logs(lines, self.is_full)


class KeptByRun:
    """As Kept, for runs that overlap, each up to a limit of its own.

    A run past its limit costs the others nothing, until together they have printed too much: then all are full.
    """

    def __init__(self, first: Kept) -> None:
        self.is_full = False
        self._runs: dict[int, Kept] = {first.number: first}  # longest there first
        self._between = Kept()
        self._printed_bytes = first.printed_bytes
        self._most_bytes = _TOGETHER * first.limit_bytes

    def limit(self, limit_bytes: int, number: int) -> None:
        if self._runs:
            kept = Kept()
        else:
            kept, self._between = self._between, Kept()
            self.is_full = False
            self._printed_bytes = 0
        self._most_bytes = _TOGETHER * limit_bytes
        self._runs[number] = kept
        kept.limit(limit_bytes, number)
        kept.is_full = self.is_full

    def keep(self, stream: str, line: bytes, now: int) -> None:
        at = line.find(MARK)
        number = _number(line[at : at + _MARK_BYTES]) if at >= 0 else None
        if number is None:
            self._keep(self._eldest(), stream, line, now)
            return
        if at:
            self._keep(self._eldest(), stream, line[:at], now)
        self._keep(self._runs.get(number) or self._eldest(), stream, line[at + _MARK_BYTES :], now)

    def _keep(self, kept: Kept, stream: str, line: bytes, now: int) -> None:
        before = kept.printed_bytes
        kept.keep(stream, line, now)
        self._printed_bytes += kept.printed_bytes - before
        if self._printed_bytes > self._most_bytes:
            self.is_full = True
            for run in self._runs.values():
                run.is_full = True

    def _eldest(self) -> Kept:
        return next(iter(self._runs.values()), self._between)

    def is_alone(self, number: int) -> bool:
        return len(self._runs) == 1

    def take(self, number: int, *, goes_on: bool = False) -> Logs:
        if goes_on and (running := self._runs.get(number)):
            return running.take(number)
        kept = self._runs.pop(number, None)
        if kept is None:
            return self._between.take(number)
        logs = kept.take(number)
        self._printed_bytes -= kept.printed_bytes
        if not self._runs:
            self._between = kept
        return logs


def _number(mark: bytes) -> int | None:
    """The run that a mark names; None when it is no mark."""
    try:
        return int.from_bytes(bytes.fromhex(mark[1:].decode("ascii"))) if len(mark) == _MARK_BYTES else None
    except ValueError:
        return None
