"""The environment variables that every run sets anew. Standard library only.

setenv(3), which `os.environ` calls, frees no value that it was ever given: an action that is kept warm would lose some
300 bytes with each run until it has none left. So the text is in memory of our own, which putenv(3) makes a part of the
environment, and is written over in place. That also touches less memory, which is cold when there are many actions.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_ROOM_BYTES: Final = 32
"""A value may be that much longer than the one before it, and stays where it is."""

_libc = ctypes.CDLL(None)


class _Held:
    """Memory that is a part of the environment, and the value that was written there last."""

    def __init__(self, size_bytes: int) -> None:
        self.memory = ctypes.create_string_buffer(size_bytes)
        self.value = b""


_held: dict[bytes, _Held] = {}


def set_variable(name: bytes, text: str) -> None:
    """As `os.environ[name] = text`, also for the children of this process."""
    known: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    if known is None:  # the action has put something else in its place
        os.environ[os.fsdecode(name)] = text
        return
    value = text.encode(errors="surrogateescape")
    present = known.get(name)
    if present == value:
        return
    entry = b"%s=%s" % (name, value)
    held = _held.get(name)
    if held is None or present is not held.value or len(entry) >= len(held.memory):
        held = _held[name] = _Held(len(entry) + _ROOM_BYTES)
        held.memory.value = entry
        _libc.putenv(held.memory)
    else:
        held.memory.value = entry
    held.value = known[name] = value
