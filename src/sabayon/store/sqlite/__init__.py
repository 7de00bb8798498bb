"""The embedded store: one SQLite database in WAL mode, one writer thread, one reader thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sabayon.entity.activation import StoredActivation
from sabayon.errors import StoreUnavailable
from sabayon.store.sqlite.artifacts import SqliteArtifacts
from sabayon.store.sqlite.connection import prepare
from sabayon.store.sqlite.identities import SqliteIdentities
from sabayon.store.sqlite.journal import SqliteDeadLetters, SqliteJournal
from sabayon.store.sqlite.keys import SqliteKeys
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.records import SqliteActivations, SqliteLedger
from sabayon.store.sqlite.segment import Segment
from sabayon.store.sqlite.spool import SEGMENT_BYTES, Spool, open_segments
from sabayon.store.sqlite.writer import Writer

logger = logging.getLogger("sabayon.store")

WATCH_S: Final = 0.5
"""How often to look for writes of other processes."""


class OwnLease:
    """See the port `Lease`. There is no other process."""

    async def hold(self) -> bool:
        return True

    async def release(self) -> None:
        pass


class SqliteStore:
    """All ports on one database. One process at a time may have one: records are gathered beside the database."""

    def __init__(self, path: Path, segments: tuple[Segment, Segment]) -> None:
        self._reader = Reader(path)
        self.writer = Writer(path)
        self._spool = Spool(self.writer, segments)
        self.artifacts = SqliteArtifacts(self._reader, self.writer)
        self.activations = SqliteActivations(self._reader, self.writer, self._spool)
        self.journal = SqliteJournal(self._reader, self.writer, self._spool)
        self.keys = SqliteKeys(self._reader, self.writer)
        self.dead_letters = SqliteDeadLetters(self._reader, self.writer)
        self.identities = SqliteIdentities(self._reader, self.writer, self._spool.settled, self.artifacts.forget)
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, *, spool_bytes: int = SEGMENT_BYTES) -> SqliteStore:
        """Open or make the database. Raises OperatorError with one line that says what to do.

        spool_bytes: for each of the two files in which records are until the database has them.
        """
        await asyncio.to_thread(prepare, path)
        store = cls(path, open_segments(path, spool_bytes))
        try:
            await store._spool.recover()
            await store.identities.load()
            await store.journal.load()
        except BaseException:
            await store.aclose()
            raise
        store._watcher = asyncio.create_task(store._watch(), name="store watcher")
        return store

    def ledger(self, provider: str) -> SqliteLedger:
        """The documents of one event provider."""
        return SqliteLedger(provider, self._reader, self.writer)

    def lease(self) -> OwnLease:
        """Of the timers, for this process."""
        return OwnLease()

    async def providers(self) -> list[str]:
        """Those that have documents."""
        return [row[0] for row in await self._reader.rows("SELECT DISTINCT provider FROM ledger ORDER BY provider")]

    def all_records(self) -> AsyncIterator[StoredActivation]:
        """Every activation record that there was when it is called, in no order."""
        return self.activations.all_records()

    async def _watch(self) -> None:
        """Forget what is cached when another process has written. The writer's own commits do not count."""
        seen = -1  # no version: what was written since the store began to open is seen too
        while True:
            try:
                version = await self._data_version()
                if version != seen:
                    self.artifacts.forget()
                    await self.identities.load()
                    seen = version
            except StoreUnavailable as error:
                logger.debug("%s", error)  # twice a second, and whoever writes is told
            await asyncio.sleep(WATCH_S)

    async def _data_version(self) -> int:
        query = "PRAGMA data_version"
        return await self.writer.submit(lambda c: int(c.execute(query).fetchone()[0]), is_durable=False)

    async def aclose(self) -> None:
        """Write what waits and close."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._spool.aclose()
        await self.writer.aclose()
        self._reader.close()


@contextlib.asynccontextmanager
async def opened_identities(path: Path) -> AsyncIterator[SqliteIdentities]:
    """The namespaces alone, which may be changed beside a platform that runs. Raises OperatorError."""

    async def settled() -> None:
        """Records that are under way are the other process's."""

    await asyncio.to_thread(prepare, path)
    reader, writer = Reader(path), Writer(path)
    identities = SqliteIdentities(reader, writer, settled, lambda: None)
    try:
        await identities.load()
        yield identities
    finally:
        await writer.aclose()
        reader.close()
