"""The journal in PostgreSQL: appends of many callers share a transaction, and its flush to the disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sabayon.store.base import MAX_DEAD_LETTERS, Entry, Letter, Settlement
from sabayon.store.postgres.activations import put_records
from sabayon.store.postgres.batcher import Batcher
from sabayon.store.postgres.database import Database

LANES: Final = 2
"""One batch is gathered and sent while the other one's commit waits for the disk."""

_APPEND: Final = """
INSERT INTO journal (id, namespace, message, due, attempts, holder)
SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[], $5::INTEGER[], $6::TEXT[])
ON CONFLICT (id) DO UPDATE SET namespace = excluded.namespace, message = excluded.message, due = excluded.due,
    attempts = excluded.attempts, holder = excluded.holder
"""
_TAKE: Final = """
UPDATE journal SET holder = $4, attempts = attempts + 1 WHERE id = ANY (ARRAY (
    SELECT id FROM journal WHERE holder IS NULL AND namespace = $1 AND due <= $2 ORDER BY due, number LIMIT $3
    FOR UPDATE SKIP LOCKED
))
RETURNING due, number, id, namespace, message, attempts
"""
_TAKE_ONE: Final = """
UPDATE journal SET holder = $3, attempts = attempts + 1 WHERE holder IS NULL AND namespace = $1 AND id = $2
RETURNING id, namespace, message, due, attempts
"""
_WAITING: Final = """
WITH RECURSIVE waiting (namespace) AS (
    (SELECT namespace FROM journal WHERE holder IS NULL ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (
        SELECT namespace FROM journal WHERE holder IS NULL AND namespace > waiting.namespace ORDER BY namespace LIMIT 1
    )
    FROM waiting WHERE namespace IS NOT NULL
)
SELECT namespace, (
    SELECT due FROM journal WHERE holder IS NULL AND journal.namespace = waiting.namespace ORDER BY due LIMIT 1
) AS due FROM waiting WHERE namespace IS NOT NULL
"""
"""From one namespace to the next in the index, however much waits of each."""

_DELETED: Final = "SELECT 1 FROM deletions WHERE namespace = $1 AND at >= $2"
_ADD_LETTER: Final = """
INSERT INTO dead_letters (id, namespace, summary, message) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING
"""
_DROP_LETTERS: Final = """
WITH dropped AS (
    DELETE FROM dead_letters WHERE namespace = $1 AND number <= (
        SELECT number FROM dead_letters WHERE namespace = $1 ORDER BY number DESC LIMIT 1 OFFSET $2
    )
    RETURNING 1
)
SELECT count(*) FROM dropped
"""


class Row(NamedTuple):
    """One entry as it is written. holder: None while it waits."""

    id: str
    namespace: str
    message: bytes
    due: int
    attempts: int
    holder: str | None


async def append(connection: Any, rows: Sequence[Row]) -> None:
    """What `Journal.append` does, for a transaction that may do more."""
    unique = {row.id: row for row in rows}  # a statement must not change a row twice
    await connection.execute(_APPEND, *map(list, zip(*unique.values(), strict=True)))


class PostgresJournal:
    """See the port. holder: who takes entries here; the name of one process among all that share the database."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self.holder = holder
        self.batcher: Batcher[Row] = Batcher(self._append, lambda row: len(row.message), lanes=LANES)

    async def append(
        self, activation_id: str, message: bytes, *, namespace: str, due_ms: int | None = None, attempts: int = 0
    ) -> None:
        await self.batcher.put(self.row(activation_id, message, namespace, due_ms, attempts))

    def row(self, activation_id: str, message: bytes, namespace: str, due_ms: int | None, attempts: int = 0) -> Row:
        """What `append` writes."""
        if due_ms is None:
            return Row(activation_id, namespace, message, 0, attempts + 1, self.holder)
        return Row(activation_id, namespace, message, due_ms, attempts, None)

    async def _append(self, rows: Sequence[Row]) -> None:
        await append(self._database, rows)

    async def take(self, namespace: str, now_ms: int, limit: int) -> Sequence[Entry]:
        rows = await self._database.rows(_TAKE, namespace, now_ms, limit, self.holder)
        return [Entry(id, owner, message, due, attempts) for due, _, id, owner, message, attempts in sorted(rows)]

    async def take_one(self, namespace: str, activation_id: str) -> Entry | None:
        rows = await self._database.rows(_TAKE_ONE, namespace, activation_id, self.holder)
        return Entry(*rows[0]) if rows else None

    async def waiting(self) -> Mapping[str, int]:
        return dict(await self._database.rows(_WAITING))

    async def give_back(self, activation_id: str) -> None:
        statement = "UPDATE journal SET holder = NULL, attempts = attempts - 1 WHERE id = $1 AND holder IS NOT NULL"
        await self._database.execute(statement, activation_id)

    async def release(self, alive: Collection[str] = ()) -> None:
        statement = "UPDATE journal SET holder = NULL WHERE holder <> ALL ($1::TEXT[])"
        await self._database.execute(statement, [self.holder, *alive])

    async def drop(self, activation_id: str) -> None:
        await self._database.execute("DELETE FROM journal WHERE id = $1", activation_id)

    async def settle(self, settlement: Settlement) -> int:
        async def work(connection: Any) -> int:
            record, follow_up, letter = settlement
            query = "SELECT 1 FROM journal WHERE id = $1 FOR UPDATE"
            is_first = await connection.fetchval(query, record.activation_id) is not None
            await put_records(connection, [(record, True)])
            if not is_first or await connection.fetchval(_DELETED, record.namespace, record.start):
                return 0
            if follow_up is not None:
                await append(connection, [Row(*follow_up, None)])
            return 0 if letter is None else await add_letter(connection, letter)

        return await self._database.transaction(work)

    async def has(self, activation_id: str) -> bool:
        return bool(await self._database.rows("SELECT 1 FROM journal WHERE id = $1", activation_id))

    async def entries(self) -> Sequence[Entry]:
        query = "SELECT id, namespace, message, due, attempts FROM journal ORDER BY number"
        return [Entry(*row) for row in await self._database.rows(query)]

    async def pending(self) -> Mapping[str, bytes]:
        return {entry.activation_id: entry.message for entry in await self.entries()}

    async def aclose(self) -> None:
        """Write what waits."""
        await self.batcher.aclose()


async def add_letter(connection: Any, letter: Letter) -> int:
    """How many others had to go."""
    await connection.execute(_ADD_LETTER, *letter)
    return int(await connection.fetchval(_DROP_LETTERS, letter.namespace, MAX_DEAD_LETTERS))
