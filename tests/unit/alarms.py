"""Timers on a scripted platform, in a time that takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sabayon.provider.alarms.clock import SystemClock
from sabayon.provider.alarms.engine import Engine, Ledger
from sabayon.provider.alarms.timer import Timer
from sabayon.provider.alarms.validation import Owner, new_timer, updated_timer
from sabayon.store.memory import MemoryLedger
from tests.unit.patient_loop import run_patiently

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, a Thursday."""
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def owner(name: str = "tick") -> Owner:
    return Owner("acme", name, "key-of-acme")


def timer(name: str = "tick", at_s: float = 0, **given: Any) -> Timer:
    """A timer made of a feed's parameters, `at_s` seconds after the start."""
    return new_timer(owner(name), given, START_MS + int(at_s * 1000))


class LoopClock(SystemClock):
    """The time of the running event loop, counted from `START_MS`."""

    def __init__(self) -> None:
        self._start_s = asyncio.get_running_loop().time()

    def now_ms(self) -> int:
        return START_MS + int(self.seconds() * 1000)

    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._start_s


class ScriptedPlatform:
    """Answers fires with the next of `statuses`, the last one for ever, after `lasts_s` seconds."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self.statuses = [202]
        self.lasts_s = 0.0
        self.fires: list[tuple[str, int]] = []
        self.payloads: list[dict[str, Any]] = []
        self.removed: list[tuple[str, bool]] = []

    async def namespace_of(self, auth_key: str) -> tuple[int, str]:
        return 200, "acme"

    async def check_trigger(self, namespace: str, name: str, auth_key: str) -> int:
        return 200

    async def fire(self, timer: Timer) -> int:
        self.fires.append((timer.name, round(self._clock.seconds())))
        self.payloads.append(timer.payload)
        await asyncio.sleep(self.lasts_s)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    async def remove_trigger(self, timer: Timer, *, with_rules: bool) -> None:
        self.removed.append((timer.name, with_rules))


class Timers:
    """An engine that can be stopped and started again, on one ledger."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.clock = LoopClock()
        self.platform = ScriptedPlatform(self.clock)
        self.ledger = ledger or MemoryLedger()
        self.engine = Engine(self.ledger, self.platform, self.clock)

    async def open(self) -> Timers:
        await self.engine.start()
        return self

    async def restart(self, down_s: float = 0) -> None:
        """Stop; start again `down_s` seconds later."""
        await self.engine.aclose()
        await asyncio.sleep(down_s)
        self.engine = Engine(self.ledger, self.platform, self.clock)
        await self.engine.start()

    async def until(self, seconds: float) -> None:
        """Let everything happen up to a bit after `seconds` from the start."""
        await asyncio.sleep(seconds + 0.4 - self.clock.seconds())

    async def add(self, name: str = "tick", **given: Any) -> None:
        await self.engine.put(timer(name, self.clock.seconds(), **given))

    async def update(self, name: str = "tick", **given: Any) -> None:
        current = self.engine.find(f"acme/{name}")
        assert current is not None
        await self.engine.put(updated_timer(current, given, self.clock.now_ms()))

    def fired_at(self, name: str = "tick") -> list[int]:
        """Whole seconds from the start."""
        return [second for fired, second in self.platform.fires if fired == name]

    def reason(self, name: str = "tick") -> str | None:
        """Why the timer is not active; None while it is."""
        current = self.engine.find(f"acme/{name}")
        assert current is not None
        return current.reason.message if current.reason else None


def with_timers(test: Callable[[Timers], Awaitable[None]], ledger: Ledger | None = None) -> None:
    """Play `test` without waiting."""

    async def play() -> None:
        timers = await Timers(ledger).open()
        try:
            await test(timers)
        finally:
            await timers.engine.aclose()

    run_patiently(play())
