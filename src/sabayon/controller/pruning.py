"""Forgetting what has been kept for long enough, a little at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sabayon.errors import StoreUnavailable
from sabayon.store.base import Keys

PAUSE_S: Final = 600.0
BATCH: Final = 500
"""Claims in one transaction, which others wait for."""

logger = logging.getLogger("sabayon.controller")


async def prune_for_ever(keys: Keys, now_ms: Callable[[], int], pause_s: float = PAUSE_S) -> None:
    """Look every `pause_s` seconds for idempotency keys that are a day old. It ends when it is cancelled."""
    while True:
        try:
            while await keys.prune(now_ms(), BATCH) == BATCH:
                pass  # others have had their turn: each batch is a transaction of its own
        except StoreUnavailable as error:
            logger.debug("idempotency keys are not pruned now: %s", error)  # whoever writes is told
        await asyncio.sleep(pause_s)
