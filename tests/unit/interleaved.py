"""A stage on which requests meet: others go on between what one reads and what it makes of that."""

from __future__ import annotations

import asyncio

from sabayon.entity.limits import NamespaceLimits, SystemLimits
from sabayon.store.base import Document
from sabayon.store.memory import MemoryArtifacts, MemoryStore
from tests.unit.stage import Stage


class InterleavedArtifacts(MemoryArtifacts):
    """Reads that are old when they arrive."""

    async def read(self, id: str) -> Document | None:
        document = await super().read(id)
        await asyncio.sleep(0)
        return document


async def interleaved_stage() -> Stage:
    store = MemoryStore()
    store.artifacts = InterleavedArtifacts()
    return await Stage(SystemLimits(), NamespaceLimits(), store).open()
