"""Waiting for the record of an activation that somebody else has started, here or elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sabayon.controller.services import Services

LOOK_AGAIN_S: Final = 0.2
"""How often to look for the record of what is not in flight here: it waits for its time, or another process runs it."""


async def record_within(services: Services, namespace: str, activation_id: str, timeout_s: float) -> bytes | None:
    """The record as it is stored, or None when there is none within `timeout_s`. Raises StoreUnavailable."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        record = await services.activations.read(namespace, activation_id)
        left_s = deadline - loop.time()
        if record is not None or left_s <= 0:
            return record
        await _change(services.running.find(activation_id), left_s)


async def _change(work: asyncio.Future[Any] | None, most_s: float) -> None:
    """Until `work` has ended, which may have been the last of its activation; or for a while if there is none."""
    if work is None:
        await asyncio.sleep(min(most_s, LOOK_AGAIN_S))
    else:
        await asyncio.wait((work,), timeout=most_s)
