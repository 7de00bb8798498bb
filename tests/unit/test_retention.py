"""Old records go by whole days; with no retention none goes."""

from __future__ import annotations

import asyncio
import time

from sabayon.errors import StoreUnavailable
from sabayon.store.base import Filter
from sabayon.store.counting import DAY_MS
from sabayon.store.memory import MemoryActivations, MemoryJournal, MemoryStore
from sabayon.store.retention import horizon, retention
from tests.conformance.test_store import activation, stored

NOON = 20_000 * DAY_MS + DAY_MS // 2


def test_the_horizon_is_the_beginning_of_a_day() -> None:
    assert horizon(NOON, 7) == 19_993 * DAY_MS
    assert horizon(20_000 * DAY_MS, 7) == 19_993 * DAY_MS
    assert horizon(20_000 * DAY_MS - 1, 7) == 19_992 * DAY_MS


async def left_after(activations: MemoryActivations, days: int, is_over: asyncio.Event) -> int:
    """How many of an old record and a new one are left once `is_over`."""
    now_ms = time.time_ns() // 1_000_000
    for number, start in enumerate((now_ms - 9 * DAY_MS, now_ms - 2 * DAY_MS)):
        await activations.put(stored(activation(number, start=start)))
    async with retention(activations, days):
        await asyncio.wait_for(is_over.wait(), 10)
    return await activations.count("ns", Filter())


class Watched(MemoryActivations):
    """Tells when it was asked to prune, and refuses if it is to."""

    def __init__(self, *, is_refusing: bool = False) -> None:
        super().__init__(MemoryJournal())
        self.asked = asyncio.Event()
        self._is_refusing = is_refusing

    async def prune(self, before: int) -> None:
        self.asked.set()
        if self._is_refusing:
            raise StoreUnavailable("not now")
        await super().prune(before)


def test_old_records_go_at_once() -> None:
    async def main() -> int:
        watched = Watched()
        return await left_after(watched, 7, watched.asked)

    assert asyncio.run(main()) == 1


def test_a_store_that_refuses_keeps_them_and_nothing_else_suffers() -> None:
    async def main() -> int:
        watched = Watched(is_refusing=True)
        return await left_after(watched, 7, watched.asked)

    assert asyncio.run(main()) == 2


def test_without_retention_nothing_is_removed() -> None:
    async def main() -> int:
        is_over = asyncio.Event()
        asyncio.get_running_loop().call_soon(is_over.set)
        return await left_after(MemoryStore().activations, 0, is_over)

    assert asyncio.run(main()) == 2
