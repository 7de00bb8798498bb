"""Timers that two processes share, on one ledger and a scripted platform, in a time that takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sabayon.provider.alarms.engine import Engine
from sabayon.provider.alarms.sharing import SharedTimers
from sabayon.store.memory import MemoryLedger
from tests.unit.alarms import DAY, MINUTE, LoopClock, ScriptedPlatform, timer
from tests.unit.patient_loop import run_patiently

KEY = "acme/tick"


class ScriptedLease:
    """Is held while the test says so."""

    def __init__(self, *, is_ours: bool) -> None:
        self.is_ours = is_ours

    async def hold(self) -> bool:
        return self.is_ours

    async def release(self) -> None:
        pass


class Process:
    """One of those that share."""

    def __init__(self, ledger: MemoryLedger, clock: LoopClock, *, is_owner: bool) -> None:
        self.lease = ScriptedLease(is_ours=is_owner)
        self.platform = ScriptedPlatform(clock)
        self.is_able = True
        self.timers = SharedTimers(
            ledger, self.lease, lambda: Engine(ledger, self.platform, clock), lambda: self.is_able
        )

    @property
    def fired_at(self) -> list[int]:
        return [second for _, second in self.platform.fires]


class Two:
    """Both run; the first owns the timers."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), LoopClock()
        self.first = Process(self.ledger, self.clock, is_owner=True)
        self.second = Process(self.ledger, self.clock, is_owner=False)

    async def until(self, seconds: float) -> None:
        """Let everything happen up to a bit after `seconds` from the start."""
        await asyncio.sleep(seconds + 0.4 - self.clock.seconds())


def with_two(test: Callable[[Two], Awaitable[None]]) -> None:
    """Play `test` without waiting."""

    async def play() -> None:
        two = Two()
        for process in (two.first, two.second):
            await process.timers.start()
        try:
            await test(two)
        finally:
            for process in (two.first, two.second):
                await process.timers.aclose()

    run_patiently(play())


def test_what_one_is_told_the_owner_fires_changes_and_forgets() -> None:
    async def test(two: Two) -> None:
        await two.second.timers.put(timer(cron="* * * * *"))
        await two.until(2 * MINUTE)
        await two.second.timers.put(timer(at_s=2 * MINUTE, cron="*/10 * * * *"))
        await two.until(20 * MINUTE)
        await two.second.timers.remove(KEY)
        await two.until(DAY)
        assert two.first.fired_at == [60, 120, 600, 1200]
        assert two.second.fired_at == []
        assert await two.first.timers.read(KEY) is None

    with_two(test)


def test_the_next_owner_goes_on_with_what_is_due_next() -> None:
    async def test(two: Two) -> None:
        await two.second.timers.put(timer(cron="* * * * *", maxTriggers=4))
        await two.until(2 * MINUTE)
        two.first.lease.is_ours, two.second.lease.is_ours = False, True
        await two.until(DAY)
        assert (two.first.fired_at, two.second.fired_at) == ([60, 120], [180, 240])

    with_two(test)


def test_two_that_both_believe_to_own_them_fire_each_point_once() -> None:
    async def test(two: Two) -> None:
        two.second.lease.is_ours = True
        await two.first.timers.put(timer(cron="* * * * *", maxTriggers=30))
        await two.until(DAY)
        assert sorted(two.first.fired_at + two.second.fired_at) == [MINUTE * n for n in range(1, 31)]

    with_two(test)


def test_one_that_cannot_fire_leaves_it_to_others() -> None:
    async def test(two: Two) -> None:
        await two.first.timers.put(timer(cron="* * * * *"))
        two.first.is_able = False
        await two.until(10 * MINUTE)
        assert two.first.fired_at == []
        two.first.is_able = True
        await two.until(11 * MINUTE)
        late, in_time = two.first.fired_at  # once for all that it missed
        assert 10 * MINUTE < late <= 10 * MINUTE + 2
        assert in_time == 11 * MINUTE

    with_two(test)


def test_what_somebody_changes_while_it_is_fired_stays_changed() -> None:
    async def test(two: Two) -> None:
        two.first.platform.statuses = [503]  # so the first fire is still tried when it is changed
        await two.first.timers.put(timer(cron="* * * * *"))
        await two.until(MINUTE)
        changed = timer(at_s=MINUTE, cron="0 12 * * *")
        await two.second.timers.put(changed)
        two.first.platform.statuses = [404]
        await two.until(2 * MINUTE)
        assert await two.second.timers.read(KEY) == changed

    with_two(test)
