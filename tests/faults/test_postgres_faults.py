"""What a PostgreSQL server, and other processes on it, can do to a platform."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from sabayon.entity.activation import Activation, Outcome, Response, StoredActivation, stored
from sabayon.entity.identity import new_identity
from sabayon.entity.trigger import Trigger
from sabayon.errors import Conflict, OperatorError, StoreUnavailable
from sabayon.store.base import Delete, Filter, Put
from sabayon.store.counting import DAY_MS
from sabayon.store.postgres import PostgresStore, opened_identities
from tests.servers.postgres import PostgresServer

TRIGGER = Trigger(name="t", namespace="ns", updated=1, version="0.0.1")


def record(number: int, start: int = 1, namespace: str = "ns") -> StoredActivation:
    response = Response(Outcome.SUCCESS, Raw(b"{}"))
    return stored(
        Activation(
            activation_id=f"{number:032x}", name="a", namespace=namespace, response=response, start=start, end=start,
            subject="someone", version="0.0.1",
        )
    )  # fmt: skip


def on_stores(url: str, work: Callable[..., Coroutine[Any, Any, None]], number: int = 1) -> None:
    """Run `work` with that many stores on the same database, as that many processes have them."""

    async def main() -> None:
        stores = [await PostgresStore.open(url) for _ in range(number)]
        try:
            await asyncio.wait_for(work(*stores), 60)
        finally:
            for store in stores:
                await store.aclose()

    asyncio.run(main())


async def until(probe: Callable[[], Awaitable[Any]], within_s: float) -> None:
    """Returns when `probe()` is true. Fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while not await probe():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        await asyncio.sleep(0.01)


async def until_it_works(attempt: Callable[[], Awaitable[Any]], within_s: float = 20) -> None:
    """Try until the store takes it."""

    async def works() -> bool:
        try:
            await attempt()
        except StoreUnavailable:
            return False
        return True

    await until(works, within_s)


def test_what_was_accepted_while_the_server_restarts_and_dies_is_there(own_postgres: PostgresServer) -> None:
    accepted: list[str] = []
    refused = 0

    async def client(store: PostgresStore, number: int, is_over: asyncio.Event) -> None:
        nonlocal refused
        while not is_over.is_set():
            number += 1_000
            try:
                await store.journal.append(f"{number:032x}", b"message", namespace="ns")
                accepted.append(f"{number:032x}")
            except StoreUnavailable:
                refused += 1
                await asyncio.sleep(0.05)

    async def body(store: PostgresStore) -> None:
        is_over = asyncio.Event()
        clients = [asyncio.create_task(client(store, number, is_over)) for number in range(16)]
        for end in (own_postgres.restart, own_postgres.kill):
            before = len(accepted)
            await until(lambda before=before: _is(len(accepted) > before + 200), 20)  # type: ignore[misc]
            await asyncio.to_thread(end)
        await asyncio.to_thread(own_postgres.start)
        before = len(accepted)
        await until(lambda: _is(len(accepted) > before + 200), 20)
        is_over.set()
        await asyncio.gather(*clients)
        assert set(accepted) <= set(await store.journal.pending())
        assert refused

    on_stores(own_postgres.create_database(), body)


async def _is(value: bool) -> bool:
    return value


def test_a_record_that_settled_the_journal_outlives_the_server(own_postgres: PostgresServer) -> None:
    """Otherwise the entry came back, in the hand of one who believes that it is over."""
    ids = [f"{number:032x}" for number in range(40)]

    async def body(store: PostgresStore) -> None:
        await asyncio.gather(*(store.journal.append(id, b"m", namespace="ns") for id in ids))
        await asyncio.gather(*(store.activations.put(record(number), settles=True) for number in range(40)))
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.start)
        await until_it_works(store.journal.pending)
        assert not await store.journal.pending()
        assert None not in [await store.activations.read("ns", id) for id in ids]

    on_stores(own_postgres.create_database(), body)


def test_a_server_that_dies_takes_a_record_and_its_settling_together(own_postgres: PostgresServer) -> None:
    ids = [f"{number:032x}" for number in range(300)]

    async def body(store: PostgresStore) -> None:
        await asyncio.gather(*(store.journal.append(id, b"m", namespace="ns") for id in ids))
        for number in range(300):
            await store.activations.put(record(number), settles=True)
        await asyncio.to_thread(own_postgres.kill)
        with pytest.raises(StoreUnavailable):
            await store.activations.put(record(0), settles=True)
        await asyncio.to_thread(own_postgres.start)
        await until_it_works(store.journal.pending)
        pending = set(await store.journal.pending())
        for id in ids:
            assert (await store.activations.read("ns", id) is None) == (id in pending)

    on_stores(own_postgres.create_database(), body)


