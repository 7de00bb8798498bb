"""The lease of the PostgreSQL store: one at a time, and another one after its holder has fallen silent."""

from __future__ import annotations

import asyncio
import time

from sabayon.store.postgres import PostgresStore
from sabayon.store.postgres.lease import IDLE_S, PostgresLease


async def taken(lease: PostgresLease, within_s: float) -> float:
    """Asked each tenth of a second; after how many seconds it was there."""
    start = time.monotonic()
    while not await lease.hold():
        assert time.monotonic() - start < within_s
        await asyncio.sleep(0.1)
    return time.monotonic() - start


def test_one_at_a_time_has_it_and_who_is_silent_loses_it(postgres_url: str) -> None:
    async def test() -> None:
        store = await PostgresStore.open(postgres_url)
        first, second, third = (store.lease() for _ in range(3))
        try:
            assert [await lease.hold() for lease in (first, second, first)] == [True, False, True]
            await first.release()
            await taken(second, within_s=1)
            assert [await first.hold(), await second.hold()] == [False, True]
            assert await taken(third, within_s=2 * IDLE_S) > IDLE_S / 2  # the second does not ask any more
            assert not await second.hold()
        finally:
            for lease in (first, second, third):
                await lease.release()
            await store.aclose()

    asyncio.run(test())
