"""The embedded store when its process is killed, its file is damaged, its disk is full, or its place is taken."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from msgspec import Raw

from sabayon.data_directory import DATABASE, LOCK, held
from sabayon.entity.action import Action
from sabayon.entity.activation import Activation, Outcome, Response, StoredActivation, stored
from sabayon.entity.exec import Exec
from sabayon.errors import OperatorError, StoreUnavailable
from sabayon.store.base import Put
from sabayon.store.sqlite import SqliteStore
from sabayon.store.sqlite.spool import SEGMENT_BYTES

WRITERS = 8
ACKNOWLEDGED_BEFORE_KILL = 400
SPACE_LEFT = 256 * 1024


def action(name: str, code: str = "code") -> Action:
    exec_ = Exec(kind="python:3.11", binary=False, code=code)
    return Action(name=name, namespace="ns", exec=exec_, updated=1, version="0.0.1")


def record(id: str, text: str = "") -> StoredActivation:
    response = Response(Outcome.SUCCESS, Raw(b'{"text":"' + text.encode() + b'"}'))
    return stored(
        Activation(
            activation_id=id,
            name="a",
            namespace="ns",
            response=response,
            start=1,
            end=2,
            subject="sub",
            version="0.0.1",
        )
    )


@asynccontextmanager
async def opened(path: Path, spool_bytes: int = SEGMENT_BYTES) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, spool_bytes=spool_bytes)
    try:
        yield store
    finally:
        await store.aclose()


def prepared(path: Path, actions: int) -> bytes:
    """Make a sound database; its bytes."""

    async def main() -> None:
        async with opened(path) as store:
            await store.artifacts.write([Put(action(f"a{n}", "x" * 3000), None) for n in range(actions)])

    asyncio.run(main())
    return path.read_bytes()


def open_and_close(path: Path) -> None:
    async def main() -> None:
        async with opened(path):
            pass

    asyncio.run(main())


# Killed


async def write_for_ever(path: Path) -> None:
    """Write everything there is to write, many at a time; a line on stdout for each that was acknowledged."""
    store = await SqliteStore.open(path)

    async def entities(writer: int) -> None:
        for number in itertools.count():
            name = f"w{writer}-{number}"
            await store.artifacts.write([Put(action(name, f"code of {name}"), None)])
            print("entity", name, flush=True)

    async def activations(writer: int) -> None:
        for number in itertools.count():
            id = f"{writer:08x}{number:024x}"
            await store.journal.append(id, b"message", namespace="ns")
            print("journal", id, flush=True)
            await store.activations.put(record(id), settles=True)
            print("record", id, flush=True)

    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(entities(writer))
            group.create_task(activations(writer))


def acknowledged_until_killed(path: Path) -> list[tuple[str, str]]:
    """(what, id) of all writes that a process had acknowledged when it was killed."""
    command = [sys.executable, __file__, "write", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = list(itertools.islice(process.stdout, ACKNOWLEDGED_BEFORE_KILL))
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    complete = (line.split() for line in lines if line.endswith("\n"))
    return [(what, id) for what, id in complete]


def test_what_was_acknowledged_outlives_a_killed_process(tmp_path: Path) -> None:
    acknowledged = acknowledged_until_killed(tmp_path / DATABASE)
    assert {what for what, _ in acknowledged} == {"entity", "journal", "record"}

    async def check() -> None:
        async with opened(tmp_path / DATABASE) as store:
            pending = await store.journal.pending()
            for what, id in acknowledged:
                if what == "entity":
                    document = await store.artifacts.read(f"ns/{id}")
                    assert document is not None, id
                    assert await store.artifacts.read_code(f"ns/{id}", document.revision) == f"code of {id}"
                else:
                    has_record = await store.activations.read("ns", id) is not None
                    assert has_record is (id not in pending), id
                    assert has_record or what == "journal", id
            await store.artifacts.write([Put(action("afterwards"), None)])

    asyncio.run(check())


# Damaged


def damaged_header(sound: bytes) -> bytes:
    return b"no database at all" + sound[18:]


def damaged_page(sound: bytes) -> bytes:
    middle = len(sound) // 2 // 4096 * 4096
    return sound[:middle] + b"\xa5" * 4096 + sound[middle + 4096 :]


def half_a_file(sound: bytes) -> bytes:
    return sound[: len(sound) // 2 // 4096 * 4096]


@pytest.mark.parametrize("damage", [damaged_header, damaged_page, half_a_file])
def test_a_damaged_database_is_refused_in_one_line_and_left_as_it_is(tmp_path: Path, damage: object) -> None:
    path = tmp_path / DATABASE
    broken = damage(prepared(path, actions=60))  # type: ignore[operator]
    path.write_bytes(broken)
    with pytest.raises(OperatorError) as raised:
        open_and_close(path)
    text = str(raised.value)
    assert f"the database {path} is damaged" in text
    assert "restore a backup" in text
    assert len(text.splitlines()) == 1
    assert path.read_bytes() == broken


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    prepared(path, actions=1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OperatorError, match="written by a newer version"):
        open_and_close(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1], ids=["without version", "with a version"])
def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / DATABASE
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OperatorError, match="is not one of Sabayon's"):
        open_and_close(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [DATABASE]


def test_a_database_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(OperatorError, match="cannot be used"):
        open_and_close(tmp_path / DATABASE)


def test_a_new_database_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    open_and_close(tmp_path / DATABASE)
    assert (tmp_path / DATABASE).stat().st_mode & 0o777 == 0o600


# Full


async def fill_the_disk(path: Path) -> None:
    """Run out of space while writing, read, get space again, write; then what was acknowledged must be there."""
    async with opened(path, spool_bytes=SPACE_LEFT) as store:
        await store.artifacts.write([Put(action("before"), None)])
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SPACE_LEFT, unlimited[1]))
        kept: list[str] = []
        refusals: list[str] = []
        for number in range(200):
            id = f"{number:032x}"
            try:
                await store.activations.put(record(id, "x" * 10_000))
                kept.append(id)
            except StoreUnavailable as error:
                refusals.append(str(error))
        try:
            await store.artifacts.write([Put(action("lost", "y" * 2 * SPACE_LEFT), None)])
        except StoreUnavailable as error:
            refusals.append(str(error))
        assert kept and len(refusals) > 1
        assert await store.artifacts.read("ns/before") is not None
        assert await store.artifacts.read("ns/lost") is None
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        await store.artifacts.write([Put(action("after", "y" * 2 * SPACE_LEFT), None)])
    async with opened(path) as store:
        assert all([await store.activations.read("ns", id) is not None for id in kept])
        assert await store.activations.read("ns", f"{199:032x}") is None
        assert await store.artifacts.read("ns/lost") is None
        assert await store.artifacts.read("ns/after") is not None
    print(*sorted(set(refusals)), sep="\n")


def test_a_full_disk_refuses_writes_until_there_is_space_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, __file__, "fill", str(tmp_path / DATABASE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for refusal in done.stdout.splitlines():
        assert refusal.startswith("the database cannot be written: ")
        assert "disk" in refusal


@pytest.mark.parametrize(("is_alone", "error"), [(True, OverflowError), (False, StoreUnavailable)])
def test_a_write_that_breaks_unforeseen_fails_and_those_after_it_do_not(
    tmp_path: Path, is_alone: bool, error: type[Exception]
) -> None:
    def unforeseen(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entities")
        raise OverflowError("a number SQLite has no room for")

    async def main() -> None:
        async with opened(tmp_path / DATABASE) as store:
            await store.artifacts.write([Put(action("before"), None)])
            with pytest.raises(error):
                await asyncio.wait_for(store.writer.submit(unforeseen, is_durable=True, is_alone=is_alone), 10)
            await asyncio.wait_for(store.artifacts.write([Put(action("next"), None)]), 10)
            assert await store.artifacts.count(Action, "ns") == 2

    asyncio.run(main())


# Taken


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the directory."""
    command = [sys.executable, __file__, "hold", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_data_directory_in_use_is_refused_with_the_id_of_its_process(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(OperatorError) as raised, held(tmp_path):
            pytest.fail("two processes hold the directory")
        assert f"in use by another instance (process {process.pid})" in str(raised.value)
        assert (tmp_path / LOCK).read_text() == f"{process.pid}\n"


def test_a_data_directory_is_free_as_soon_as_its_process_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        with held(tmp_path):
            assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_data_directory_can_be_held_again_after_it_was_left(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "new" / "data"):
            assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


def hold(directory: Path) -> None:
    with held(directory):
        print("held", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    path = Path(sys.argv[2])
    match sys.argv[1]:
        case "write":
            asyncio.run(write_for_ever(path))
        case "fill":
            asyncio.run(fill_the_disk(path))
        case "hold":
            hold(path)
