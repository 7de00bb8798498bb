"""Activation records and the ledgers in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sabayon.entity.activation import StoredActivation
from sabayon.errors import StoreUnavailable
from sabayon.store.base import Filter
from sabayon.store.counting import DAY_MS, count_query, count_values, plan
from sabayon.store.paging import closer
from sabayon.store.sqlite.pruning import prune
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.spool import Spool
from sabayon.store.sqlite.writer import Writer

_COLUMNS: Final = "id, namespace, name, start, record, summary"
_GROUP: Final = 500


class SqliteActivations:
    """See the port."""

    def __init__(self, reader: Reader, writer: Writer, spool: Spool) -> None:
        self._reader = reader
        self._writer = writer
        self._spool = spool

    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        await self._spool.put(record, settles=settles)

    async def read(self, namespace: str, activation_id: str) -> bytes | None:
        if (recent := self._spool.find(activation_id)) is not None:
            return recent.record if recent.namespace == namespace else None
        query = "SELECT record FROM activations WHERE id = ? AND namespace = ?"
        rows = await self._reader.rows(query, activation_id, namespace)
        return rows[0][0] if rows else None

    async def list(self, namespace: str, filter: Filter, *, skip: int, limit: int) -> Sequence[bytes]:
        others = await self._not_in_database(namespace, filter)
        if not others:
            start = await closer(self._reader.rows, self.count, "?", namespace, filter, skip)
            if start is None:
                return []
            filter, skip = start
        where, values = _selection(namespace, filter)
        query = f"SELECT summary, start FROM activations WHERE {where} ORDER BY start DESC LIMIT ? OFFSET ?"
        if not others:
            return [summary for summary, _ in await self._reader.rows(query, *values, limit, skip)]
        rows = await self._reader.rows(query, *values, skip + limit, 0)
        found = sorted((*others, *rows), key=lambda row: -row[1])
        return [summary for summary, _ in found[skip : skip + limit]]

    async def count(self, namespace: str, filter: Filter) -> int:
        others = await self._not_in_database(namespace, filter)
        query = count_query("?", is_named=filter.name is not None)
        values = count_values(namespace, filter.name, plan(filter.since, filter.upto))
        rows = await self._reader.rows(query, *values)
        return int(rows[0][0]) + len(others)

    async def prune(self, before: int) -> None:
        await self._spool.settled()
        await prune(self._reader, self._writer, before // DAY_MS * DAY_MS)

    async def all_records(self) -> AsyncIterator[StoredActivation]:
        """Every record, in no order."""
        await self._spool.settled()
        query = f"SELECT rowid, {_COLUMNS} FROM activations WHERE rowid > ? ORDER BY rowid LIMIT {_GROUP}"
        last = 0
        while rows := await self._reader.rows(query, last):
            for _, *values in rows:
                yield StoredActivation(*values)
            last = rows[-1][0]

    async def _not_in_database(self, namespace: str, filter: Filter) -> Sequence[tuple[bytes, int]]:
        """Summaries and starts of records that the database cannot take now; reading goes on without it."""
        try:
            await self._spool.settled()
        except StoreUnavailable:
            records = (record for record in self._spool.unsettled() if record.namespace == namespace)
            return [(record.summary, record.start) for record in records if _matches(record, filter)]
        return []


def _matches(record: StoredActivation, filter: Filter) -> bool:
    if filter.name is not None and record.name_filter != filter.name:
        return False
    return (filter.since is None or record.start >= filter.since) and (
        filter.upto is None or record.start <= filter.upto
    )


def _selection(namespace: str, filter: Filter) -> tuple[str, list[Any]]:
    conditions: list[tuple[str, Any]] = [("namespace = ?", namespace), ("name = ?", filter.name)]
    conditions += [("start >= ?", filter.since), ("start <= ?", filter.upto)]
    chosen = [(text, value) for text, value in conditions if value is not None]
    return " AND ".join(text for text, _ in chosen), [value for _, value in chosen]


class SqliteLedger:
    """See the port."""

    def __init__(self, provider: str, reader: Reader, writer: Writer) -> None:
        self._provider = provider
        self._reader = reader
        self._writer = writer

    async def load(self) -> list[tuple[str, bytes]]:
        query = "SELECT key, document FROM ledger WHERE provider = ? ORDER BY key"
        return [(key, document) for key, document in await self._reader.rows(query, self._provider)]

    async def put(self, key: str, document: bytes) -> None:
        await self._writer.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?)", self._provider, key, document)

    async def get(self, key: str) -> bytes | None:
        query = "SELECT document FROM ledger WHERE provider = ? AND key = ?"
        rows = await self._reader.rows(query, self._provider, key)
        return rows[0][0] if rows else None

    async def replace(self, key: str, before: bytes, document: bytes) -> bool:
        statement = "UPDATE ledger SET document = ? WHERE provider = ? AND key = ? AND document = ?"
        values = (document, self._provider, key, before)
        return await self._writer.submit(lambda c: c.execute(statement, values).rowcount == 1, is_durable=True)

    async def delete(self, key: str) -> None:
        await self._writer.execute("DELETE FROM ledger WHERE provider = ? AND key = ?", self._provider, key)
