"""The timers that are running: a heap of due times, and a task for each fire.

What comes next is written before a trigger is fired: a timer that was due while the platform
was down fires once when it is back, and none fires the same point of its schedule twice. A
timer that fires only once is the exception: it is due until it has been fired, lest it be lost.

What was written is known to the byte, and replaced only while it is that. So a timer that others have changed in the
ledger, or fired, is not fired here, but read anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Coroutine
from itertools import count
from typing import Any, Final, Protocol

import msgspec

from sabayon.errors import SabayonError
from sabayon.provider.alarms.clock import Clock
from sabayon.provider.alarms.firing import (
    Disabled,
    Done,
    Dropped,
    Retry,
    begun,
    dropped,
    failed,
    is_throttled,
    reason_at_start,
    reason_to_end,
    verdict,
)
from sabayon.provider.alarms.platform import Platform
from sabayon.provider.alarms.timer import Reason, Timer, decode, encode

logger = logging.getLogger("sabayon.alarms")

MAX_IN_FLIGHT: Final = 16
"""Fires of one timer that are sent or retried at a time; points of the schedule beyond that are left out."""
_SPARE_ENTRIES: Final = 64


class Ledger(Protocol):
    """Where timers are kept."""

    async def load(self) -> list[tuple[str, bytes]]: ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, document: bytes) -> None: ...

    async def replace(self, key: str, before: bytes, document: bytes) -> bool:
        """Put `document` in place of exactly `before`; whether it was there."""
        ...

    async def delete(self, key: str) -> None: ...


class _Running:
    """A timer from its creation or update to the next one.

    kept: the document that the ledger has of it, as far as is known. turn: to write it.
    """

    def __init__(self, timer: Timer, kept: bytes | None = None) -> None:
        self.timer = timer
        self.in_flight = 0
        self.kept = kept
        self.turn = asyncio.Lock()


class Engine:
    """Fires triggers on time."""

    def __init__(self, ledger: Ledger, platform: Platform, clock: Clock) -> None:
        self._ledger = ledger
        self._platform = platform
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._unreadable: dict[str, bytes] = {}
        self._reading = asyncio.Lock()
        self._due: list[tuple[int, int, _Running]] = []
        self._order = count()
        self._has_changed = asyncio.Event()
        self._is_started = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take up the timers of earlier runs."""
        for key, document in await self._ledger.load():
            await self._take_up(key, document)
        self._spawn(self._run())
        self._is_started.set()

    async def started(self) -> None:
        """Wait until the timers of earlier runs are known."""
        await self._is_started.wait()

    async def aclose(self) -> None:
        """Fire no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Take up what others have written in the ledger."""
        documents = dict(await self._ledger.load())
        for key in documents.keys() | self._running.keys() | self._unreadable.keys():
            if documents.get(key) != self._kept(key):
                await self._read_anew(key)

    async def read(self, key: str) -> Timer | None:
        """The timer of a trigger."""
        return self.find(key)

    def find(self, key: str) -> Timer | None:
        running = self._running.get(key)
        return running.timer if running else None

    async def put(self, timer: Timer) -> None:
        """Keep `timer` in place of the one of its trigger."""
        # In memory first: what is written from now on comes of this timer, so it cannot overtake it.
        running = self._keep(timer)
        async with running.turn:
            document = encode(timer)
            await self._ledger.put(timer.key, document)
            running.kept = document

    async def remove(self, key: str) -> None:
        """Forget the timer of a trigger."""
        async with self._reading:  # else what is being deleted might be taken up as new
            self._running.pop(key, None)
            await self._ledger.delete(key)

    def _kept(self, key: str) -> bytes | None:
        running = self._running.get(key)
        return running.kept if running else self._unreadable.get(key)

    async def _read_anew(self, key: str) -> None:
        """Take up what the ledger has of one timer now, unless that is what is known."""
        running = self._running.get(key)
        async with self._reading, running.turn if running else contextlib.nullcontext():
            document = await self._ledger.get(key)
            if self._running.get(key) is not running or document == self._kept(key):
                return
            self._running.pop(key, None)
            self._unreadable.pop(key, None)
            if document is not None:
                await self._take_up(key, document)

    async def _take_up(self, key: str, document: bytes) -> None:
        try:
            timer = decode(document)
            reason = reason_at_start(timer, self._clock.now_ms()) if timer.is_active else None
        except (msgspec.MsgspecError, ValueError) as error:
            logger.error("the timer of trigger %s cannot be read and is left alone: %s", key, error)
            self._unreadable[key] = document
            return
        running = self._keep(timer, document)
        if reason:
            await self._disable(running, reason)

    def _keep(self, timer: Timer, kept: bytes | None = None) -> _Running:
        running = self._running[timer.key] = _Running(timer, kept)
        self._schedule(running)
        return running

    def _schedule(self, running: _Running) -> None:
        if running.timer.due_ms is None:
            return
        if len(self._due) > 2 * len(self._running) + _SPARE_ENTRIES:
            self._due = [entry for entry in self._due if self._is_valid(entry)]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (running.timer.due_ms, next(self._order), running))
        self._has_changed.set()

    def _is_current(self, running: _Running) -> bool:
        return self._running.get(running.timer.key) is running

    def _is_valid(self, entry: tuple[int, int, _Running]) -> bool:
        due, _, running = entry
        return self._is_current(running) and running.timer.due_ms == due

    async def _run(self) -> None:
        while True:
            self._has_changed.clear()
            now = self._clock.now_ms()
            while self._due and self._due[0][0] <= now:
                entry = heapq.heappop(self._due)
                if self._is_valid(entry):
                    self._begin(entry[2], now)
            await self._clock.wait(self._has_changed, self._due[0][0] if self._due else None)

    def _begin(self, running: _Running, now_ms: int) -> None:
        try:
            following = begun(running.timer, now_ms)
        except ValueError as error:
            self._spawn(self._disable(running, failed("initialization", str(error))))
            return
        if running.in_flight == MAX_IN_FLIGHT:
            following = dropped(following, now_ms)
        else:
            running.in_flight += 1
            self._spawn(self._fire(running))
            if running.in_flight == MAX_IN_FLIGHT:
                logger.warning(
                    "trigger %s has %d fires under way; it is not fired meanwhile", following.key, MAX_IN_FLIGHT
                )
        running.timer = following
        self._schedule(running)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            is_expected = isinstance(error, SabayonError)
            logger.error("a fire failed: %s", error, exc_info=None if is_expected else error)

    async def _fire(self, running: _Running) -> None:
        """One point of a schedule, from its due time to what follows from it."""
        try:
            if running.timer.kind != "once":
                await self._write(running)
            outcome = await self._attempts(running)
        finally:
            running.in_flight -= 1
        if not self._is_current(running):
            return
        if isinstance(outcome, Disabled):
            logger.info("the timer of trigger %s stops: %s", running.timer.key, outcome.reason.message)
            await self._disable(running, outcome.reason)
            return
        if isinstance(outcome, Dropped):
            running.timer = dropped(running.timer, self._clock.now_ms())
            self._schedule(running)
            await self._write(running)
        if running.in_flight == 0 and (reason := reason_to_end(running.timer)):
            await self._end(running, reason)

    async def _write(self, running: _Running) -> None:
        """What others have written meanwhile stays, and is taken up in place of `running`."""
        async with running.turn:
            if not self._is_current(running):
                return
            document = encode(running.timer)
            if running.kept is not None and await self._ledger.replace(running.timer.key, running.kept, document):
                running.kept = document
                return
        await self._read_anew(running.timer.key)

    async def _attempts(self, running: _Running) -> Done | Dropped | Disabled:
        attempts = throttled = 0
        while self._is_current(running):
            status = await self._platform.fire(running.timer)
            attempts += 1
            throttled += is_throttled(status)
            outcome = verdict(status, attempts, throttled)
            if not isinstance(outcome, Retry):
                if isinstance(outcome, Dropped):
                    logger.error("a fire of trigger %s is dropped after %d attempts", running.timer.key, attempts)
                return outcome
            await self._clock.sleep(outcome.delay_s)
        return Dropped()

    async def _end(self, running: _Running, reason: Reason) -> None:
        timer = running.timer
        if timer.kind == "once" and timer.delete_after_fire in ("true", "rules"):
            await self.remove(timer.key)
            await self._platform.remove_trigger(timer, with_rules=timer.delete_after_fire == "rules")
        else:
            await self._disable(running, reason)

    async def _disable(self, running: _Running, reason: Reason) -> None:
        """Stop `running`, fires of it that wait included."""
        following = self._keep(running.timer.disabled(reason, self._clock.now_ms()))
        async with running.turn:
            following.kept = running.kept
        await self._write(following)
