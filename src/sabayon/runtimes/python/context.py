"""What is of one run alone while several overlap: its `__OW_*` variables, and the lines it prints.

Standard library only. Both follow the context of the code that asks or prints (`contextvars`): the coroutine of a run,
the tasks it starts, and what it hands to `asyncio.to_thread`. Other threads and child processes belong to no run: they
find none of these variables, and their lines go out without a mark.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from sabayon.runtimes.python.output import write

ALLOWED: Final = "__OW_ALLOW_CONCURRENT"
OF_ONE_RUN: Final = ("__OW_ACTIVATION_ID", "__OW_TRANSACTION_ID", "__OW_DEADLINE")

_MOST_BYTES: Final = 65536 - 9
"""A longer line goes out in pieces, each with its mark: the reader cuts lines too, and would leave the rest without."""

_writing = threading.RLock()  # a finalizer may print while something is printed


class Run:
    """One run in flight. environment: its variables. `current` is the run of the code that asks, if any."""

    current: ContextVar[Run | None] = ContextVar("run", default=None)

    def __init__(self, number: int, environment: dict[str, str]) -> None:
        self.number = number
        self.environment = environment
        self._mark = b"\0%08x" % number
        self._held = {1: b"", 2: b""}

    def print(self, descriptor: int, data: bytes) -> None:
        """Write whole lines with the mark of this run; what is no whole line yet is held. Raises OSError."""
        with _writing:
            held = self._held[descriptor] + data
            end = held.rfind(b"\n")
            if end < 0 and len(held) > _MOST_BYTES:
                end = (len(held) - 1) // _MOST_BYTES * _MOST_BYTES
                self._held[descriptor] = held[end:]
            else:
                self._held[descriptor] = held[end + 1 :]
            if end >= 0:
                self._send(descriptor, held[:end])

    def tell(self, text: str) -> None:
        """A line for the log of this run, whatever the action has done to its streams."""
        with contextlib.suppress(OSError):
            self.print(2, f"{text.rstrip()}\n".encode(errors="backslashreplace"))

    def finish(self) -> None:
        """The run is about to be answered: write what is held."""
        with _writing:
            held, self._held = self._held, dict.fromkeys(self._held, b"")
            for descriptor, text in held.items():
                if text:
                    with contextlib.suppress(OSError):
                        self._send(descriptor, text)

    def _send(self, descriptor: int, text: bytes) -> None:
        pieces = (
            line[at : at + _MOST_BYTES] for line in text.split(b"\n") for at in range(0, len(line) or 1, _MOST_BYTES)
        )
        write(descriptor, b"".join(self._mark + piece + b"\n" for piece in pieces))


class _Lines(io.BufferedIOBase):
    """Below a text stream: what is written goes out as of the run that writes it, at the latest with its newline."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        whole, run = bytes(data), Run.current.get()
        if run is None:
            write(self._descriptor, whole)
        else:
            run.print(self._descriptor, whole)
        return len(whole)


class _Environment(os._Environ[str]):
    """`os.environ`, in which a run sees its own variables before those of the process."""

    def _own(self) -> dict[str, str]:
        run = Run.current.get()
        return {} if run is None else run.environment

    def __getitem__(self, key: str) -> str:
        own = self._own()
        return own[key] if key in own else super().__getitem__(key)

    def __setitem__(self, key: str, value: str) -> None:
        own = self._own()
        if key in own:
            own[key] = value
        else:
            super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        own = self._own()
        if key in own:
            del own[key]
        else:
            super().__delitem__(key)

    def __iter__(self) -> Iterator[str]:
        own = self._own()
        yield from own
        yield from (key for key in super().__iter__() if key not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def mark_output() -> None:
    """From now on each line names its run. Before the action's code is loaded: it may keep the streams it finds."""
    os.environ[ALLOWED] = "true"
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(
            _Lines(descriptor),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,  # type: ignore[type-var]
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def divide_environment() -> None:
    """From now on `os.environ`, which modules may hold already, answers each run with its own variables."""
    for name in OF_ONE_RUN:
        os.environ.pop(name, None)
    os.environ.__class__ = _Environment
