"""Old activation records leave the database a few at a time, so that no other write waits for long."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Final

from sabayon.store.counting import ALL_NAMES, HOUR_MS, counts_of
from sabayon.store.sqlite.reader import Reader
from sabayon.store.sqlite.writer import Writer

COUNT_MORE: Final = """
INSERT INTO activation_counts VALUES (?, ?, ?, ?, ?)
ON CONFLICT (namespace, name, width, at) DO UPDATE SET number = number + excluded.number
"""
_COUNT_LESS: Final = """
UPDATE activation_counts SET number = number - ?5 WHERE namespace = ?1 AND name = ?2 AND width = ?3 AND at = ?4
"""
_FORGET_COUNT: Final = """
DELETE FROM activation_counts WHERE namespace = ? AND name = ? AND width = ? AND at = ? AND number <= 0
"""
_NAMESPACES: Final = f"""
SELECT DISTINCT namespace FROM activation_counts WHERE name = '{ALL_NAMES}' AND width = {HOUR_MS} AND at < ?
"""
_REMOVE: Final = """
DELETE FROM activations
WHERE rowid IN (SELECT rowid FROM activations WHERE namespace = ? AND start < ? ORDER BY start LIMIT ?)
RETURNING namespace, name, start
"""

RECORDS: Final = 200
"""In one transaction: about ten milliseconds."""


async def prune(reader: Reader, writer: Writer, before: int) -> None:
    """Remove what started before `before`, the beginning of an hour. Raises StoreUnavailable."""
    for [namespace] in await reader.rows(_NAMESPACES, before):
        removed = RECORDS
        while removed == RECORDS:
            started = time.monotonic()
            removed = await _remove(writer, namespace, before)
            await asyncio.sleep(time.monotonic() - started)  # others have the writer for as long as this had it


async def _remove(writer: Writer, namespace: str, before: int) -> int:
    def work(connection: sqlite3.Connection) -> int:
        gone = connection.execute(_REMOVE, (namespace, before, RECORDS)).fetchall()
        counts = counts_of(gone)
        connection.executemany(_COUNT_LESS, [(*count, number) for count, number in counts.items()])
        connection.executemany(_FORGET_COUNT, counts)
        return len(gone)

    return await writer.submit(work, is_durable=False)
