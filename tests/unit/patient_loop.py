"""An event loop on which waiting takes no time: when nothing is left to do, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait, but notes for how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and nobody for a timer")
        self.skipped_s += max(0.0, timeout)
        return super().select(0)


class PatientLoop(asyncio.SelectorEventLoop):
    """Only for what waits for timers and other tasks: threads and sockets have no time to answer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.skipped_s


def run_patiently(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end without waiting."""
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        runner.run(main)
