"""The heads of frames between the platform and the launcher; the kinds and statuses that are not HTTP's."""

from __future__ import annotations

import struct
from typing import Final

HEAD: Final = struct.Struct(">IBI")
"""Of a question: length, kind, number."""

REPLY: Final = struct.Struct(">IHI")
"""Of a reply: length, status, number of its question."""

INIT_SHARED: Final = ord("C")
PREPARE: Final = ord("P")
PLACED: Final = ord("L")
RUN: Final = ord("R")
SHARED: Final = 202
"""The code is loaded, and its runs overlap from now on."""
