"""What the store ports promise, asked of every driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from sabayon.entity.action import Action
from sabayon.entity.activation import Activation, Outcome, Response, stored
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity
from sabayon.entity.package import Binding, Package
from sabayon.entity.parameters import parameter
from sabayon.entity.trigger import Trigger
from sabayon.errors import Conflict
from sabayon.store.base import MAX_DEAD_LETTERS, Delete, Entry, Filter, Letter, Put, Settlement
from sabayon.store.memory import MemoryStore
from sabayon.store.sqlite import SqliteStore

Session = Callable[[Callable[[Any], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    """Runs a coroutine function with an open store of the driver under test."""

    memory = MemoryStore()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        store = memory if request.param == "memory" else await SqliteStore.open(tmp_path / "test.db")
        try:
            yield store
        finally:
            await store.aclose()

    def run(body: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with opened() as store:
                await body(store)

        asyncio.run(main())

    return run  # type: ignore[return-value]


def action(name: str, namespace: str = "ns", *, updated: int = 1, code: str | None = "code") -> Action:
    exec_ = Exec(kind="python:3.11", binary=False, code=UNSET if code is None else code)
    return Action(name=name, namespace=namespace, exec=exec_, updated=updated, version="0.0.1")


def package(name: str, namespace: str = "ns", **fields: Any) -> Package:
    return Package(name=name, namespace=namespace, updated=1, version="0.0.1", **fields)


def trigger(name: str, namespace: str = "ns", updated: int = 1) -> Trigger:
    return Trigger(name=name, namespace=namespace, updated=updated, version="0.0.1")


def activation(number: int, *, namespace: str = "ns", name: str = "a", start: int = 0, path: str = "") -> Activation:
    return Activation(
        activation_id=f"{number:032x}",
        annotations=(parameter("path", path or f"{namespace}/{name}"),),
        name=name,
        namespace=namespace,
        start=start,
        end=start + 1,
        duration=1,
        logs=("line",),
        response=Response(Outcome.SUCCESS, Raw(b'{"n":1}')),
        subject="someone",
        version="0.0.1",
    )


def test_what_was_written_is_read_back_without_its_code(session: Session) -> None:
    async def body(store: Any) -> None:
        written = action("a")
        [revision] = await store.artifacts.write([Put(written, None)])
        document = await store.artifacts.read("ns/a")
        assert document.revision == revision
        assert document.entity.exec.code is UNSET
        assert document.entity == msgspec.structs.replace(
            written, exec=msgspec.structs.replace(written.exec, code=UNSET)
        )
        assert await store.artifacts.read_code("ns/a", revision) == "code"

    session(body)


def test_an_unknown_id_reads_as_none(session: Session) -> None:
    async def body(store: Any) -> None:
        assert await store.artifacts.read("ns/nothing") is None
        assert await store.artifacts.read_code("ns/nothing", 1) is None
        assert await store.activations.read("ns", "0" * 32) is None
        assert await store.identities.by_uuid("nobody") is None

    session(body)


def test_code_belongs_to_the_revision_it_was_asked_for(session: Session) -> None:
    async def body(store: Any) -> None:
        [first] = await store.artifacts.write([Put(action("a", code="one"), None)])
        [second] = await store.artifacts.write([Put(action("a", code="two"), first)])
        assert await store.artifacts.read_code("ns/a", first) is None
        assert await store.artifacts.read_code("ns/a", second) == "two"

    session(body)


def test_an_action_put_without_code_keeps_the_code_it_had(session: Session) -> None:
    async def body(store: Any) -> None:
        [first] = await store.artifacts.write([Put(action("a", code="one"), None)])
        [second] = await store.artifacts.write([Put(action("a", code=None), first)])
        assert await store.artifacts.read_code("ns/a", second) == "one"

    session(body)


def test_a_write_that_expects_another_revision_conflicts_and_changes_nothing(session: Session) -> None:
    async def body(store: Any) -> None:
        [revision] = await store.artifacts.write([Put(trigger("t"), None)])
        for changes in (
            [Put(trigger("t"), None)],
            [Put(trigger("t"), revision + 1)],
            [Put(trigger("u"), None), Put(trigger("t"), None)],
            [Delete("ns/t", revision + 1)],
            [Delete("ns/u", revision)],
        ):
            with pytest.raises(Conflict):
                await store.artifacts.write(changes)
        assert (await store.artifacts.read("ns/t")).revision == revision
        assert await store.artifacts.read("ns/u") is None

    session(body)


def test_of_two_concurrent_creations_one_wins(session: Session) -> None:
    async def body(store: Any) -> None:
        writes = (store.artifacts.write([Put(trigger("t"), None)]) for _ in range(20))
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 19

    session(body)


def test_a_revision_never_repeats_for_an_id(session: Session) -> None:
    async def body(store: Any) -> None:
        [first] = await store.artifacts.write([Put(action("a"), None)])
        await store.artifacts.write([Delete("ns/a", first)])
        assert await store.artifacts.read("ns/a") is None
        [second] = await store.artifacts.write([Put(action("a"), None)])
        assert second > first

    session(body)


def test_lists_are_newest_first_within_a_namespace_and_kind(session: Session) -> None:
    async def body(store: Any) -> None:
        entities = [action("a", updated=1), action("b", updated=3), action("c", "ns/pkg", updated=2)]
        entities += [action("z", "other", updated=9), package("pkg"), trigger("t", updated=5)]
        await store.artifacts.write([Put(entity, None) for entity in entities])
        assert [e.name for e in await store.artifacts.list(Action, "ns")] == ["b", "c", "a"]
        assert [e.name for e in await store.artifacts.list(Action, "ns", skip=1, limit=1)] == ["c"]
        assert [e.name for e in await store.artifacts.list(Action, "ns", package="pkg")] == ["c"]
        assert [e.name for e in await store.artifacts.list(Trigger, "ns")] == ["t"]
        assert await store.artifacts.count(Action, "ns") == 3
        assert await store.artifacts.count(Action, "ns", package="pkg") == 1

    session(body)


def test_shared_packages_are_those_that_are_published_and_no_bindings(session: Session) -> None:
    async def body(store: Any) -> None:
        bound = package("bound", publish=True, binding=Binding("shared", "ns"))
        for entity in (package("private"), package("shared", publish=True), bound):
            await store.artifacts.write([Put(entity, None)])
        assert [e.name for e in await store.artifacts.list(Package, "ns", is_shared_only=True)] == ["shared"]
        assert await store.artifacts.count(Package, "ns", is_shared_only=True) == 1
        assert await store.artifacts.count(Package, "ns") == 3

    session(body)


def test_a_record_is_readable_in_its_own_namespace_only(session: Session) -> None:
    async def body(store: Any) -> None:
        record = stored(activation(1))
        await store.activations.put(record)
        assert await store.activations.read("ns", record.activation_id) == record.record
        assert await store.activations.read("other", record.activation_id) is None

    session(body)


def test_the_first_record_of_an_id_stays(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.activations.put(stored(activation(1, start=1)))
        await store.activations.put(stored(activation(1, start=2)))
        assert await store.activations.count("ns", Filter()) == 1
        assert msgspec.json.decode(await store.activations.read("ns", f"{1:032x}"))["start"] == 1

    session(body)


def test_records_are_filtered_by_name_and_inclusive_start(session: Session) -> None:
    async def body(store: Any) -> None:
        for number in range(10):
            await store.activations.put(stored(activation(number, start=number, name="ab"[number % 2])))
        await store.activations.put(stored(activation(10, start=10, name="a", path="ns/pkg/a")))

        async def starts(filter: Filter, skip: int = 0, limit: int = 100) -> list[int]:
            found = await store.activations.list("ns", filter, skip=skip, limit=limit)
            return [msgspec.json.decode(item)["start"] for item in found]

        assert await starts(Filter()) == list(range(10, -1, -1))
        assert await starts(Filter(name="a")) == [8, 6, 4, 2, 0]
        assert await starts(Filter(name="pkg/a")) == [10]
        assert await starts(Filter(since=3, upto=5)) == [5, 4, 3]
        assert await starts(Filter(), skip=2, limit=3) == [8, 7, 6]
        assert await store.activations.count("ns", Filter(name="b", since=5)) == 3
        record = await store.activations.read("ns", f"{10:032x}")
        assert msgspec.json.decode(record)["logs"] == ["line"]

    session(body)


def test_the_journal_keeps_what_no_record_has_settled_in_order(session: Session) -> None:
    async def body(store: Any) -> None:
        for number in (3, 1, 2):
            await store.journal.append(f"{number:032x}", b"message %d" % number, namespace="ns")
        await store.activations.put(stored(activation(1)), settles=True)
        await store.activations.put(stored(activation(2)))
        assert await store.journal.pending() == {f"{3:032x}": b"message 3", f"{2:032x}": b"message 2"}
        assert list(await store.journal.pending()) == [f"{3:032x}", f"{2:032x}"]

    session(body)


def waiting(number: int, due_ms: int, attempts: int = 0, namespace: str = "ns") -> Entry:
    return Entry(f"{number:032x}", namespace, b"message %d" % number, due_ms, attempts)


async def let_wait(store: Any, *entries: Entry) -> None:
    for id, namespace, message, due_ms, attempts in entries:
        await store.journal.append(id, message, namespace=namespace, due_ms=due_ms, attempts=attempts)


def test_what_waits_in_the_journal_is_taken_when_it_is_due_the_longest_due_first(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, waiting(1, 30), waiting(2, 10), waiting(3, 20), waiting(4, 10))
        await store.journal.append(f"{5:032x}", b"somebody has it", namespace="ns")
        assert await store.journal.waiting() == {"ns": 10}
        assert await store.journal.take("ns", 9, 10) == []
        assert await store.journal.take("ns", 20, 2) == [waiting(2, 10, 1), waiting(4, 10, 1)]
        assert await store.journal.waiting() == {"ns": 20}
        assert await store.journal.take("ns", 20, 2) == [waiting(3, 20, 1)]
        assert await store.journal.take("ns", 20, 2) == []
        assert await store.journal.waiting() == {"ns": 30}
        assert len(await store.journal.pending()) == 5

    session(body)


def test_the_work_of_each_namespace_waits_for_itself(session: Session) -> None:
    async def body(store: Any) -> None:
        others = [waiting(number, number, namespace=f"n{number}") for number in (9, 7, 8)]
        await let_wait(store, waiting(1, 30), *others, waiting(2, 10))
        assert await store.journal.waiting() == {"ns": 10, "n7": 7, "n8": 8, "n9": 9}
        assert [entry.due_ms for entry in await store.journal.take("ns", 50, 10)] == [10, 30]
        assert await store.journal.take("nobody", 50, 10) == []
        assert await store.journal.waiting() == {"n7": 7, "n8": 8, "n9": 9}

    session(body)


def test_nothing_is_taken_twice_however_many_ask(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, *(waiting(number, 0) for number in range(1, 31)))
        pages = await asyncio.gather(*(store.journal.take("ns", 0, 5) for _ in range(10)))
        taken = [entry.activation_id for page in pages for entry in page]
        assert sorted(taken) == [f"{number:032x}" for number in range(1, 31)]

    session(body)


def test_what_is_appended_again_takes_the_place_of_what_was_there(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"first", namespace="ns")
        await let_wait(store, Entry(f"{1:032x}", "ns", b"second", 7, 1))
        assert await store.journal.pending() == {f"{1:032x}": b"second"}
        assert await store.journal.take("ns", 7, 10) == [Entry(f"{1:032x}", "ns", b"second", 7, 2)]

    session(body)


def test_what_was_in_the_hands_of_those_who_are_no_more_can_be_taken_and_is_counted(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await let_wait(store, waiting(2, 5), waiting(3, 50))
        await store.journal.take("ns", 5, 10)

    async def afterwards(store: Any) -> None:
        await store.journal.append(f"{4:032x}", b"in the hands of one who is there", namespace="ns")
        await store.journal.release()
        taken = await store.journal.take("ns", 5, 10)
        assert [(entry.message, entry.attempts) for entry in taken] == [(b"message 1", 2), (b"message 2", 2)]
        assert await store.journal.waiting() == {"ns": 50}

    session(body)
    session(afterwards)


def test_what_is_given_back_counts_as_not_taken(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await store.journal.give_back(f"{1:032x}")
        await store.journal.give_back(f"{1:032x}")
        await store.journal.give_back(f"{2:032x}")
        [entry] = await store.journal.take("ns", 0, 10)
        assert (entry.message, entry.attempts) == (b"message 1", 1)

    session(body)


def test_an_entry_is_there_until_it_is_settled(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await let_wait(store, waiting(2, 5))
        assert [await store.journal.has(f"{number:032x}") for number in (1, 2, 3)] == [True, True, False]
        await store.journal.settle(Settlement(stored(activation(1))))
        assert not await store.journal.has(f"{1:032x}")

    session(body)


def test_what_is_dropped_is_forgotten(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, waiting(1, 5))
        await store.journal.drop(f"{1:032x}")
        assert await store.journal.pending() == {}
        assert await store.journal.waiting() == {}

    session(body)


def letter(number: int, namespace: str = "ns") -> Letter:
    return Letter(f"{number:032x}", namespace, b'{"n":%d}' % number, b"message %d" % number)


def test_a_settlement_leaves_the_record_and_what_follows_and_no_entry(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        settlement = Settlement(stored(activation(1)), waiting(2, 5), letter(1))
        assert await store.journal.settle(settlement) == 0
        assert await store.activations.read("ns", f"{1:032x}") is not None
        assert await store.journal.pending() == {f"{2:032x}": b"message 2"}
        assert await store.journal.take("ns", 5, 10) == [waiting(2, 5, 1)]
        assert await store.dead_letters.read("ns", f"{1:032x}") == letter(1)

    session(body)


def test_of_an_activation_that_is_settled_twice_the_first_time_counts(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await store.activations.put(stored(activation(1, name="first")), settles=True)
        await store.activations.count("ns", Filter())  # all that was put is where it can be found
        await store.journal.settle(Settlement(stored(activation(1, name="second")), waiting(2, 5), letter(1)))
        record = await store.activations.read("ns", f"{1:032x}")
        assert msgspec.json.decode(record)["name"] == "first"
        assert await store.journal.pending() == {}
        assert await store.dead_letters.count("ns") == 0

    session(body)


async def bury(store: Any, *letters: Letter) -> int:
    """How many others had to go."""
    await asyncio.gather(
        *(store.journal.append(one.activation_id, one.message, namespace=one.namespace) for one in letters)
    )
    records = [stored(activation(int(one.activation_id, 16), namespace=one.namespace)) for one in letters]
    settlements = [Settlement(record, None, one) for record, one in zip(records, letters, strict=True)]
    return sum(await asyncio.gather(*(store.journal.settle(settlement) for settlement in settlements)))


def test_dead_letters_are_listed_by_namespace_latest_first_and_can_be_deleted(session: Session) -> None:
    async def body(store: Any) -> None:
        await bury(store, letter(3), letter(1), letter(2), letter(9, "other"))
        assert await store.dead_letters.list("ns", skip=0, limit=10) == [b'{"n":2}', b'{"n":1}', b'{"n":3}']
        assert await store.dead_letters.list("ns", skip=1, limit=1) == [b'{"n":1}']
        assert await store.dead_letters.count("ns") == 3
        assert await store.dead_letters.read("ns", f"{9:032x}") is None
        assert not await store.dead_letters.delete("ns", f"{9:032x}")
        assert await store.dead_letters.delete("ns", f"{1:032x}")
        assert not await store.dead_letters.delete("ns", f"{1:032x}")
        assert await store.dead_letters.count("ns") == 2
        assert await store.dead_letters.count("other") == 1

    session(body)


def test_a_dead_letter_is_revived_once(session: Session) -> None:
    async def body(store: Any) -> None:
        await bury(store, letter(1))
        revived = [await store.dead_letters.revive(letter(1), waiting(number, 0)) for number in (2, 3)]
        assert revived == [True, False]
        assert await store.journal.pending() == {f"{2:032x}": b"message 2"}
        assert await store.journal.take("ns", 10, 10) == []
        assert await store.dead_letters.count("ns") == 0

    session(body)


def test_of_too_many_dead_letters_the_oldest_of_the_namespace_goes(session: Session) -> None:
    async def body(store: Any) -> None:
        await bury(store, letter(5_000, "other"))
        assert await bury(store, *(letter(number) for number in range(1, MAX_DEAD_LETTERS + 1))) == 0
        assert await bury(store, letter(2_000)) == 1
        assert await store.dead_letters.count("ns") == MAX_DEAD_LETTERS
        assert await store.dead_letters.read("ns", f"{1:032x}") is None
        assert await store.dead_letters.read("ns", f"{2:032x}") is not None
        assert await store.dead_letters.count("other") == 1

    session(body)


def test_the_dead_letters_and_the_waiting_work_of_a_namespace_go_with_it(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.identities.put(new_identity("ns"))
        await let_wait(store, waiting(8, 1), waiting(9, 1, namespace="other"))
        await bury(store, letter(1), letter(2, "other"))
        await store.identities.delete("ns")
        assert [await store.dead_letters.count(namespace) for namespace in ("ns", "other")] == [0, 1]
        assert await store.journal.pending() == {f"{9:032x}": b"message 9"}

    session(body)


def test_identities_are_found_by_key_and_by_namespace(session: Session) -> None:
    async def body(store: Any) -> None:
        one, other = new_identity("one"), new_identity("other")
        await store.identities.put(one)
        await store.identities.put(other)
        assert await store.identities.by_uuid(one.uuid) == one
        assert await store.identities.by_namespace("other") == other
        assert await store.identities.all() == [one, other]
        replaced = msgspec.structs.replace(one, uuid="new", blocked=True)
        await store.identities.put(replaced)
        assert await store.identities.by_uuid(one.uuid) is None
        assert await store.identities.by_uuid("new") == replaced

    session(body)


def test_deleting_an_identity_deletes_all_of_its_namespace(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.identities.put(new_identity("ns"))
        [revision] = await store.artifacts.write([Put(action("a"), None)])
        await store.artifacts.write([Put(action("a", "other"), None)])
        await store.activations.put(stored(activation(1)))
        await store.activations.put(stored(activation(2, namespace="other")))
        await store.ledger("alarms").put("ns/t", b"1")
        await store.ledger("alarms").put("ns2/t", b"2")
        await store.identities.delete("ns")
        assert await store.identities.by_namespace("ns") is None
        assert await store.artifacts.list(Action, "ns") == []
        assert await store.artifacts.read("ns/a") is None
        assert await store.artifacts.read_code("ns/a", revision) is None
        assert await store.activations.count("ns", Filter()) == 0
        assert await store.artifacts.count(Action, "other") == 1
        assert await store.activations.count("other", Filter()) == 1
        assert await store.ledger("alarms").load() == [("ns2/t", b"2")]

    session(body)


def test_ledgers_of_two_providers_are_apart(session: Session) -> None:
    async def body(store: Any) -> None:
        alarms, other = store.ledger("alarms"), store.ledger("other")
        await alarms.put("k", b"1")
        await alarms.put("k", b"2")
        await other.put("k", b"3")
        assert await alarms.load() == [("k", b"2")]
        await alarms.delete("k")
        assert await alarms.load() == []
        assert await other.load() == [("k", b"3")]

    session(body)
