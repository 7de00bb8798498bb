"""Reads: one thread with a connection that cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sabayon.errors import StoreUnavailable
from sabayon.store.sqlite.connection import connect


class Reader:
    """Runs queries off the loop."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, is_reader=True)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="store reader")

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._rows, query, values)

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    def close(self) -> None:
        """End the thread and the connection."""
        self._threads.shutdown()
        self._connection.close()
