"""The store that several processes share: PostgreSQL, reached by asyncpg."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sabayon.entity.activation import StoredActivation
from sabayon.errors import Corrupt, OperatorError, StoreUnavailable
from sabayon.store.postgres.activations import PostgresActivations
from sabayon.store.postgres.artifacts import PostgresArtifacts
from sabayon.store.postgres.connection import CONNECT_S, available, reach, shown
from sabayon.store.postgres.database import Database
from sabayon.store.postgres.identities import PostgresIdentities
from sabayon.store.postgres.installation import join
from sabayon.store.postgres.journal import PostgresJournal
from sabayon.store.postgres.keys import PostgresKeys
from sabayon.store.postgres.lease import PostgresLease
from sabayon.store.postgres.ledger import PostgresLedger
from sabayon.store.postgres.letters import PostgresDeadLetters
from sabayon.store.postgres.listener import Listener
from sabayon.store.postgres.notices import EntityNotice
from sabayon.store.postgres.schema import prepare

WAIT_S: Final = 30.0
"""How long a start waits for a server that is not there yet."""


class PostgresStore:
    """All ports on one database. Any number of processes may have one open."""

    def __init__(self, database: Database, url: str, *, is_alone: bool = False, holder: str = "") -> None:
        self._database = database
        self._url = url
        self.artifacts = PostgresArtifacts(database)
        self.activations = PostgresActivations(database)
        self.journal = PostgresJournal(database, holder or secrets.token_hex(8))
        self.dead_letters = PostgresDeadLetters(database, self.journal)
        self.keys = PostgresKeys(database, self.journal)
        self.identities = PostgresIdentities(database, self.artifacts.forget)
        self._listener = Listener(url, self, is_alone=is_alone)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        data_dir: Path | None = None,
        is_alone: bool = False,
        holder: str = "",
        wait_s: float = WAIT_S,
    ) -> PostgresStore:
        """Reach the server, bring the schema up to date. Raises OperatorError with one line that says what to do.

        data_dir: of the installation that the database must belong to; None does not ask.
        is_alone: refuse a database that another process has open, and have others refuse this one.
        holder: by which name this process has entries of the journal in hand; a new one is chosen where it is empty.
        """
        await _prepare(url, data_dir, wait_s)
        try:
            store = cls(await Database.open(url), url, is_alone=is_alone, holder=holder)
            try:
                await store.activations.prepare_days(time.time_ns() // 1_000_000)
                await store._listener.start()
            except BaseException:
                await store.aclose()
                raise
        except (StoreUnavailable, Corrupt) as error:
            raise OperatorError(str(error)) from error
        return store

    def ledger(self, provider: str) -> PostgresLedger:
        """The documents of one event provider."""
        return PostgresLedger(provider, self._database)

    def lease(self) -> PostgresLease:
        """Of the timers, for this process."""
        return PostgresLease(self._url, 3)

    async def providers(self) -> list[str]:
        """Those that have documents."""
        return [row[0] for row in await self._database.rows("SELECT DISTINCT provider FROM ledger ORDER BY provider")]

    def all_records(self) -> AsyncIterator[StoredActivation]:
        """Every activation record that there was when it is called, in no order."""
        return self.activations.all_records()

    def entity_written(self, notice: EntityNotice) -> None:
        """See `Heard`."""
        self.artifacts.superseded(notice.id, notice.revision)

    def cut_off(self) -> None:
        """See `Heard`."""
        self.artifacts.watched(False)

    async def hearing(self) -> None:
        """See `Heard`."""
        await self.identities.load()
        self.artifacts.watched(True)

    async def anything_written(self) -> None:
        """See `Heard`."""
        self.artifacts.forget()
        await self.identities.load()

    async def aclose(self) -> None:
        """Write what waits and close."""
        await self._listener.aclose()
        await self.journal.aclose()
        await self.activations.aclose()
        await self._database.aclose()


async def server_of(url: str) -> str:
    """What answers at `url`, and changes nothing. Raises OperatorError."""
    connection = await reach(url, 0.0)
    try:
        with available():
            return f"PostgreSQL {await connection.fetchval('SHOW server_version', timeout=CONNECT_S)} at {shown(url)}"
    except StoreUnavailable as error:
        raise OperatorError(str(error)) from error
    finally:
        connection.terminate()


async def _prepare(url: str, data_dir: Path | None, wait_s: float) -> None:
    connection = await reach(url, wait_s)
    try:
        await prepare(connection, url)
        if data_dir is not None:
            await join(connection, url, data_dir)
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            await connection.close(timeout=CONNECT_S)


@contextlib.asynccontextmanager
async def opened_identities(url: str, *, data_dir: Path | None = None) -> AsyncIterator[PostgresIdentities]:
    """The namespaces alone, which may be changed beside platforms that run. Raises OperatorError."""
    await _prepare(url, data_dir, 0.0)
    try:
        database = await Database.open(url)
    except StoreUnavailable as error:
        raise OperatorError(str(error)) from error
    identities = PostgresIdentities(database, lambda: None)
    try:
        await identities.load()
        yield identities
    finally:
        await database.aclose()
