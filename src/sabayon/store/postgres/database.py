"""Queries and transactions on a few connections that several tasks share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import asyncpg

from sabayon.store.postgres.connection import available, pool

T = TypeVar("T")

CONNECTIONS: Final = 8
_ACQUIRE_S: Final = 5.0
_ROWS_AT_ONCE: Final = 500


class Database:
    """See the functions. All raise StoreUnavailable when there is no server, or one that does not work."""

    def __init__(self, connections: Any) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, url: str) -> Database:
        """A database that has been migrated."""
        with available():
            return cls(await pool(url, CONNECTIONS))

    async def rows(self, query: str, *values: Any) -> list[Any]:
        """All rows of a query; each can be unpacked like a tuple."""
        return await self._on_connection(lambda connection: connection.fetch(query, *values))

    async def execute(self, statement: str, *values: Any) -> None:
        """One statement, a transaction of its own, which is finished even when the caller is cancelled meanwhile."""
        await _finished(self._on_connection(lambda connection: connection.execute(statement, *values)))

    async def stream(self, query: str) -> AsyncIterator[Any]:
        """The rows of a query that has too many for memory, as of one moment."""
        with available():
            async with self._connections.acquire(timeout=_ACQUIRE_S) as connection, connection.transaction():
                async for row in connection.cursor(query, prefetch=_ROWS_AT_ONCE):
                    yield row

    async def transaction(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """`work(connection)` in a transaction, which is finished even when the caller is cancelled meanwhile."""

        async def whole(connection: Any) -> T:
            async with connection.transaction():
                return await work(connection)

        return await _finished(self._on_connection(whole))

    async def _on_connection(self, work: Callable[[Any], Awaitable[T]]) -> T:
        with available():
            connection = await self._connections.acquire(timeout=_ACQUIRE_S)
            try:
                return await work(connection)
            except (TimeoutError, asyncpg.ReadOnlySQLTransactionError):
                # The server hangs, and asking it to stop would hang as well; or it has become a standby of another one.
                connection.terminate()
                raise
            finally:
                await self._connections.release(connection)

    async def aclose(self) -> None:
        """Close the connections; those of a server that hangs are left alone."""
        try:
            await asyncio.wait_for(self._connections.close(), _ACQUIRE_S)
        except (TimeoutError, OSError):
            self._connections.terminate()


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on when nobody waits for it any more."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, also when nobody waits
    return await asyncio.shield(task)
