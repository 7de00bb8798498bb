"""The journal and the dead letters in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sabayon.store.base import MAX_DEAD_LETTERS, Entry, Letter, Settlement
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.spool import Spool, Spooled, insertion_of
from sabayon.store.sqlite.writer import Writer

_APPEND: Final = """
    INSERT OR REPLACE INTO journal (id, namespace, message, due, attempts, is_held) VALUES (?, ?, ?, ?, ?, ?)
"""
_TAKE: Final = """
    UPDATE journal SET is_held = 1, attempts = attempts + 1
    WHERE number IN (
        SELECT number FROM journal WHERE is_held = 0 AND namespace = ? AND due <= ? ORDER BY due, number LIMIT ?
    )
    RETURNING due, number, id, namespace, message, attempts
"""
_TAKE_ONE: Final = """
    UPDATE journal SET is_held = 1, attempts = attempts + 1 WHERE is_held = 0 AND namespace = ? AND id = ?
    RETURNING id, namespace, message, due, attempts
"""
_WAITING: Final = """
    WITH RECURSIVE waiting (namespace) AS (
        SELECT min(namespace) FROM journal WHERE is_held = 0
        UNION ALL
        SELECT (SELECT min(namespace) FROM journal WHERE is_held = 0 AND namespace > waiting.namespace)
        FROM waiting WHERE namespace IS NOT NULL
    )
    SELECT namespace, (
        SELECT min(due) FROM journal WHERE is_held = 0 AND journal.namespace = waiting.namespace
    ) FROM waiting WHERE namespace IS NOT NULL
"""
"""From one namespace to the next in the index, however much waits of each."""

_ADD_LETTER: Final = "INSERT OR REPLACE INTO dead_letters (id, namespace, summary, message) VALUES (?, ?, ?, ?)"
_DROP_LETTERS: Final = """
    DELETE FROM dead_letters WHERE namespace = ?1 AND number <= (
        SELECT number FROM dead_letters WHERE namespace = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2
    )
