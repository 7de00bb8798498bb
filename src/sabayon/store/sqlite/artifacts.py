"""Entities in SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

from sabayon.errors import Conflict
from sabayon.store.base import Delete, Document, Entity, EntityKind, Put
from sabayon.store.cache import DocumentCache
from sabayon.store.documents import KINDS, Row, entity_of, row_of, without_code
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.writer import Writer


class SqliteArtifacts:
    """See the port."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._cache = DocumentCache()

    def forget(self) -> None:
        """Drop what is cached: another process has written."""
        self._cache.clear()

    async def read(self, id: str) -> Document | None:
        if (cached := self._cache.find(id)) is not None:
            return cached
        generation = self._cache.generation
        rows = await self._reader.rows("SELECT kind, body, revision FROM entities WHERE id = ?", id)
        if not rows:
            return None
        kind, body, revision = rows[0]
        document = Document(entity_of(kind, body), revision)
        self._cache.fill(id, document, len(body), generation)
        return document

    async def read_code(self, id: str, revision: int) -> str | None:
        query = "SELECT code FROM code JOIN entities USING (id) WHERE id = ? AND entities.revision = ?"
        rows = await self._reader.rows(query, id, revision)
        return rows[0][0] if rows else None

    async def write(self, changes: Sequence[Put | Delete]) -> list[int]:
        prepared = [(row_of(c.entity) if isinstance(c, Put) else c.id, c.expected) for c in changes]
        committed = self._writer.submit(lambda connection: _apply(connection, prepared), is_durable=True)

        def update_cache(committed: asyncio.Future[list[int]]) -> None:
            if committed.exception() is None:
                self._written(changes, [row for row, _ in prepared], committed.result())

        committed.add_done_callback(update_cache)
        return await asyncio.shield(committed)  # cancelling stops no write: the cache must learn of it all the same

    def _written(self, changes: Sequence[Put | Delete], rows: Sequence[Row | str], revisions: Sequence[int]) -> None:
        for change, row, revision in zip(changes, rows, revisions, strict=True):
            if isinstance(change, Put) and isinstance(row, Row):
                self._cache.written(row.id, Document(without_code(change.entity), revision), len(row.body))
            else:
                self._cache.removed(str(row))

    async def list(
        self,
        kind: EntityKind,
        namespace: str,
        *,
        package: str | None = None,
        is_shared_only: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Entity]:
        where, values = _selection(kind, namespace, package, is_shared_only)
        query = f"SELECT kind, body FROM entities WHERE {where} ORDER BY updated DESC, id LIMIT ? OFFSET ?"
        rows = await self._reader.rows(query, *values, -1 if limit is None else limit, skip)
        return [entity_of(name, body) for name, body in rows]

    async def count(
        self, kind: EntityKind, namespace: str, *, package: str | None = None, is_shared_only: bool = False
    ) -> int:
        where, values = _selection(kind, namespace, package, is_shared_only)
        rows = await self._reader.rows(f"SELECT count(*) FROM entities WHERE {where}", *values)
        return int(rows[0][0])


def _selection(kind: EntityKind, namespace: str, package: str | None, is_shared_only: bool) -> tuple[str, list[Any]]:
    where, values = "namespace = ? AND kind = ?", [namespace, KINDS[kind]]
    if package is not None:
        where, values = f"{where} AND package = ?", [*values, package]
    if is_shared_only:
        where = f"{where} AND is_shared"
    return where, values


def _apply(connection: sqlite3.Connection, changes: Sequence[tuple[Row | str, int | None]]) -> list[int]:
    """All changes in the writer's transaction; their revisions. Raises Conflict."""
    return [
        _put(connection, target, expected) if isinstance(target, Row) else _delete(connection, target, expected)
        for target, expected in changes
    ]


def _check_revision(connection: sqlite3.Connection, id: str, expected: int | None) -> None:
    found = connection.execute("SELECT revision FROM entities WHERE id = ?", (id,)).fetchone()
    if (found[0] if found else None) != expected:
        raise Conflict(f"{id} was changed meanwhile")


def _put(connection: sqlite3.Connection, row: Row, expected: int | None) -> int:
    _check_revision(connection, row.id, expected)
    query = "UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value"
    revision = int(connection.execute(query).fetchone()[0])
    values = (row.id, row.namespace, row.package, row.kind, row.updated, revision, row.is_shared, row.body)
    connection.execute("INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    if row.code is not None:
        connection.execute("INSERT OR REPLACE INTO code VALUES (?, ?, ?)", (row.id, revision, row.code))
    return revision


def _delete(connection: sqlite3.Connection, id: str, expected: int | None) -> int:
    _check_revision(connection, id, expected)
    connection.execute("DELETE FROM entities WHERE id = ?", (id,))
    connection.execute("DELETE FROM code WHERE id = ?", (id,))
    return 0
