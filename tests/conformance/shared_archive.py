"""Archives handed over as the invoker does it: a driver may have them in place, or else they go by `init`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sabayon.sandbox.base import Code, Reply, Sandbox
from tests.conformance.sandbox_stage import PYTHON, Stage, init_body, texts

PADDING = os.urandom(16384)
"""Small archives are not shared."""


class Archive:
    """An archive as the invoker hands it over; counts how often it was read."""

    def __init__(self, archive: bytes, version: str = "guest/a@1") -> None:
        self.archive = archive
        self.reads = 0
        self.code = Code(version, self._read)

    async def _read(self) -> str:
        self.reads += 1
        return base64.b64encode(self.archive).decode()

    async def into(self, sandbox: Sandbox, concurrency: int = 1) -> tuple[bool, Reply]:
        """Whether it was shared, and what `init` answered."""
        is_placed = await sandbox.place(self.code)
        body = json.dumps({"value": {"name": "a", "main": "main", "binary": True}}).encode()
        return is_placed, await sandbox.init(body if is_placed else init_body(self.archive), 20, concurrency)


@asynccontextmanager
async def initialized(
    stage: Stage, archive: Archive, kind: str = PYTHON, *, concurrency: int = 1, dependencies: str = ""
) -> AsyncIterator[tuple[bool, Sandbox]]:
    async with stage.sandbox(kind, dependencies=dependencies) as sandbox:
        is_placed, reply = await archive.into(sandbox, concurrency)
        assert reply.status == 200, (reply, texts(sandbox))
        yield is_placed, sandbox
