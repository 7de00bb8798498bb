"""Dead letters in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sabayon.store.base import Entry, Letter
from sabayon.store.postgres.database import Database
from sabayon.store.postgres.journal import PostgresJournal, add_letter, append

_DELETE: Final = "DELETE FROM dead_letters WHERE namespace = $1 AND id = $2 RETURNING 1"


class PostgresDeadLetters:
    """See the port."""

    def __init__(self, database: Database, journal: PostgresJournal) -> None:
        self._database = database
        self._journal = journal

    async def list(self, namespace: str, *, skip: int, limit: int) -> Sequence[bytes]:
        query = "SELECT summary FROM dead_letters WHERE namespace = $1 ORDER BY number DESC LIMIT $2 OFFSET $3"
        return [row[0] for row in await self._database.rows(query, namespace, limit, skip)]

    async def count(self, namespace: str) -> int:
        [[number]] = await self._database.rows("SELECT count(*) FROM dead_letters WHERE namespace = $1", namespace)
        return int(number)

    async def read(self, namespace: str, activation_id: str) -> Letter | None:
        query = "SELECT id, namespace, summary, message FROM dead_letters WHERE namespace = $1 AND id = $2"
        rows = await self._database.rows(query, namespace, activation_id)
        return Letter(*rows[0]) if rows else None

    async def put(self, letter: Letter) -> None:
        async def work(connection: Any) -> int:
            return await add_letter(connection, letter)

        await self._database.transaction(work)

    async def delete(self, namespace: str, activation_id: str) -> bool:
        return bool(await self._database.rows(_DELETE, namespace, activation_id))

    async def revive(self, letter: Letter, entry: Entry) -> bool:
        async def work(connection: Any) -> bool:
            if not await connection.fetchval(_DELETE, letter.namespace, letter.activation_id):
                return False
            row = self._journal.row(entry.activation_id, entry.message, entry.namespace, None, entry.attempts)
            await append(connection, [row])
            return True

        return await self._database.transaction(work)
