"""Stages with stores in trouble: requests that meet, and documents that cannot be read."""

from __future__ import annotations

import asyncio

from sabayon.entity.limits import NamespaceLimits, SystemLimits
from sabayon.errors import Corrupt
from sabayon.store.base import Document
from sabayon.store.memory import MemoryArtifacts, MemoryStore
from tests.unit.stage import Stage


class InterleavedArtifacts(MemoryArtifacts):
    """Others go on between what one reads and what it makes of that."""

    async def read(self, id: str) -> Document | None:
        document = await super().read(id)
        await asyncio.sleep(0)
        return document


class CorruptArtifacts(MemoryArtifacts):
    """The documents named in `corrupt` cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.corrupt: set[str] = set()

    async def read(self, id: str) -> Document | None:
        if id in self.corrupt:
            raise Corrupt(f"{id} cannot be read")
        return await super().read(id)


async def stage_on(artifacts: MemoryArtifacts) -> Stage:
    """A stage whose entities are in `artifacts`."""
    store = MemoryStore()
    store.artifacts = artifacts
    return await Stage(SystemLimits(), NamespaceLimits(), store).open()
