"""Activation records in PostgreSQL, in partitions by the day of their start."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sabayon.entity.activation import StoredActivation
from sabayon.store.base import Filter
from sabayon.store.counting import DAY_MS, count_query, count_values, plan
from sabayon.store.paging import closer
from sabayon.store.postgres.batcher import Batcher
from sabayon.store.postgres.database import Database

DAYS_AHEAD: Final = 3
"""Today's partition and those of the next days are made in time; others when a record wants them."""

GATHER_S: Final = 0.01
"""How long a record that settles the journal waits for others: no client waits for it."""

_Item = tuple[StoredActivation, bool]


class PostgresActivations:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._awaited: Batcher[_Item] = Batcher(self._insert, _size)
        self._settling: Batcher[_Item] = Batcher(self._insert, _size, gather_s=GATHER_S)

    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        await (self._settling if settles else self._awaited).put((record, settles))

    async def _insert(self, items: Sequence[_Item]) -> None:
        await put_records(self._database, items)

    async def read(self, namespace: str, activation_id: str) -> bytes | None:
        query = "SELECT record FROM activations WHERE id = $1 AND namespace = $2"
        rows = await self._database.rows(query, activation_id, namespace)
        return rows[0][0] if rows else None

    async def list(self, namespace: str, filter: Filter, *, skip: int, limit: int) -> Sequence[bytes]:
        start = await closer(self._database.rows, self.count, "$", namespace, filter, skip)
        if start is None:
            return []
        filter, skip = start
        where, values = _selection(namespace, filter)
        query = f"SELECT summary FROM activations WHERE {where} ORDER BY start DESC LIMIT {limit:d} OFFSET {skip:d}"
        return [row[0] for row in await self._database.rows(query, *values)]

    async def count(self, namespace: str, filter: Filter) -> int:
        query = count_query("$", is_named=filter.name is not None)
        values = count_values(namespace, filter.name, plan(filter.since, filter.upto))
        rows = await self._database.rows(query, *values)
        return int(rows[0][0])

    async def all_records(self) -> AsyncIterator[StoredActivation]:
        """Every record, in no order."""
        query = "SELECT id, namespace, name, start, record, summary FROM activations"
        async for row in self._database.stream(query):
            yield StoredActivation(*row)

    async def prune(self, before: int) -> None:
        await self.prepare_days(time.time_ns() // 1_000_000)
        is_dropped = True
        while is_dropped:  # each one in a transaction of its own
            [[is_dropped]] = await self._database.rows("SELECT drop_day_before($1)", before // DAY_MS)

    async def prepare_days(self, now_ms: int) -> None:
        """Make the partitions of today and of the next days."""
        await self._database.execute("SELECT ensure_days($1, $2)", now_ms // DAY_MS, DAYS_AHEAD)

    async def aclose(self) -> None:
        """Write what waits."""
        await self._awaited.aclose()
        await self._settling.aclose()


async def put_records(connection: Any, items: Sequence[_Item]) -> None:
    """Keep records, each with whether it settles the journal. connection: or the database, to do no more than that."""
    records = [record for record, _ in items]
    await connection.execute(
        "SELECT put_records($1, $2, $3, $4, $5, $6, $7)",
        [record.activation_id for record in records],
        [record.namespace for record in records],
        [record.name_filter for record in records],
        [record.start for record in records],
        [record.record for record in records],
        [record.summary for record in records],
        [record.activation_id for record, settles in items if settles],
    )


def _size(item: _Item) -> int:
    return len(item[0].record) + len(item[0].summary)


def _selection(namespace: str, filter: Filter) -> tuple[str, list[Any]]:
    conditions: list[tuple[str, Any]] = [("namespace =", namespace), ("name =", filter.name)]
    conditions += [("start >=", filter.since), ("start <=", filter.upto)]
    chosen = [(text, value) for text, value in conditions if value is not None]
    where = " AND ".join(f"{text} ${number}" for number, (text, _) in enumerate(chosen, start=1))
    return where, [value for _, value in chosen]
