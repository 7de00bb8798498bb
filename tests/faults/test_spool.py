"""Records between their answer and the database: when the process is killed, the database is locked, a file is torn."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from sabayon.data_directory import DATABASE
from sabayon.entity.activation import Activation, Outcome, Response, StoredActivation, stored
from sabayon.entity.identity import new_identity
from sabayon.errors import OperatorError, StoreUnavailable
from sabayon.store.base import Filter
from sabayon.store.sqlite import SqliteStore, opened_identities
from sabayon.store.sqlite.segment import Segment
from sabayon.store.sqlite.spool import MAX_ENTRY_BYTES, RETRY_S, paths_of

SMALL_SPOOL = 64 * 1024


def record(number: int, text: str = "") -> StoredActivation:
    return stored(
        Activation(
            activation_id=f"{number:032x}",
            name="a",
            namespace="ns",
            response=Response(Outcome.SUCCESS, Raw(b'{"text":"' + text.encode() + b'"}')),
            start=number,
            end=number,
            subject="someone",
            version="0.0.1",
        )
    )


def on_store(path: Path, work: Callable[[SqliteStore], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        store = await SqliteStore.open(path, **options)
        try:
            await work(store)
        finally:
            await store.aclose()

    asyncio.run(main())


async def put_and_be_killed(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.journal.append(record(1).activation_id, b"message", namespace="ns")
    for number in range(20):
        await store.activations.put(record(number), settles=number == 1)
    os.kill(os.getpid(), signal.SIGKILL)  # before the first of them can be in the database


def killed_with_records(path: Path) -> None:
    done = subprocess.run([sys.executable, __file__, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM activations").fetchone() == (0,)
    connection.close()


def test_records_that_the_database_did_not_have_yet_are_there_after_a_kill(tmp_path: Path) -> None:
    killed_with_records(tmp_path / DATABASE)

    async def check(store: SqliteStore) -> None:
        assert await store.journal.pending() == {}
        assert await store.activations.count("ns", Filter()) == 20
        assert await store.activations.read("ns", record(19).activation_id) == record(19).record

    on_store(tmp_path / DATABASE, check)
    on_store(tmp_path / DATABASE, check)  # they are not inserted twice, nor lost by the second start


def test_an_entry_that_was_cut_short_is_left_out_and_those_before_it_are_not(tmp_path: Path) -> None:
    killed_with_records(tmp_path / DATABASE)
    spool = max(paths_of(tmp_path / DATABASE), key=lambda path: path.read_bytes().count(b"activationId"))
    content = spool.read_bytes()
    last = content.rindex(b'"activationId"')
    spool.write_bytes(content[:last] + b"\xff" + content[last + 1 :])

    async def check(store: SqliteStore) -> None:
        assert await store.activations.count("ns", Filter()) == 19

    on_store(tmp_path / DATABASE, check)


def test_a_record_is_seen_by_its_id_and_in_lists_as_soon_as_it_is_put(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        await store.activations.put(record(1))
        assert await store.activations.read("ns", record(1).activation_id) == record(1).record
        assert await store.activations.read("other", record(1).activation_id) is None
        assert await store.activations.list("ns", Filter(), skip=0, limit=10) == [record(1).summary]

    on_store(tmp_path / DATABASE, check)


def test_many_records_are_inserted_together(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        commits = store.writer.commits
        for number in range(500):
            await store.activations.put(record(number))
        assert await store.activations.count("ns", Filter()) == 500
        assert store.writer.commits - commits <= 3

    on_store(tmp_path / DATABASE, check)


def test_records_past_the_room_of_the_spool_wait_for_the_database_and_are_all_kept(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        await asyncio.gather(*(store.activations.put(record(number, "x" * 2000)) for number in range(300)))
        assert await store.activations.count("ns", Filter()) == 300

    on_store(tmp_path / DATABASE, check, spool_bytes=SMALL_SPOOL)


def test_a_record_larger_than_the_spool_takes_goes_to_the_database_by_itself(tmp_path: Path) -> None:
    large = [record(1, "x" * SMALL_SPOOL), record(2, "x" * MAX_ENTRY_BYTES)]

    async def check(store: SqliteStore) -> None:
        for each in large:
            await asyncio.wait_for(store.activations.put(each), 10)
            assert await store.activations.read("ns", each.activation_id) == each.record

    on_store(tmp_path / DATABASE, check, spool_bytes=SMALL_SPOOL)


def test_while_the_database_takes_nothing_records_are_kept_until_the_spool_is_full(tmp_path: Path) -> None:
    """Another program has locked it; what was kept is there when it lets go, and what was refused is not."""
    path = tmp_path / DATABASE
    kept: list[StoredActivation] = []

    async def fill(store: SqliteStore) -> None:
        await store.writer.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 50"), is_durable=False)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            for number in range(1000):
                await store.activations.put(record(number, "x" * 2000))
                kept.append(record(number, "x" * 2000))
        assert await store.activations.read("ns", kept[-1].activation_id) == kept[-1].record
        assert await store.activations.count("ns", Filter()) == len(kept)
        found = await store.activations.list("ns", Filter(since=2), skip=1, limit=3)
        assert found == [each.summary for each in kept[-2:-5:-1]]
        other.execute("ROLLBACK")
        other.close()
        await store.journal.append("f" * 32, b"the database takes something again", namespace="ns")

    on_store(path, fill, spool_bytes=SMALL_SPOOL)
    assert len(kept) > 10


def test_of_a_time_in_which_the_database_takes_nothing_the_beginning_and_the_end_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / DATABASE

    async def wait_and_go_on(store: SqliteStore) -> None:
        await store.writer.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 50"), is_durable=False)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await store.activations.put(record(1))
            await store.activations.put(record(2))
            await asyncio.sleep(3 * RETRY_S)
            other.execute("ROLLBACK")
        await asyncio.sleep(2 * RETRY_S)

    on_store(path, wait_and_go_on)
    beginning, end = caplog.messages
    assert beginning.startswith("the database takes no records, 2 wait: ")
    assert end == "the database takes records again; 2 have waited"


def test_a_deleted_namespace_does_not_get_back_what_a_killed_platform_had_not_stored_yet(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    killed_with_records(path)

    async def begin_anew() -> None:
        async with opened_identities(path) as identities:
            await identities.delete("ns")
            await identities.put(new_identity("ns"))

    asyncio.run(begin_anew())

    async def check(store: SqliteStore) -> None:
        assert await store.activations.count("ns", Filter()) == 0
        assert await store.activations.read("ns", record(2).activation_id) is None
        later = record(time.time_ns() // 1_000_000 + 1)
        await store.activations.put(later)
        assert await store.activations.list("ns", Filter(), skip=0, limit=10) == [later.summary]

    on_store(path, check)


def test_records_that_cannot_be_stored_at_the_start_are_said_in_one_line_and_kept(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    killed_with_records(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON activations BEGIN SELECT raise(ABORT, 'no room'); END")
        connection.commit()
    with pytest.raises(OperatorError, match=r"cannot be stored.*no room.*nothing was lost"):
        on_store(path, lambda _: asyncio.sleep(0))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER no")
        connection.commit()

    async def check(store: SqliteStore) -> None:
        assert await store.activations.count("ns", Filter()) == 20

    on_store(path, check)


def test_a_spool_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    [spool, _] = paths_of(tmp_path / DATABASE)
    spool.write_bytes(b"Sabayon spool 9\n" + b"something of later" * 10)
    before = spool.read_bytes()
    with pytest.raises(OperatorError, match=r"spool0 .* was not written by this version"):
        on_store(tmp_path / DATABASE, lambda _: asyncio.sleep(0), spool_bytes=SMALL_SPOOL)
    assert spool.read_bytes().rstrip(b"\0") == before


def test_a_disk_without_room_for_the_spool_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no room for records"):
        on_store(tmp_path / DATABASE, lambda _: asyncio.sleep(0), spool_bytes=1 << 60)


def test_what_is_cleared_is_gone_also_where_new_entries_are_shorter(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    segment = Segment(path, 4096)
    assert segment.append(b"a" * 100)
    assert segment.append(b"b" * 100)
    segment.clear()
    assert segment.append(b"c")
    segment.close()
    reopened = Segment(path, 4096)
    assert list(reopened.entries()) == [b"c"]
    reopened.close()


if __name__ == "__main__":
    asyncio.run(put_and_be_killed(Path(sys.argv[1])))
