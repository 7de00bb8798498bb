"""What an action's log receives: its own streams, and what the launcher has to tell. Standard library only."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from typing import Any, Final

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
    _flush(sys.stdout)
    _flush(sys.stderr)
    if sys.__stdout__ is not sys.stdout:
        _flush(sys.__stdout__)
    if sys.__stderr__ is not sys.stderr:
        _flush(sys.__stderr__)


def _flush(stream: Any) -> None:
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError, AttributeError):
        return  # the action closed or replaced it


def write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        data = data[written:]
        written = os.write(fd, data)
