"""The journal in PostgreSQL: appends of many callers share a transaction, and its flush to the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sabayon.store.postgres.batcher import Batcher
from sabayon.store.postgres.database import Database

LANES: Final = 2
"""One batch is gathered and sent while the other one's commit waits for the disk."""

_APPEND: Final = """
INSERT INTO journal (id, message) SELECT id, message FROM unnest($1::TEXT[], $2::BYTEA[]) AS entry (id, message)
ON CONFLICT (id) DO UPDATE SET message = excluded.message
"""

_Entry = tuple[str, bytes]


class PostgresJournal:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batcher: Batcher[_Entry] = Batcher(self._append, lambda entry: len(entry[1]), lanes=LANES)

    async def append(self, activation_id: str, message: bytes) -> None:
        await self.batcher.put((activation_id, message))

    async def _append(self, entries: Sequence[_Entry]) -> None:
        unique = dict(entries)  # a statement must not change a row twice
        await self._database.execute(_APPEND, list(unique), list(unique.values()))

    async def pending(self) -> Mapping[str, bytes]:
        rows = await self._database.rows("SELECT id, message FROM journal ORDER BY number")
        return dict(rows)

    async def aclose(self) -> None:
        """Write what waits."""
        await self.batcher.aclose()
