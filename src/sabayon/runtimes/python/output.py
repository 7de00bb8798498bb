"""What an action's log receives: its own streams, and what the launcher has to tell. Standard library only."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from typing import Final

_HERE: Final = os.path.dirname(__file__)


def open_output() -> None:
    """Fresh text streams on descriptors 1 and 2, which must be pipes: a stream remembers what it was opened on."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw, 65536), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO())  # type: ignore[misc]


def tell(text: str) -> None:
    """A line for the action's log, whatever the action has done to its own streams."""
    flush()
    with contextlib.suppress(OSError):
        write(2, f"{text.rstrip()}\n".encode(errors="backslashreplace"))


def trace(error: BaseException) -> str:
    """The traceback of the action, without the launcher's own frames."""
    frames = error.__traceback__
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == _HERE:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # the action's own exception may fail to describe itself
        return type(error).__name__


def flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the action closed or replaced it


def write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
