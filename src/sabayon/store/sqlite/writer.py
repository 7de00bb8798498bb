"""The one writer: a thread that puts all waiting writes into one transaction.

A group with a durable write in it is committed with fsync. A group of activation
records alone is committed to the write-ahead log without; at most a second later an
empty durable commit brings it to the disk. A group that changes nothing needs none.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from sabayon.errors import StoreUnavailable
from sabayon.store.sqlite.connection import connect

T = TypeVar("T")

GROUP: Final = 512
FLUSH_S: Final = 1.0

Work = Callable[[sqlite3.Connection], Any]


class _Unit(NamedTuple):
    work: Work
    future: asyncio.Future[Any]
    is_durable: bool
    is_alone: bool
    """Its failure must not undo the others of its group: it gets a savepoint."""


class Writer:
    """Runs `work(connection)` in order, many to a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._is_synchronous = True
        self._unflushed_since = 0.0
        self.commits = 0
        """Transactions so far, which tests compare with the number of writes."""
        self._thread.start()

    def submit(
        self, work: Callable[[sqlite3.Connection], T], *, is_durable: bool, is_alone: bool = True
    ) -> asyncio.Future[T]:
        """Have `work` run in some transaction soon; its result once that is committed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Unit(work, future, is_durable, is_alone))
        return future

    async def execute(self, statement: str, *values: Any) -> None:
        """One durable statement."""
        await self.submit(lambda connection: connection.execute(statement, values), is_durable=True)

    async def aclose(self) -> None:
        """Commit what waits, flush, end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with contextlib.closing(connect(self._path)) as connection:
            is_open = True
            while is_open:
                group, is_open = self._next_group()
                if group:
                    self._commit(connection, group)
                if self._unflushed_since and (not is_open or time.monotonic() - self._unflushed_since > FLUSH_S):
                    self._flush(connection)

    def _next_group(self) -> tuple[list[_Unit], bool]:
        """What waits, at least one unit unless it is time to flush; and whether more may come."""
        group: list[_Unit] = []
        try:
            unit = self._queue.get(timeout=FLUSH_S if self._unflushed_since else None)
            while unit is not None:
                group.append(unit)
                if len(group) == GROUP:
                    return group, True
                unit = self._queue.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _commit(self, connection: sqlite3.Connection, group: list[_Unit]) -> None:
        is_durable = any(unit.is_durable for unit in group)
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        changes_before = connection.total_changes
        try:
            self._begin(connection, is_durable=is_durable)
            results = [(unit.future, *_perform(connection, unit)) for unit in group]
            connection.execute("COMMIT")
        except Exception as error:  # whatever it is, the thread must live: all later writes need it
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            failure = StoreUnavailable(f"the database cannot be written: {error}")
            results = [(unit.future, None, failure) for unit in group]
        else:
            self.commits += 1
            if is_durable:
                self._unflushed_since = 0.0
            elif not self._unflushed_since and connection.total_changes != changes_before:
                self._unflushed_since = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(_deliver, results)

    def _begin(self, connection: sqlite3.Connection, *, is_durable: bool) -> None:
        if is_durable is not self._is_synchronous or not self.commits:
            connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            self._is_synchronous = is_durable
        connection.execute("BEGIN IMMEDIATE")

    def _flush(self, connection: sqlite3.Connection) -> None:
        try:
            self._begin(connection, is_durable=True)
            connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'flush'")
            connection.execute("COMMIT")
            self._unflushed_since = 0.0
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._unflushed_since = time.monotonic()


def _perform(connection: sqlite3.Connection, unit: _Unit) -> tuple[Any, BaseException | None]:
    """Result or error of one unit. Only errors of its own stay with it: those of the database fail the group."""
    if not unit.is_alone:
        return unit.work(connection), None
    connection.execute("SAVEPOINT unit")
    result, own = None, None
    try:
        result = unit.work(connection)
    except sqlite3.Error:
        raise  # the savepoint may be gone with the transaction
    except Exception as error:
        connection.execute("ROLLBACK TO unit")
        own = error
    connection.execute("RELEASE unit")
    return result, own


def _deliver(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
