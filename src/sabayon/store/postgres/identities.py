"""Identities in PostgreSQL: all of them in memory, loaded again when somebody has written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import msgspec

from sabayon.entity.identity import Identity
from sabayon.errors import Conflict, Corrupt
from sabayon.store.postgres.database import Database
from sabayon.store.postgres.notices import CHANNEL, EVERYTHING, IDENTITIES

_PUT: Final = """
INSERT INTO identities VALUES ($1, $2, $3)
ON CONFLICT (namespace) DO UPDATE SET uuid = excluded.uuid, body = excluded.body
"""
_MARK: Final = """
INSERT INTO deletions VALUES ($1, $2) ON CONFLICT (namespace) DO UPDATE SET at = greatest(deletions.at, excluded.at)
"""
_BELONGING: Final = (
    "DELETE FROM identities WHERE namespace = $1",
    "DELETE FROM entities WHERE namespace = $1",
    "DELETE FROM ledger WHERE starts_with(key, $1 || '/')",
    "DELETE FROM activation_counts WHERE namespace = $1",
    "DELETE FROM journal WHERE namespace = $1",
    "DELETE FROM dead_letters WHERE namespace = $1",
    "DELETE FROM keys WHERE namespace = $1",
)
_SLICE: Final = """
SELECT start FROM activations WHERE namespace = $1 AND start <= $2 ORDER BY start DESC OFFSET 10000 LIMIT 1
"""
_DELETE_SLICE: Final = "DELETE FROM activations WHERE namespace = $1 AND start BETWEEN $2 AND $3"
_BEGIN: Final = -(2**62)
_decoder = msgspec.json.Decoder(Identity)


class PostgresIdentities:
    """See the port. on_deleted: entities may have gone without the artifact store knowing."""

    def __init__(self, database: Database, on_deleted: Callable[[], None]) -> None:
        self._database = database
        self._on_deleted = on_deleted
        self._loading = asyncio.Lock()
        self._by_uuid: dict[str, Identity] = {}
        self._by_namespace: dict[str, Identity] = {}

    async def load(self) -> None:
        """Read all of them anew, what is read last is what stays. Raises StoreUnavailable and Corrupt."""
        async with self._loading:
            rows = await self._database.rows("SELECT body FROM identities ORDER BY namespace")
            try:
                identities = [_decoder.decode(row[0]) for row in rows]
            except msgspec.MsgspecError as error:
                raise Corrupt(f"a stored identity cannot be read: {error}") from error
            self._by_uuid = {identity.uuid: identity for identity in identities}
            self._by_namespace = {identity.namespace: identity for identity in identities}

    async def by_uuid(self, uuid: str) -> Identity | None:
        return self._by_uuid.get(uuid)

    async def by_namespace(self, namespace: str) -> Identity | None:
        return self._by_namespace.get(namespace)

    async def put(self, identity: Identity) -> None:
        async def work(connection: Any) -> None:
            try:
                await connection.execute(_PUT, identity.namespace, identity.uuid, msgspec.json.encode(identity))
            except asyncpg.UniqueViolationError as error:
                raise Conflict(f"another namespace than {identity.namespace} has a key with this UUID") from error
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, IDENTITIES)

        await self._database.transaction(work)
        await self.load()

    async def delete(self, namespace: str) -> None:
        now_ms = time.time_ns() // 1_000_000

        async def work(connection: Any) -> None:
            await connection.execute("SELECT lock_records()")
            await connection.execute(_MARK, namespace, now_ms)  # other processes may still have records of it
            for statement in _BELONGING:
                await connection.execute(statement, namespace)
            await connection.execute("DELETE FROM activations WHERE namespace = $1 AND start > $2", namespace, now_ms)
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, EVERYTHING)

        await self._database.transaction(work)
        self._on_deleted()
        await self.load()
        await self._delete_records(namespace, now_ms)

    async def _delete_records(self, namespace: str, upto: int) -> None:
        """Those that are not counted any more, some at a time: nobody's records have to wait for millions."""
        while upto > _BEGIN:
            rows = await self._database.rows(_SLICE, namespace, upto)
            since = int(rows[0][0]) if rows else _BEGIN
            await self._database.execute(_DELETE_SLICE, namespace, since, upto)
            upto = since - 1

    async def all(self) -> list[Identity]:
        return list(self._by_namespace.values())
