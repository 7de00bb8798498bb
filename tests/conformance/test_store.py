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
from sabayon.store.base import KEPT_MS, Claim, Delete, Filter, Put
from sabayon.store.memory import MemoryStore
from sabayon.store.sqlite import SqliteStore

Session = Callable[[Callable[[Any], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    """Runs a coroutine function with an open store of the driver under test."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "test.db")
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
            await store.journal.append(f"{number:032x}", b"message %d" % number)
        await store.activations.put(stored(activation(1)), settles=True)
        await store.activations.put(stored(activation(2)))
        assert await store.journal.pending() == {f"{3:032x}": b"message 3", f"{2:032x}": b"message 2"}
        assert list(await store.journal.pending()) == [f"{3:032x}", f"{2:032x}"]

    session(body)


def claim(number: int, *, namespace: str = "ns", target: str = "actions/ns/a", key: str = "k", at: int = 1) -> Claim:
    return Claim(namespace, target, key, b"fingerprint %d" % number, f"{number:032x}", at)


def test_the_first_claim_of_a_key_has_it_and_what_it_stands_for_is_in_the_journal(session: Session) -> None:
    async def body(store: Any) -> None:
        first = claim(1)
        assert await store.keys.find("ns", "actions/ns/a", "k", 1) is None
        assert await store.keys.claim(first, b"one") is None
        assert await store.keys.claim(claim(2, at=2), b"two") == first
        assert await store.keys.find("ns", "actions/ns/a", "k", 2) == first
        assert await store.journal.pending() == {first.activation_id: b"one"}

    session(body)


def test_of_many_claims_at_once_one_wins_and_all_others_are_told_of_it(session: Session) -> None:
    async def body(store: Any) -> None:
        wanted = [claim(number) for number in range(100)]
        found = await asyncio.gather(*(store.keys.claim(one, b"m") for one in wanted))
        (winner,) = [one for one, earlier in zip(wanted, found, strict=True) if earlier is None]
        assert set(found) == {None, winner}
        assert list(await store.journal.pending()) == [winner.activation_id]

    session(body)


def test_the_same_key_for_another_target_or_of_another_namespace_is_another_key(session: Session) -> None:
    async def body(store: Any) -> None:
        others = [claim(1), claim(2, target="triggers/ns/a"), claim(3, namespace="other"), claim(4, key="K")]
        assert [await store.keys.claim(one, b"m") for one in others] == [None] * 4
        for one in others:
            assert await store.keys.find(one.namespace, one.target, one.key, 1) == one

    session(body)


def test_a_claim_holds_for_a_day(session: Session) -> None:
    async def body(store: Any) -> None:
        first, late, next_day = claim(1), claim(2, at=KEPT_MS), claim(3, at=KEPT_MS + 1)
        await store.keys.claim(first, b"m")
        assert await store.keys.claim(late, b"m") == first
        assert await store.keys.find("ns", "actions/ns/a", "k", KEPT_MS + 1) is None
        assert await store.keys.claim(next_day, b"m") is None
        assert await store.keys.find("ns", "actions/ns/a", "k", KEPT_MS + 1) == next_day

    session(body)


def test_claims_that_hold_no_longer_are_forgotten_so_many_at_a_time(session: Session) -> None:
    async def body(store: Any) -> None:
        for number in range(5):
            await store.keys.claim(claim(number, key=f"k{number}", at=number), b"m")
        now = KEPT_MS + 3
        assert [await store.keys.prune(now, 3) for _ in range(3)] == [3, 1, 0]
        assert [bool(await store.keys.find("ns", "actions/ns/a", f"k{n}", 5)) for n in range(5)] == [False] * 4 + [True]

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
        await store.keys.claim(claim(1), b"m")
        await store.keys.claim(claim(2, namespace="other"), b"m")
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
        found = [await store.keys.find(namespace, "actions/ns/a", "k", 1) for namespace in ("ns", "other")]
        assert found == [None, claim(2, namespace="other")]

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
