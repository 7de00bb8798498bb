"""What the embedded store promises beyond its ports: it is still when nothing happens, and its cache is never wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from msgspec import Raw
from msgspec.structs import replace

from sabayon.entity.activation import Activation, Outcome, Response, stored
from sabayon.entity.trigger import Trigger
from sabayon.store.base import Document, Filter, Put
from sabayon.store.sqlite import SqliteStore

RECORD = stored(
    Activation(
        activation_id="0" * 32,
        name="a",
        namespace="ns",
        response=Response(Outcome.SUCCESS, Raw(b"{}")),
        start=1,
        end=2,
        subject="someone",
        version="0.0.1",
    )
)
TRIGGER = Trigger(name="t", namespace="ns", updated=1, version="0.0.1")


def flushes(path: Path) -> int:
    """How often unsynchronized commits were brought to the disk by one of their own."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT value FROM counters WHERE name = 'flush'").fetchone()[0])
    finally:
        connection.close()


def test_a_record_is_brought_to_the_disk_at_the_latest_when_the_store_closes(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path / "test.db")
        await store.activations.put(RECORD)
        await store.aclose()

    asyncio.run(main())
    assert flushes(tmp_path / "test.db") == 1


def test_records_of_a_database_that_did_not_count_them_are_counted(tmp_path: Path) -> None:
    async def put() -> None:
        store = await SqliteStore.open(tmp_path / "test.db")
        await store.activations.put(RECORD)
        await store.aclose()

    async def count() -> int:
        store = await SqliteStore.open(tmp_path / "test.db")
        counted = await store.activations.count("ns", Filter(name="a")) + await store.activations.count("ns", Filter())
        await store.aclose()
        return counted

    asyncio.run(put())
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        connection.execute("DROP TABLE activation_counts")
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
    assert asyncio.run(count()) == 2


def test_looking_for_changes_writes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path / "test.db")
        await store.writer.submit(lambda connection: connection.execute("PRAGMA data_version"), is_durable=False)
        await store.aclose()

    asyncio.run(main())
    assert flushes(tmp_path / "test.db") == 0


def test_a_write_whose_caller_has_gone_is_seen_by_the_next_reader(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path / "test.db")
        for name in ("earlier", "t"):  # by the second one the store has looked whether others write
            [revision] = await store.artifacts.write([Put(replace(TRIGGER, name=name), None)])
        assert await store.artifacts.read("ns/t") == Document(TRIGGER, revision)
        changed = replace(TRIGGER, version="0.0.2")
        write = asyncio.create_task(store.artifacts.write([Put(changed, revision)]))
        await asyncio.sleep(0)  # it is under way now
        write.cancel()
        await asyncio.wait((write,))
        await store.artifacts.write([Put(replace(TRIGGER, name="later"), None)])
        document = await store.artifacts.read("ns/t")
        assert document is not None
        assert document.entity == changed
        await store.artifacts.write([Put(TRIGGER, document.revision)])
        await store.aclose()

    asyncio.run(main())
