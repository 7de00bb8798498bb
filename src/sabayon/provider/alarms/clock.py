"""Time, as something that can be handed in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, Protocol

LONGEST_WAIT_S: Final = 30.0
"""After that long the clock is asked again: it may have been set, or the machine have slept."""


class Clock(Protocol):
    """What timers ask of time."""

    def now_ms(self) -> int:
        """Epoch ms."""
        ...

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        """Until `event` is set, or the time has come; it may also return earlier."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        timeout = LONGEST_WAIT_S
        if until_ms is not None:
            timeout = min(timeout, max(0.0, (until_ms - self.now_ms()) / 1000))
        # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await event.wait()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
