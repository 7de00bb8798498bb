"""Documents of event providers in PostgreSQL."""

from __future__ import annotations

from typing import Final

from sabayon.store.postgres.database import Database

_PUT: Final = """
INSERT INTO ledger VALUES ($1, $2, $3) ON CONFLICT (provider, key) DO UPDATE SET document = excluded.document
"""

_REPLACE: Final = """
UPDATE ledger SET document = $4 WHERE provider = $1 AND key = $2 AND document = $3 RETURNING true
"""


class PostgresLedger:
    """See the port."""

    def __init__(self, provider: str, database: Database) -> None:
        self._provider = provider
        self._database = database

    async def load(self) -> list[tuple[str, bytes]]:
        query = "SELECT key, document FROM ledger WHERE provider = $1 ORDER BY key"
        return [(key, document) for key, document in await self._database.rows(query, self._provider)]

    async def put(self, key: str, document: bytes) -> None:
        await self._database.execute(_PUT, self._provider, key, document)

    async def get(self, key: str) -> bytes | None:
        query = "SELECT document FROM ledger WHERE provider = $1 AND key = $2"
        rows = await self._database.rows(query, self._provider, key)
        return rows[0][0] if rows else None

    async def replace(self, key: str, before: bytes, document: bytes) -> bool:
        return bool(await self._database.rows(_REPLACE, self._provider, key, before, document))

    async def delete(self, key: str) -> None:
        await self._database.execute("DELETE FROM ledger WHERE provider = $1 AND key = $2", self._provider, key)
