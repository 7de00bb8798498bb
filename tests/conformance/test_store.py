"""What the store ports promise, asked of every driver."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from sabayon.entity.action import Action
from sabayon.entity.activation import stored
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity
from sabayon.entity.package import Binding, Package
from sabayon.entity.trigger import Trigger
from sabayon.errors import Conflict
from sabayon.store.base import Delete, Filter, Put
from sabayon.store.counting import DAY_MS, HOUR_MS
from tests.conformance.store_session import Session, activation
from tests.conformance.test_store_keys import claim


def action(name: str, namespace: str = "ns", *, updated: int = 1, code: str | None = "code") -> Action:
    exec_ = Exec(kind="python:3.11", binary=False, code=UNSET if code is None else code)
    return Action(name=name, namespace=namespace, exec=exec_, updated=updated, version="0.0.1")


def package(name: str, namespace: str = "ns", **fields: Any) -> Package:
    return Package(name=name, namespace=namespace, updated=1, version="0.0.1", **fields)


def trigger(name: str, namespace: str = "ns", updated: int = 1) -> Trigger:
    return Trigger(name=name, namespace=namespace, updated=updated, version="0.0.1")


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


def test_counts_are_exact_whatever_minutes_hours_and_days_they_span(session: Session) -> None:
    starts = [0, 59_999, 60_000, HOUR_MS - 1, HOUR_MS, HOUR_MS + 90_000, DAY_MS - 1, DAY_MS, DAY_MS + 1, 3 * DAY_MS]

    async def body(store: Any) -> None:
        for number, start in enumerate(starts):
            await store.activations.put(stored(activation(number, start=start, name="ab"[number % 2])))
        await store.activations.put(stored(activation(0, start=7)))  # an id that is known is not counted again
        for since in (None, *starts):
            for upto in (None, *starts):
                wanted = [s for s in starts if (since is None or s >= since) and (upto is None or s <= upto)]
                assert await store.activations.count("ns", Filter(since=since, upto=upto)) == len(wanted)
        assert await store.activations.count("ns", Filter(name="a", since=60_000, upto=DAY_MS)) == 3
        assert await store.activations.count("ns", Filter(name="nothing")) == 0

    session(body)


def test_a_list_may_begin_far_from_the_newest_record(session: Session) -> None:
    starts = [number * 1_700 for number in range(2_400)]  # more than an hour, several in a minute

    async def body(store: Any) -> None:
        records = [stored(activation(n, start=start, name="ab"[n % 2])) for n, start in enumerate(starts)]
        await asyncio.gather(*(store.activations.put(record) for record in records))
        for filter in (
            Filter(),
            Filter(name="a"),
            Filter(since=60_000, upto=3_900_000),
            Filter("b", 60_000, 4_000_000),
        ):
            wanted = [
                record.start for record in reversed(records)
                if filter.name in (None, record.name_filter)
                and (filter.since or 0) <= record.start <= (filter.upto or DAY_MS)
            ]  # fmt: skip
            for skip in (999, 1_000, 1_001, 1_033, 1_180, 2_100, 2_399, 2_400, 9_999_999):
                found = await store.activations.list("ns", filter, skip=skip, limit=3)
                assert [msgspec.json.decode(item)["start"] for item in found] == wanted[skip : skip + 3]

    session(body)


def test_pruning_removes_whole_days_that_have_passed(session: Session) -> None:
    async def body(store: Any) -> None:
        kept = [2 * DAY_MS, 2 * DAY_MS + 1, 3 * DAY_MS]
        for number, start in enumerate([1, DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, *kept]):
            await store.activations.put(stored(activation(number, start=start, namespace=("ns", "other")[number % 2])))
        await store.activations.prune(2 * DAY_MS + HOUR_MS)
        left = [
            msgspec.json.decode(summary)["start"]
            for namespace in ("ns", "other")
            for summary in await store.activations.list(namespace, Filter(), skip=0, limit=9)
        ]
        assert sorted(left) == kept
        assert sum([await store.activations.count(n, Filter()) for n in ("ns", "other")]) == len(kept)
        assert await store.activations.read("ns", f"{0:032x}") is None

    session(body)


def test_more_old_records_than_one_step_removes_are_all_pruned(session: Session) -> None:
    async def body(store: Any) -> None:
        await asyncio.gather(*(store.activations.put(stored(activation(n, start=n))) for n in range(1_000)))
        await store.activations.put(stored(activation(1_000, start=DAY_MS)))
        await store.activations.prune(DAY_MS)
        assert await store.activations.count("ns", Filter()) == 1
        assert len(await store.activations.list("ns", Filter(), skip=0, limit=200)) == 1

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


def test_a_document_of_a_ledger_is_replaced_by_who_knows_it(session: Session) -> None:
    async def body(store: Any) -> None:
        ledger = store.ledger("alarms")
        assert await ledger.get("k") is None
        assert not await ledger.replace("k", b"", b"1")
        await ledger.put("k", b"1")
        outcomes = await asyncio.gather(*(ledger.replace("k", b"1", b"2") for _ in range(5)))
        assert sorted(outcomes) == [False] * 4 + [True]
        assert not await ledger.replace("k", b"1", b"3")
        assert await ledger.get("k") == b"2"
        assert await store.ledger("other").get("k") is None

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
