"""The timers that are running: a heap of due times, and a task for each fire.

What comes next is written before a trigger is fired: a timer that was due while the platform
was down fires once when it is back, and none fires the same point of its schedule twice.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from sabayon.provider.alarms.clock import Clock
from sabayon.provider.alarms.firing import (
    Disabled,
    Done,
    Dropped,
    Retry,
    is_throttled,
    reason_to_end,
    verdict,
)
from sabayon.provider.alarms.platform import Platform
from sabayon.provider.alarms.schedule import next_due
from sabayon.provider.alarms.timer import Reason, Timer, decode, encode

logger = logging.getLogger("sabayon.alarms")


class Ledger(Protocol):
    """Where timers are kept."""

    async def load(self) -> list[tuple[str, bytes]]: ...

    async def put(self, key: str, document: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...


class Engine:
    """Fires triggers on time."""

    def __init__(self, ledger: Ledger, platform: Platform, clock: Clock) -> None:
        self._ledger = ledger
        self._platform = platform
        self._clock = clock
        self._timers: dict[str, Timer] = {}
        self._due: list[tuple[int, str]] = []
        self._has_changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up the timers of earlier runs."""
        for key, document in await self._ledger.load():
            try:
                timer = decode(document)
            except msgspec.MsgspecError as error:
                logger.error("the timer of trigger %s cannot be read and is left alone: %s", key, error)
                continue
            self._keep(timer)
        self._loop = asyncio.create_task(self._run(), name="alarms")

    async def aclose(self) -> None:
        """Fire no more."""
        tasks = [*self._tasks, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, key: str) -> Timer | None:
        return self._timers.get(key)

    async def put(self, timer: Timer) -> None:
        """Keep `timer` in place of the one of its trigger."""
        # In memory first: what is written from now on comes of this timer, so it cannot overtake it.
        self._keep(timer)
        await self._ledger.put(timer.key, encode(timer))

    async def remove(self, key: str) -> None:
        """Forget the timer of a trigger."""
        self._timers.pop(key, None)
        await self._ledger.delete(key)

    def _keep(self, timer: Timer) -> None:
        self._timers[timer.key] = timer
        if timer.due_ms is not None:
            heapq.heappush(self._due, (timer.due_ms, timer.key))
            self._has_changed.set()

    async def _run(self) -> None:
        while True:
            self._has_changed.clear()
            now = self._clock.now_ms()
            while self._due and self._due[0][0] <= now:
                due, key = heapq.heappop(self._due)
                timer = self._timers.get(key)
                if timer is not None and timer.due_ms == due:
                    # Marked at once: an entry of the same time, left by an update, must not start it again.
                    self._keep(replace(timer, due_ms=next_due(timer, now)))
                    self._spawn(self._fire(self._timers[key]))
            await self._clock.wait(self._has_changed, self._due[0][0] if self._due else None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a timer failed", exc_info=error)

    async def _fire(self, timer: Timer) -> None:
        """One point of a schedule, from its due time to what follows from it. timer: its next due time is set."""
        if self._timers.get(timer.key) is not timer:
            return
        await self._ledger.put(timer.key, encode(timer))
        outcome = await self._attempts(timer)
        current = self._timers.get(timer.key)
        if current is None or (current.auth_key, current.changed_ms) != (timer.auth_key, timer.changed_ms):
            return
        if isinstance(outcome, Disabled):
            logger.info("the timer of trigger %s stops: %s", timer.key, outcome.reason.message)
            await self._disable(current, outcome.reason)
            return
        if isinstance(outcome, Done):
            current = replace(current, fired=current.fired + 1)
            self._timers[current.key] = current
        if reason := reason_to_end(current):
            await self._end(current, reason)
        elif current.max_triggers > 0:
            await self._ledger.put(current.key, encode(current))

    async def _attempts(self, timer: Timer) -> Done | Dropped | Disabled:
        attempts = throttled = 0
        while True:
            status = await self._platform.fire(timer)
            attempts += 1
            throttled += is_throttled(status)
            outcome = verdict(status, attempts, throttled)
            if not isinstance(outcome, Retry):
                if isinstance(outcome, Dropped):
                    logger.error("a fire of trigger %s is dropped after %d attempts", timer.key, attempts)
                return outcome
            await self._clock.sleep(outcome.delay_s)
            if self._timers.get(timer.key) is None:
                return Dropped()

    async def _end(self, timer: Timer, reason: Reason) -> None:
        if timer.kind == "once" and timer.delete_after_fire in ("true", "rules"):
            await self.remove(timer.key)
            await self._platform.remove_trigger(timer, with_rules=timer.delete_after_fire == "rules")
        else:
            await self._disable(timer, reason)

    async def _disable(self, timer: Timer, reason: Reason) -> None:
        await self.put(timer.disabled(reason, self._clock.now_ms()))
