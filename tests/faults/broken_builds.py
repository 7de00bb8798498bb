"""Platforms that break one promise each: a checker that lets one of them pass checks nothing.

`python -m tests.faults.broken_builds NAME up …` runs one as `sabayon up …` would run the good one.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any, Final

from sabayon import __main__
from sabayon.store import sqlite

LATE_S: Final = 0.3
EVERY: Final = 50


class _Instead:
    """An object of the store's but for what is overridden."""

    def __init__(self, good: Any) -> None:
        self._good = good

    def __getattr__(self, name: str) -> Any:
        return getattr(self._good, name)


class _EarlyJournal(_Instead):
    """Says that it has written what it is about to write."""

    async def append(self, *args: Any, **kwargs: Any) -> None:
        asyncio.get_running_loop().call_later(LATE_S, lambda: asyncio.ensure_future(self._good.append(*args, **kwargs)))


class _ForgetfulActivations(_Instead):
    """Says that it has kept a record, and has not, once in so many times."""

    _numbers = itertools.count(1)

    async def put(self, record: Any, *, settles: bool = False) -> None:
        if next(self._numbers) % EVERY:
            await self._good.put(record, settles=settles)


class EarlyStore(sqlite.SqliteStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.journal = _EarlyJournal(self.journal)  # type: ignore[assignment]


class ForgetfulStore(sqlite.SqliteStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.activations = _ForgetfulActivations(self.activations)  # type: ignore[assignment]


STORES: Final = {"acknowledges-before-it-writes": EarlyStore, "forgets-to-settle": ForgetfulStore}


if __name__ == "__main__":
    sqlite.SqliteStore = STORES[sys.argv.pop(1)]  # type: ignore[misc]
    sys.exit(__main__.main())
