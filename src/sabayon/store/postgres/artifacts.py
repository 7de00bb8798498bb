"""Entities in PostgreSQL. What is cached is what the listener watches over: see `Listener`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sabayon.errors import Conflict
from sabayon.store.base import Delete, Document, Entity, EntityKind, Put
from sabayon.store.cache import DocumentCache
from sabayon.store.documents import KINDS, Row, entity_of, row_of
from sabayon.store.postgres.database import Database
from sabayon.store.postgres.notices import CHANNEL, entity_notice

_COLUMNS: Final = "id, namespace, package, kind, updated, is_shared, body, code"
_CREATE: Final = f"""
INSERT INTO entities ({_COLUMNS}, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nextval('revisions'))
ON CONFLICT (id) DO NOTHING RETURNING revision
"""
_REPLACE: Final = f"""
UPDATE entities SET ({_COLUMNS}, revision) = ($1, $2, $3, $4, $5, $6, $7, coalesce($8, code), nextval('revisions'))
WHERE id = $1 AND revision = $9 RETURNING revision
"""
_DELETE: Final = "DELETE FROM entities WHERE id = $1 AND revision = $2 RETURNING 0"
_NOTIFY: Final = "SELECT pg_notify($1, $2)"


class PostgresArtifacts:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache = DocumentCache()
        self._is_watched = False

    def watched(self, is_watched: bool) -> None:
        """Whether `superseded` is called for all that others write from now on; without that nothing is cached."""
        self._is_watched = is_watched
        self._cache.clear()

    def superseded(self, id: str, revision: int) -> None:
        """Somebody has written `id` at `revision`, or deleted it when that is 0."""
        self._cache.superseded(id, revision)

    def forget(self) -> None:
        """Drop what is cached: anything may have been written."""
        self._cache.clear()

    async def read(self, id: str) -> Document | None:
        if (cached := self._cache.find(id)) is not None:
            return cached
        generation = self._cache.generation
        rows = await self._database.rows("SELECT kind, body, revision FROM entities WHERE id = $1", id)
        if not rows:
            return None
        kind, body, revision = rows[0]
        document = Document(entity_of(kind, body), revision)
        if self._is_watched:
            self._cache.fill(id, document, len(body), generation)
        return document

    async def read_code(self, id: str, revision: int) -> str | None:
        rows = await self._database.rows("SELECT code FROM entities WHERE id = $1 AND revision = $2", id, revision)
        return rows[0][0].decode() if rows and rows[0][0] is not None else None

    async def write(self, changes: Sequence[Put | Delete]) -> list[int]:
        prepared = [(row_of(c.entity) if isinstance(c, Put) else c.id, c.expected) for c in changes]

        try:
            return await self._database.transaction(lambda connection: _apply(connection, prepared))
        finally:
            # Also after a conflict, which may be due to what is cached, and after a commit whose answer was lost.
            for target, _ in prepared:
                self._cache.removed(_id_of(target))

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
        query = f"SELECT kind, body FROM entities WHERE {where} ORDER BY updated DESC, id OFFSET {skip:d}"
        rows = await self._database.rows(query if limit is None else f"{query} LIMIT {limit:d}", *values)
        return [entity_of(name, body) for name, body in rows]

    async def count(
        self, kind: EntityKind, namespace: str, *, package: str | None = None, is_shared_only: bool = False
    ) -> int:
        where, values = _selection(kind, namespace, package, is_shared_only)
        rows = await self._database.rows(f"SELECT count(*) FROM entities WHERE {where}", *values)
        return int(rows[0][0])


def _selection(kind: EntityKind, namespace: str, package: str | None, is_shared_only: bool) -> tuple[str, list[Any]]:
    where, values = "namespace = $1 AND kind = $2", [namespace, KINDS[kind]]
    if package is not None:
        where, values = f"{where} AND package = $3", [*values, package]
    if is_shared_only:
        where = f"{where} AND is_shared"
    return where, values


def _id_of(target: Row | str) -> str:
    return target.id if isinstance(target, Row) else target


async def _apply(connection: Any, changes: Sequence[tuple[Row | str, int | None]]) -> list[int]:
    """All changes; their revisions. Raises Conflict.

    In the order of their ids: so two writers of the same entities wait for each other in one direction only.
    """
    revisions = [0] * len(changes)
    for index in sorted(range(len(changes)), key=lambda index: _id_of(changes[index][0])):
        target, expected = changes[index]
        revisions[index] = await _change(connection, target, expected)
        await connection.execute(_NOTIFY, CHANNEL, entity_notice(_id_of(target), revisions[index]))
    return revisions


async def _change(connection: Any, target: Row | str, expected: int | None) -> int:
    if isinstance(target, str):
        revision = await connection.fetchval(_DELETE, target, expected)
    else:
        code = None if target.code is None else target.code.encode()
        values = (*target[:5], target.is_shared, target.body, code)
        if expected is None:
            revision = await connection.fetchval(_CREATE, *values)
        else:
            revision = await connection.fetchval(_REPLACE, *values, expected)
    if revision is None:
        raise Conflict(f"{_id_of(target)} was changed meanwhile")
    return int(revision)
