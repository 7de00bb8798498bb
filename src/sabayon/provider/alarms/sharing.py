"""Timers that several processes share: each takes changes, one at a time fires.

Feeds write into the ledger, whichever process they reach. The one with the lease looks there each second, and at once
for what it has written itself. That nothing fires twice does not hang on the lease: see `engine`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, Protocol

from sabayon.errors import StoreUnavailable
from sabayon.provider.alarms.engine import Engine, Ledger
from sabayon.provider.alarms.timer import Timer, decode, encode

logger = logging.getLogger("sabayon.alarms")

BEAT_S: Final = 1.0


class Lease(Protocol):
    """One process at a time has it."""

    async def hold(self) -> bool:
        """Take it or keep it; whether it is this process's now. It is lost when it is not asked for again soon."""
        ...

    async def release(self) -> None:
        """Let another one have it."""
        ...


class SharedTimers:
    """Runs from `start` to `aclose`.

    make: an engine on `ledger`. is_able: whether this process can fire now; one that cannot leaves it to others.
    """

    def __init__(self, ledger: Ledger, lease: Lease, make: Callable[[], Engine], is_able: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._lease = lease
        self._make = make
        self._is_able = is_able
        self._engine: Engine | None = None
        self._has_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take part."""
        self._task = asyncio.create_task(self._run(), name="timers")

    async def aclose(self) -> None:
        """Fire no more, and let another one at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._leave()

    async def started(self) -> None:
        """There is nothing to wait for."""

    async def read(self, key: str) -> Timer | None:
        """The timer of a trigger. Raises msgspec.MsgspecError for what is none."""
        document = await self._ledger.get(key)
        return decode(document) if document is not None else None

    async def put(self, timer: Timer) -> None:
        """Keep `timer` in place of the one of its trigger."""
        await self._ledger.put(timer.key, encode(timer))
        self._has_changed.set()

    async def remove(self, key: str) -> None:
        """Forget the timer of a trigger."""
        await self._ledger.delete(key)
        self._has_changed.set()

    async def _run(self) -> None:
        while True:
            self._has_changed.clear()
            try:
                await self._beat()
            except StoreUnavailable as error:
                logger.warning("timers cannot be read: %s", error)
            except Exception:  # the supervisor: whoever ends here holds the lease and fires nothing
                logger.exception("the timers are left to others")
                await self._leave()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._has_changed.wait()

    async def _beat(self) -> None:
        if not self._is_able() or not await self._lease.hold():
            await self._leave()
        elif self._engine is not None:
            await self._engine.look()
        else:
            engine = self._make()
            try:
                await engine.start()
            except BaseException:
                await engine.aclose()
                raise
            self._engine = engine
            logger.info("the timers are fired from here now")

    async def _leave(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()
            logger.info("the timers are left to others")
        await self._lease.release()