"""
_DELETE_LETTER: Final = "DELETE FROM dead_letters WHERE namespace = ? AND id = ?"


class SqliteJournal:
    """See the port."""

    def __init__(self, reader: Reader, writer: Writer, spool: Spool) -> None:
        self._reader = reader
        self._writer = writer
        self._spool = spool
        self._last_at_start = 0

    async def load(self) -> None:
        """See what is there before anything is added."""
        rows = await self._reader.rows("SELECT max(number) FROM journal")
        self._last_at_start = rows[0][0] or 0

    async def append(
        self, activation_id: str, message: bytes, *, namespace: str, due_ms: int | None = None, attempts: int = 0
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            append_entry(connection, activation_id, message, namespace=namespace, due_ms=due_ms, attempts=attempts)

        await self._writer.submit(work, is_durable=True, is_alone=False)

    async def take(self, namespace: str, now_ms: int, limit: int) -> Sequence[Entry]:
        def work(connection: sqlite3.Connection) -> list[Entry]:
            rows = sorted(connection.execute(_TAKE, (namespace, now_ms, limit)).fetchall())
            return [Entry(id, owner, message, due_ms, attempts) for due_ms, _, id, owner, message, attempts in rows]

        return await self._writer.submit(work, is_durable=True)

    async def take_one(self, namespace: str, activation_id: str) -> Entry | None:
        def work(connection: sqlite3.Connection) -> Entry | None:
            row = connection.execute(_TAKE_ONE, (namespace, activation_id)).fetchone()
            return Entry(*row) if row else None

        return await self._writer.submit(work, is_durable=True)

    async def waiting(self) -> Mapping[str, int]:
        return dict(await self._reader.rows(_WAITING))

    async def give_back(self, activation_id: str) -> None:
        query = "UPDATE journal SET is_held = 0, attempts = attempts - 1 WHERE id = ? AND is_held = 1"
        await self._writer.submit(
            lambda connection: connection.execute(query, (activation_id,)), is_durable=False, is_alone=False
        )

    async def release(self, alive: Collection[str] = ()) -> None:
        """`alive` says nothing here: one process at a time has the store."""
        query = "UPDATE journal SET is_held = 0 WHERE is_held = 1 AND number <= ?"
        await self._writer.execute(query, self._last_at_start)

    async def drop(self, activation_id: str) -> None:
        await self._writer.execute("DELETE FROM journal WHERE id = ?", activation_id)

    async def settle(self, settlement: Settlement) -> int:
        return await self._writer.submit(lambda connection: _settle(connection, settlement), is_durable=True)

    async def has(self, activation_id: str) -> bool:
        return bool(await self._reader.rows("SELECT 1 FROM journal WHERE id = ?", activation_id))

    async def entries(self) -> Sequence[Entry]:
        await self._spool.settled()
        query = "SELECT id, namespace, message, due, attempts FROM journal ORDER BY number"
        return [Entry(*row) for row in await self._reader.rows(query)]

    async def pending(self) -> Mapping[str, bytes]:
        return {entry.activation_id: entry.message for entry in await self.entries()}


def append_entry(
    connection: sqlite3.Connection,
    activation_id: str,
    message: bytes,
    *,
    namespace: str,
    due_ms: int | None = None,
    attempts: int = 0,
) -> None:
    """What `Journal.append` does, for a transaction that may do more."""
    if due_ms is None:
        values = (activation_id, namespace, message, 0, attempts + 1, True)
    else:
        values = (activation_id, namespace, message, due_ms, attempts, False)
    connection.execute(_APPEND, values)


def _settle(connection: sqlite3.Connection, settlement: Settlement) -> int:
    """How many dead letters had to go."""
    record, follow_up, letter = settlement
    query = "SELECT 1 FROM journal WHERE id = ?"
    is_first = connection.execute(query, (record.activation_id,)).fetchone() is not None
    insertion_of((Spooled(record, True),))(connection)
    query = "SELECT 1 FROM deletions WHERE namespace = ? AND at >= ?"
    if connection.execute(query, (record.namespace, record.start)).fetchone():
        return 0
    if is_first and follow_up is not None:
        connection.execute(_APPEND, (*follow_up, False))
    if not is_first or letter is None:
        return 0
    return _add_letter(connection, letter)


def _add_letter(connection: sqlite3.Connection, letter: Letter) -> int:
    """How many others had to go."""
    connection.execute(_ADD_LETTER, letter)
    return connection.execute(_DROP_LETTERS, (letter.namespace, MAX_DEAD_LETTERS)).rowcount


class SqliteDeadLetters:
    """See the port."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def list(self, namespace: str, *, skip: int, limit: int) -> Sequence[bytes]:
        query = "SELECT summary FROM dead_letters WHERE namespace = ? ORDER BY number DESC LIMIT ? OFFSET ?"
        return [row[0] for row in await self._reader.rows(query, namespace, limit, skip)]

    async def count(self, namespace: str) -> int:
        rows = await self._reader.rows("SELECT count(*) FROM dead_letters WHERE namespace = ?", namespace)
        return int(rows[0][0])

    async def read(self, namespace: str, activation_id: str) -> Letter | None:
        query = "SELECT id, namespace, summary, message FROM dead_letters WHERE namespace = ? AND id = ?"
        rows = await self._reader.rows(query, namespace, activation_id)
        return Letter(*rows[0]) if rows else None

    async def put(self, letter: Letter) -> None:
        await self._writer.submit(lambda connection: _add_letter(connection, letter), is_durable=True)

    async def delete(self, namespace: str, activation_id: str) -> bool:
        values = (namespace, activation_id)
        return await self._writer.submit(
            lambda connection: connection.execute(_DELETE_LETTER, values).rowcount > 0, is_durable=True
        )

    async def revive(self, letter: Letter, entry: Entry) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            values = (letter.namespace, letter.activation_id)
            if not connection.execute(_DELETE_LETTER, values).rowcount:
                return False
            id, namespace, message, _, attempts = entry
            append_entry(connection, id, message, namespace=namespace, attempts=attempts)
            return True

        return await self._writer.submit(work, is_durable=True)
