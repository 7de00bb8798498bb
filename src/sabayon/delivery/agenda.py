"""When the journal is to be looked into next. A hint: what counts is in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Final

LONGEST_S: Final = 30.0
"""The wall clock may be set, and another process may write: nobody sleeps longer than this on what was said once."""


class Agenda:
    """Wakes the one who waits for what is due. longest_s: after so long it is woken anyway."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._called = asyncio.Event()
        self._awaited_ms: float = math.inf

    def expect(self, due_ms: float) -> None:
        """Something is due at `due_ms` (epoch)."""
        if due_ms < self._awaited_ms:
            self._called.set()

    def call(self) -> None:
        """Look now."""
        self._called.set()

    async def wait(self, due_ms: int | None, now_ms: int) -> None:
        """Until `due_ms`, or until something is expected before that, or something has been since the last wait."""
        self._awaited_ms = math.inf if due_ms is None else due_ms
        delay_s = min(self._longest_s, max(0.0, (self._awaited_ms - now_ms) / 1000))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._called.wait()
        self._called.clear()
        self._awaited_ms = math.inf
