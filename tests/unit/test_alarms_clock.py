"""Waiting on the machine's clock."""

from __future__ import annotations

import asyncio

import pytest

from sabayon.provider.alarms.clock import SystemClock


def test_a_wait_ends_when_the_time_has_come_or_its_event() -> None:
    async def test() -> None:
        clock, event = SystemClock(), asyncio.Event()
        await clock.wait(event, clock.now_ms() - 1000)
        await clock.wait(event, clock.now_ms() + 1)
        event.set()
        await clock.wait(event, None)

    asyncio.run(asyncio.wait_for(test(), 10))


def test_a_wait_that_is_cancelled_just_as_its_event_comes_is_cancelled() -> None:
    async def test() -> None:
        event = asyncio.Event()
        waiting = asyncio.create_task(SystemClock().wait(event, None))
        for _ in range(3):
            await asyncio.sleep(0)
        event.set()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(test())
