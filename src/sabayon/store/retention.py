"""How long activation records are kept: whole days, in UTC."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from sabayon.errors import StoreUnavailable
from sabayon.store.base import Activations
from sabayon.store.counting import DAY_MS

logger = logging.getLogger("sabayon.store")

LOOK_S: Final = 3600.0
"""How often to look for days that have passed; the first time is at once."""

_RETRY_S: Final = 60.0


def horizon(now_ms: int, days: int) -> int:
    """Records that started before this moment, the beginning of a day, are not kept: they are `days` old and older."""
    return (now_ms // DAY_MS - days) * DAY_MS


@contextlib.asynccontextmanager
async def retention(activations: Activations, days: int) -> AsyncIterator[None]:
    """Meanwhile remove what is older than `days`; with 0 days nothing is."""
    pruning = asyncio.create_task(_prune(activations, days), name="retention") if days else None
    try:
        yield
    finally:
        if pruning is not None:
            pruning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pruning


async def _prune(activations: Activations, days: int) -> None:
    while True:
        delay_s = LOOK_S
        try:
            await activations.prune(horizon(time.time_ns() // 1_000_000, days))
        except StoreUnavailable as error:
            logger.warning("old activation records stay for now: %s", error)
            delay_s = _RETRY_S
        await asyncio.sleep(delay_s)
