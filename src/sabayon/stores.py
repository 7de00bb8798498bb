"""Which store: SQLite in the data directory, or the PostgreSQL database that the setting `store` names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from sabayon import data_directory
from sabayon.entity.activation import StoredActivation
from sabayon.errors import OperatorError
from sabayon.store import sqlite
from sabayon.store.base import Activations, Artifacts, DeadLetters, Identities, Journal, Keys, Lease, Ledger


class Store(Protocol):
    """All ports of one store."""

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def activations(self) -> Activations: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def identities(self) -> Identities: ...

    def ledger(self, provider: str) -> Ledger:
        """The documents of one event provider."""
        ...

    def lease(self) -> Lease:
        """Of the timers, for this process."""
        ...

    async def providers(self) -> list[str]:
        """Those that have documents."""
        ...

    def all_records(self) -> AsyncIterator[StoredActivation]:
        """Every activation record that there was when it is called, in no order."""
        ...

    async def aclose(self) -> None:
        """Write what waits and close."""
        ...


async def open_store(url: str, data_dir: Path, *, is_alone: bool, holder: str = "") -> Store:
    """Open or make it. Raises OperatorError.

    url: of a PostgreSQL database, or empty for SQLite. is_alone: no other process uses it, as is always so with SQLite.
    holder: as whom this process has entries of the journal in hand; a name of its own if empty.
    """
    if not url:
        return await sqlite.SqliteStore.open(data_dir / data_directory.DATABASE)
    from sabayon.store.postgres import PostgresStore  # who has no use for it need not wait for its driver

    return await PostgresStore.open(url, data_dir=data_dir, is_alone=is_alone, holder=holder)


@contextlib.asynccontextmanager
async def opened_identities(url: str, data_dir: Path) -> AsyncIterator[Identities]:
    """The namespaces alone, also beside a platform that runs. Raises OperatorError, also when there is no data."""
    if url:
        from sabayon.store import postgres

        async with postgres.opened_identities(url) as shared:
            yield shared
        return
    path = data_dir / data_directory.DATABASE
    if not path.exists():
        raise OperatorError(f"{data_dir} holds no platform's data; start one with: sabayon up --data-dir {data_dir}")
    async with sqlite.opened_identities(path) as identities:
        yield identities