def test_work_is_refused_while_there_is_no_server_and_keys_are_known_all_the_same(own_postgres: PostgresServer) -> None:
    async def body(store: PostgresStore) -> None:
        identity = new_identity("ns")
        await store.identities.put(identity)
        await store.artifacts.write([Put(TRIGGER, None)])
        await asyncio.to_thread(own_postgres.stop)
        assert await store.identities.by_uuid(identity.uuid) == identity
        for refused in (
            store.artifacts.write([Put(replace(TRIGGER, name="u"), None)]),
            store.artifacts.list(Trigger, "ns"),
            store.journal.append("0" * 32, b"m", namespace="ns"),
            store.journal.pending(),
            store.activations.put(record(1)),
            store.activations.count("ns", Filter()),
            store.identities.put(identity),
            store.ledger("alarms").put("ns/t", b"1"),
        ):
            with pytest.raises(StoreUnavailable):
                await refused
        await asyncio.to_thread(own_postgres.start)
        await until_it_works(lambda: store.activations.put(record(1)))
        assert await store.activations.count("ns", Filter()) == 1

    on_stores(own_postgres.create_database(), body)


def test_a_server_that_takes_no_writes_is_left_for_one_that_does(postgres: PostgresServer, postgres_url: str) -> None:
    database = urlsplit(postgres_url).path[1:]

    def become(state: str) -> None:
        postgres.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = {state}", "postgres")

    async def body(store: PostgresStore) -> None:
        become("on")
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        postgres.sql(end, "postgres")
        for _ in range(20):  # on each connection there may be
            with pytest.raises(StoreUnavailable):
                await store.journal.append("0" * 32, b"m", namespace="ns")
        become("off")
        await until_it_works(lambda: store.journal.append("0" * 32, b"m", namespace="ns"), 2)

    on_stores(postgres_url, body)


def test_what_another_process_writes_is_seen_well_within_a_second(postgres_url: str) -> None:
    async def body(one: PostgresStore, other: PostgresStore) -> None:
        [first] = await one.artifacts.write([Put(TRIGGER, None)])
        assert (await other.artifacts.read("ns/t")).revision == first  # type: ignore[union-attr]
        [second] = await one.artifacts.write([Put(replace(TRIGGER, version="0.0.2"), first)])

        async def revision() -> int | None:
            document = await other.artifacts.read("ns/t")
            return document.revision if document else None

        await until(lambda: _equals(revision, second), 0.5)
        with pytest.raises(Conflict):
            await other.artifacts.write([Put(TRIGGER, first)])
        await one.artifacts.write([Delete("ns/t", second)])
        await until(lambda: _equals(revision, None), 0.5)

        identity = new_identity("ns")
        await one.identities.put(identity)
        await until(lambda: _equals(lambda: other.identities.by_uuid(identity.uuid), identity), 0.5)
        await one.identities.delete("ns")
        await until(lambda: _equals(lambda: other.identities.by_namespace("ns"), None), 0.5)

    on_stores(postgres_url, body, 2)


async def _equals(read: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    return bool(await read() == wanted)


def test_a_process_that_was_cut_off_from_notices_keeps_nothing_old(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()

    async def body(store: PostgresStore) -> None:
        [first] = await store.artifacts.write([Put(TRIGGER, None)])
        await store.artifacts.read("ns/t")
        await asyncio.to_thread(own_postgres.restart)
        connection = await asyncpg.connect(url)  # writes without a word to anybody
        await connection.execute("UPDATE sabayon.entities SET revision = revision + 1")
        await connection.close()

        async def revision() -> int:
            document = await store.artifacts.read("ns/t")
            assert document is not None
            return document.revision

        await until_it_works(revision)
        await until(lambda: _equals(revision, first + 1), 3)

    on_stores(url, body)


def test_of_two_processes_that_change_the_same_entities_one_wins_and_neither_hangs(postgres_url: str) -> None:
    triggers = [replace(TRIGGER, name=f"t{number:02}") for number in range(12)]

    async def body(*stores: PostgresStore) -> None:
        revisions = await stores[0].artifacts.write([Put(trigger, None) for trigger in triggers])
        for _ in range(10):
            changes = [Put(trigger, revision) for trigger, revision in zip(triggers, revisions, strict=True)]
            writes = [
                store.artifacts.write(changes if number % 2 else changes[::-1])
                for store in stores
                for number in range(3)
            ]  # fmt: skip
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            [winner] = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, list)]
            assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 5
            won = outcomes[winner]
            assert isinstance(won, list)
            revisions = won if winner % 3 % 2 else won[::-1]

    on_stores(postgres_url, body, 2)


