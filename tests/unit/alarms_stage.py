"""Timers on a clock that only the test moves, and a platform that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sabayon.provider.alarms.api import AlarmsApi
from sabayon.provider.alarms.engine import Engine
from sabayon.provider.alarms.timer import Timer
from sabayon.provider.alarms.validation import Owner, new_timer
from sabayon.store.memory import MemoryLedger, MemoryStore
from tests.unit.asgi import Answer, AsgiClient

KEY = "owner:key"
STRANGER_KEY = "stranger:key"
SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
_TURNS = 50
"""More turns of the event loop than anything that waits for no clock takes."""


def ms(text: str) -> int:
    """Epoch ms of ISO 8601; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


NOON_MS = ms("2024-01-01T12:00:00")


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self._now_ms = now_ms
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        changed = asyncio.ensure_future(event.wait())
        awaited: list[asyncio.Future[Any]] = [changed]
        if until_ms is not None:
            awaited.append(self._arrival(until_ms))
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in awaited:
                future.cancel()

    async def sleep(self, seconds: float) -> None:
        await self._arrival(self._now_ms + int(seconds * 1000))

    def _arrival(self, at_ms: int) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if at_ms <= self._now_ms:
            future.set_result(None)
        else:
            self._arrivals.append((at_ms, future))
        return future

    async def move_to(self, at_ms: int) -> None:
        """Through every point that somebody waits for; each is dealt with at its time."""
        await settle()
        while (next_ms := self._next_arrival(at_ms)) is not None:
            await self.leap_to(next_ms)
        await self.leap_to(at_ms)

    async def leap_to(self, at_ms: int) -> None:
        """At once, as a machine that slept."""
        self.strike(at_ms)
        await settle()

    def strike(self, at_ms: int) -> None:
        """It is that late now; nobody had a turn yet."""
        self._now_ms = at_ms
        for arrives_ms, future in self._arrivals:
            if arrives_ms <= at_ms and not future.done():
                future.set_result(None)

    def _next_arrival(self, until_ms: int) -> int | None:
        self._arrivals = [arrival for arrival in self._arrivals if not arrival[1].done()]
        return min((at_ms for at_ms, _ in self._arrivals if at_ms <= until_ms), default=None)


async def settle() -> None:
    """Let everybody go on who waits for no clock."""
    await _turns(_TURNS)


class ScriptedPlatform:
    """Answers fires with `answers` in turn, then with 202.

    fires: when, and which timer. removed: triggers deleted, and whether their rules went with them. While `gate` is
    clear, fires that have begun wait for it. rights: HTTP status of reading a trigger, by name and key.
    """

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.answers: list[int] = []
        self.fires: list[tuple[int, Timer]] = []
        self.removed: list[tuple[str, bool]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.namespaces = {KEY: "acme", STRANGER_KEY: "other"}
        self.is_reachable = True
        self.is_trigger_gone = False

    @property
    def fire_times(self) -> list[int]:
        return [at_ms for at_ms, _ in self.fires]

    async def namespace_of(self, auth_key: str) -> tuple[int, str]:
        if not self.is_reachable:
            return 0, ""
        return (200, self.namespaces[auth_key]) if auth_key in self.namespaces else (401, "")

    async def check_trigger(self, namespace: str, name: str, auth_key: str) -> int:
        status, own = await self.namespace_of(auth_key)
        if status != 200:
            return status
        if own != namespace:
            return 403
        return 404 if self.is_trigger_gone else 200

    async def fire(self, timer: Timer) -> int:
        self.fires.append((self._clock.now_ms(), timer))
        answer = self.answers.pop(0) if self.answers else 202
        await self.gate.wait()
        return answer

    async def remove_trigger(self, timer: Timer, *, with_rules: bool) -> None:
        self.removed.append((timer.name, with_rules))


class SlowLedger(MemoryLedger):
    """Writes one document after the other, each in a few turns."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()

    async def put(self, key: str, document: bytes) -> None:
        async with self._turn:
            await _turns(3)
            await super().put(key, document)

    async def delete(self, key: str) -> None:
        async with self._turn:
            await _turns(3)
            await super().delete(key)


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class AlarmsStage:
    """A provider that can be stopped and started over what it has kept."""

    def __init__(self, now_ms: int = NOON_MS, ledger: MemoryLedger | None = None) -> None:
        self.clock = HandClock(now_ms)
        self.platform = ScriptedPlatform(self.clock)
        self.ledger: MemoryLedger = ledger or MemoryStore().ledger("alarms")
        self.engine = Engine(self.ledger, self.platform, self.clock)

    @property
    def client(self) -> AsgiClient:
        return AsgiClient(AlarmsApi(self.engine, self.platform, self.clock))

    async def restart(self, *, after_ms: int = 0) -> None:
        """Down for `after_ms`."""
        await self.engine.aclose()
        await self.clock.leap_to(self.clock.now_ms() + after_ms)
        self.engine = Engine(self.ledger, self.platform, self.clock)
        await self.engine.start()
        await settle()

    async def add(self, name: str = "tick", **given: Any) -> Timer:
        """A timer of the owner, as the parameters of a feed ask for it."""
        timer = new_timer(Owner("acme", name, KEY), given, self.clock.now_ms())
        await self.engine.put(timer)
        return timer

    def timer(self, name: str = "tick") -> Timer:
        timer = self.engine.find(f"acme/{name}")
        assert timer is not None
        return timer

    async def pass_(self, milliseconds: int) -> None:
        await self.clock.move_to(self.clock.now_ms() + milliseconds)

    async def request(
        self, method: str, trigger: str = "acme/tick", given: Any = None, *, auth: str | None = KEY
    ) -> Answer:
        """One event in a feed's life."""
        return await self.client.request(method, f"/provider/alarms/v1/triggers/{trigger}", json=given, auth=auth)


def fires_after(stage: AlarmsStage, start_ms: int = NOON_MS) -> Sequence[float]:
    """When triggers were fired, in seconds since `start_ms`."""
    return [(at_ms - start_ms) / 1000 for at_ms in stage.platform.fire_times]


def play(test: Callable[[AlarmsStage], Awaitable[None]], ledger: MemoryLedger | None = None) -> None:
    """Run `test` on a started stage."""

    async def whole() -> None:
        stage = AlarmsStage(ledger=ledger)
        await stage.engine.start()
        try:
            await test(stage)
        finally:
            await stage.engine.aclose()

    asyncio.run(whole())
