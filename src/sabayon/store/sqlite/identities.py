"""Identities in SQLite: all of them in memory, loaded again when another process has written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from sabayon.entity.identity import Identity
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.writer import Writer

_BELONGING: Final = (
    "DELETE FROM identities WHERE namespace = ?",
    "DELETE FROM code WHERE id IN (SELECT id FROM entities WHERE namespace = ?)",
    "DELETE FROM entities WHERE namespace = ?",
    "DELETE FROM activations WHERE namespace = ?",
    "DELETE FROM keys WHERE namespace = ?",
    "DELETE FROM ledger WHERE substr(key, 1, length(?1) + 1) = ?1 || '/'",
)
_decoder = msgspec.json.Decoder(Identity)


class SqliteIdentities:
    """See the port.

    settled: until all records are where `delete` finds them. on_deleted: entities may have gone without the artifact
    store knowing.
    """

    def __init__(
        self, reader: Reader, writer: Writer, settled: Callable[[], Awaitable[None]], on_deleted: Callable[[], None]
    ) -> None:
        self._settled = settled
        self._on_deleted = on_deleted
        self._reader = reader
        self._writer = writer
        self._by_uuid: dict[str, Identity] = {}
        self._by_namespace: dict[str, Identity] = {}

    async def load(self) -> None:
        """Read all of them anew."""
        rows = await self._reader.rows("SELECT body FROM identities ORDER BY namespace")
        identities = [_decoder.decode(row[0]) for row in rows]
        self._by_uuid = {identity.uuid: identity for identity in identities}
        self._by_namespace = {identity.namespace: identity for identity in identities}

    async def by_uuid(self, uuid: str) -> Identity | None:
        return self._by_uuid.get(uuid)

    async def by_namespace(self, namespace: str) -> Identity | None:
        return self._by_namespace.get(namespace)

    async def put(self, identity: Identity) -> None:
        values = (identity.namespace, identity.uuid, msgspec.json.encode(identity))
        await self._writer.execute("INSERT OR REPLACE INTO identities VALUES (?, ?, ?)", *values)
        await self.load()

    async def delete(self, namespace: str) -> None:
        now_ms = time.time_ns() // 1_000_000

        def work(connection: sqlite3.Connection) -> None:
            # Another process may still have records of it that are not in the database yet.
            connection.execute("INSERT OR REPLACE INTO deletions VALUES (?, ?)", (namespace, now_ms))
            for statement in _BELONGING:
                connection.execute(statement, (namespace,))

        await self._settled()
        await self._writer.submit(work, is_durable=True)
        self._on_deleted()
        await self.load()

    async def all(self) -> list[Identity]:
        return list(self._by_namespace.values())