def test_two_processes_with_one_record_each_of_the_same_id_keep_one_also_across_midnight(postgres_url: str) -> None:
    async def body(one: PostgresStore, other: PostgresStore) -> None:
        for number in range(50):
            await asyncio.gather(
                one.activations.put(record(number, DAY_MS - 1)), other.activations.put(record(number, DAY_MS))
            )
        assert await one.activations.count("ns", Filter()) == 50
        assert len(await one.activations.list("ns", Filter(), skip=0, limit=200)) == 50

    on_stores(postgres_url, body, 2)


def test_many_appends_share_a_transaction(postgres_url: str) -> None:
    async def body(store: PostgresStore) -> None:
        await asyncio.gather(*(store.journal.append(f"{number:032x}", b"m", namespace="ns") for number in range(1_000)))
        assert store.journal.batcher.batches <= 10
        assert len(await store.journal.pending()) == 1_000

    on_stores(postgres_url, body)


def test_records_of_a_deleted_namespace_that_another_process_still_has_are_not_kept(postgres_url: str) -> None:
    async def body(one: PostgresStore, other: PostgresStore) -> None:
        now_ms = time.time_ns() // 1_000_000
        await one.identities.put(new_identity("ns"))
        await one.activations.put(record(1, now_ms - 2))
        await one.identities.delete("ns")
        await other.activations.put(record(2, now_ms - 1))
        await other.activations.put(record(3, now_ms + DAY_MS))
        assert await one.activations.count("ns", Filter()) == 1
        assert len(await one.activations.list("ns", Filter(), skip=0, limit=9)) == 1

    on_stores(postgres_url, body, 2)


OPEN = """
import asyncio, sys
from sabayon.store.postgres import PostgresStore
async def main():
    store = await PostgresStore.open(sys.argv[1])
    await store.aclose()
asyncio.run(main())
"""


def test_processes_that_start_at_once_make_the_schema_once(postgres: PostgresServer, postgres_url: str) -> None:
    started = [subprocess.Popen([sys.executable, "-c", OPEN, postgres_url], stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    database = urlsplit(postgres_url).path[1:]
    assert postgres.sql("SELECT count(*), min(version) FROM sabayon.schema_version", database) == "1|3"


def refusal(url: str, **options: Any) -> str:
    """The line with which a store does not open."""

    async def main() -> None:
        store = await PostgresStore.open(url, **options)
        await store.aclose()

    with pytest.raises(OperatorError) as caught:
        asyncio.run(main())
    text = str(caught.value)
    assert "\n" not in text
    credentials = url.partition("://")[2].rpartition("@")[0]
    assert not credentials or credentials.partition(":")[2] not in text
    return text


def test_a_schema_that_is_newer_is_refused_and_left_alone(postgres: PostgresServer, postgres_url: str) -> None:
    async def nothing(_store: PostgresStore) -> None:
        """Opening it has made the schema."""

    on_stores(postgres_url, nothing)
    database = urlsplit(postgres_url).path[1:]
    postgres.sql("UPDATE sabayon.schema_version SET version = 99", database)
    assert "was written by a newer version of Sabayon; install that version" in refusal(postgres_url)
    assert postgres.sql("SELECT version FROM sabayon.schema_version", database) == "99"


def test_a_schema_of_somebody_else_is_refused(postgres: PostgresServer, postgres_url: str) -> None:
    postgres.sql("CREATE SCHEMA sabayon", urlsplit(postgres_url).path[1:])
    assert "is not one of Sabayon's" in refusal(postgres_url)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda url: url._replace(netloc=url.netloc.replace(":", ":wrong", 1)), "password authentication failed"),
        (lambda url: url._replace(path="/nowhere"), 'database "nowhere" does not exist'),
        (lambda url: url._replace(netloc=url.netloc.rpartition(":")[0] + ":port"), "cannot be read"),
    ],
)
def test_a_server_that_refuses_is_not_waited_for(postgres_url: str, change: Any, text: str) -> None:
    began = time.monotonic()
    assert text in refusal(change(urlsplit(postgres_url)).geturl())
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret/word@127.0.0.1:1/d",
        "postgresql://u:secret?word@127.0.0.1:1/d",
        "postgresql://u:secret@word@127.0.0.1:1/d",
        "postgresql://u:secret[word@127.0.0.1:1/d",
        "postgresql://127.0.0.1:1/d?password=secret",
        "postgresql://127.0.0.1:1/d?password=secret@word",
        "postgresql://u:secret:word@127.0.0.1:1/d",
    ],
)
def test_nothing_of_a_password_is_told_however_it_is_written(url: str, caplog: pytest.LogCaptureFixture) -> None:
    text = refusal(url, wait_s=0.1) + caplog.text
    assert "secret" not in text
    assert "word" not in text.replace("password", "")


