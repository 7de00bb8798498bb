"""Idempotency keys in PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

from sabayon.store.base import KEPT_MS, Claim
from sabayon.store.postgres.database import Database
from sabayon.store.postgres.journal import PostgresJournal, append

_CLAIM: Final = """
INSERT INTO keys VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (namespace, target, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, activation_id = excluded.activation_id, claimed = excluded.claimed
    WHERE keys.claimed <= $7
RETURNING 1
"""
"""Of two at once the second waits for the first one's transaction, and finds what it has written."""

_FIND: Final = "SELECT * FROM keys WHERE namespace = $1 AND target = $2 AND key = $3 AND claimed > $4"
_PRUNE: Final = """
WITH pruned AS (
    DELETE FROM keys WHERE (namespace, target, key) IN (
        SELECT namespace, target, key FROM keys WHERE claimed <= $1 ORDER BY claimed LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) FROM pruned
"""


class PostgresKeys:
    """See the port."""

    def __init__(self, database: Database, journal: PostgresJournal) -> None:
        self._database = database
        self._journal = journal

    async def claim(self, claim: Claim, message: bytes, *, due_ms: int | None = None) -> Claim | None:
        too_old = claim.claimed_ms - KEPT_MS

        async def work(connection: Any) -> Claim | None:
            if await connection.fetchval(_CLAIM, *claim, too_old):
                await append(connection, [self._journal.row(claim.activation_id, message, claim.namespace, due_ms)])
                return None
            return Claim(*await connection.fetchrow(_FIND, claim.namespace, claim.target, claim.key, too_old))

        return await self._database.transaction(work)

    async def find(self, namespace: str, target: str, key: str, now_ms: int) -> Claim | None:
        rows = await self._database.rows(_FIND, namespace, target, key, now_ms - KEPT_MS)
        return Claim(*rows[0]) if rows else None

    async def prune(self, now_ms: int, most: int) -> int:
        [[number]] = await self._database.rows(_PRUNE, now_ms - KEPT_MS, most)
        return int(number)
