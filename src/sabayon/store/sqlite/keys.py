"""Idempotency keys in SQLite."""

from __future__ import annotations

import sqlite3
from typing import Final

from sabayon.store.base import KEPT_MS, Claim
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.records import append_entry
from sabayon.store.sqlite.writer import Writer

_FIND: Final = "SELECT * FROM keys WHERE namespace = ? AND target = ? AND key = ? AND claimed > ?"
_PRUNE: Final = (
    "DELETE FROM keys WHERE (namespace, target, key) IN"
    " (SELECT namespace, target, key FROM keys WHERE claimed <= ? ORDER BY claimed LIMIT ?)"
)


class SqliteKeys:
    """See the port. One writer thread makes all claims, so of two at once one finds the other."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def claim(self, claim: Claim, message: bytes) -> Claim | None:
        wanted = (claim.namespace, claim.target, claim.key, claim.claimed_ms - KEPT_MS)

        def work(connection: sqlite3.Connection) -> Claim | None:
            if row := connection.execute(_FIND, wanted).fetchone():
                return Claim(*row)
            connection.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)", claim)
            append_entry(connection, claim.activation_id, message)
            return None

        return await self._writer.submit(work, is_durable=True, is_alone=False)

    async def find(self, namespace: str, target: str, key: str, now_ms: int) -> Claim | None:
        rows = await self._reader.rows(_FIND, namespace, target, key, now_ms - KEPT_MS)
        return Claim(*rows[0]) if rows else None

    async def prune(self, now_ms: int, most: int) -> int:
        return await self._writer.submit(
            lambda connection: connection.execute(_PRUNE, (now_ms - KEPT_MS, most)).rowcount, is_durable=False
        )