def test_an_identity_that_cannot_be_read_is_told_and_the_others_stay(
    postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(store: PostgresStore) -> None:
        one, other = new_identity("one"), new_identity("other")
        await store.identities.put(one)
        database = urlsplit(postgres_url).path[1:]
        postgres.sql(
            "INSERT INTO sabayon.identities VALUES ('x', 'x', 'not JSON'); NOTIFY sabayon, 'identities'", database
        )
        await until(lambda: _is("a stored identity cannot be read" in caplog.text), 2)
        assert await store.identities.by_namespace("one") == one
        postgres.sql("DELETE FROM sabayon.identities WHERE namespace = 'x'", database)

        async def put() -> bool:
            await store.identities.put(other)
            return True

        await until(put, 5)
        assert await store.identities.all() == [one, other]

    on_stores(postgres_url, body)


def test_a_server_that_cannot_be_reached_is_waited_for_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    text = refusal("postgresql://u:secret@127.0.0.1:1/d", wait_s=0.6)
    assert "the database 127.0.0.1:1/d cannot be reached" in text
    assert "trying for another 1 s" in caplog.text
    assert "secret" not in caplog.text


def test_a_server_that_comes_while_a_start_waits_is_used(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()
    own_postgres.stop()

    async def main() -> None:
        opening = asyncio.create_task(PostgresStore.open(url, wait_s=30))
        await asyncio.sleep(0)
        await asyncio.to_thread(own_postgres.start)
        await (await opening).aclose()

    asyncio.run(main())


def test_a_data_directory_of_another_installation_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()

    async def open_once(url: str, name: str) -> None:
        await (await PostgresStore.open(url, data_dir=tmp_path / name)).aclose()

    asyncio.run(open_once(first, "a"))
    asyncio.run(open_once(first, "b"))  # a new directory joins
    asyncio.run(open_once(second, "c"))
    assert "belongs to another installation than the data directory" in refusal(first, data_dir=tmp_path / "c")
    asyncio.run(open_once(first, "a"))


def test_who_wants_a_database_alone_does_not_get_one_in_use_and_keeps_others_out(postgres_url: str) -> None:
    async def main() -> None:
        alone = await PostgresStore.open(postgres_url, is_alone=True)
        for is_alone in (True, False):
            with pytest.raises(OperatorError, match="is in use by"):
                await PostgresStore.open(postgres_url, is_alone=is_alone)
        async with opened_identities(postgres_url) as identities:  # the operator's commands work beside it
            assert await identities.all() == []
        await alone.aclose()
        await (await PostgresStore.open(postgres_url)).aclose()

    asyncio.run(main())


def test_records_are_read_back_as_they_were_put_whatever_is_in_them(postgres_url: str) -> None:
    async def body(store: PostgresStore) -> None:
        odd = replace(record(1), record=b'{"nul":"\\u0000","text":"\xc3\xa9"}', summary=bytes(range(256)))
        await store.activations.put(odd)
        assert await store.activations.read("ns", odd.activation_id) == odd.record
        assert await store.activations.list("ns", Filter(), skip=0, limit=1) == [odd.summary]
        huge = replace(record(2), record=msgspec.json.encode("x" * 12_000_000))
        await store.activations.put(huge)
        assert await store.activations.read("ns", huge.activation_id) == huge.record

    on_stores(postgres_url, body)
