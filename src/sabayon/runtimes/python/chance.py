"""Fresh random state for a process that is a copy of another. Standard library only.

Both have the process id 1, so libraries that find out by their id that they were forked do
not: what such a library has drawn before, it would draw in each copy. Python's `random`
looks after itself, and what asks the kernel each time (`os.urandom`, `secrets`) has no
state to renew.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

_NO_CARD: Final = 1 << 40
"""The bit by which a node says that it was drawn."""


def renew() -> None:
    """Seed anew what has been imported and keeps state."""
    modules = sys.modules
    if "uuid" in modules:
        _renew_uuid(modules["uuid"])
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None  # type: ignore[attr-defined]
    if "ssl" in modules:  # OpenSSL takes entropy of the kernel's to what is added
        modules["ssl"].RAND_add(os.urandom(32), 32.0)
    if "numpy.random" in modules:
        modules["numpy.random"].seed()


def _renew_uuid(uuid: Any) -> None:
    """Another node and clock, and no longer the C library's, which cannot be told to draw others."""
    uuid._generate_time_safe = uuid._last_timestamp = None
    uuid._node = int.from_bytes(os.urandom(6)) | _NO_CARD
