"""The header Idempotency-Key on invocations and fires: one activation for all requests that mean the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sabayon.controller.awaiting import LOOK_AGAIN_S
from sabayon.controller.pruning import BATCH, prune_for_ever
from sabayon.entity.limits import NamespaceLimits
from sabayon.store.base import KEPT_MS, Claim
from sabayon.store.memory import MemoryActivations, MemoryKeys
from tests.unit.asgi import Answer
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, on_stage, on_stage_with

KEY = {"Idempotency-Key": "order-17"}
ANOTHER = "The Idempotency-Key was used for another request: its payload or its options differ."


async def invoke(stage: Stage, name: str = "a", json: Any = None, query: str = "", **rest: Any) -> Answer:
    """An invocation with the key."""
    return await stage.invoke(name, {} if json is None else json, query, **{"headers": KEY, **rest})


def id_of(answer: Answer) -> str:
    return answer.headers["x-openwhisk-activation-id"]


@on_stage
async def test_the_same_key_gives_the_first_activation_whoever_waits_for_it(stage: Stage) -> None:
    await stage.action("acme/a", {"done": 1})
    first = await invoke(stage)
    again = await invoke(stage)
    blocking = await invoke(stage, query="blocking=true")
    result = await invoke(stage, query="blocking=true&result=true&timeout=1000")
    assert [answer.status for answer in (first, again, blocking, result)] == [202, 202, 200, 200]
    assert again.json == first.json
    assert {id_of(answer) for answer in (first, again, blocking, result)} == {first.json["activationId"]}
    assert result.json == {"done": 1}
    assert stage.bus.ran() == ["a"]


@on_stage
async def test_a_blocking_answer_is_the_same_with_and_without_a_key(stage: Stage) -> None:
    await stage.action("acme/a", {"done": 1})
    await stage.action("acme/fails", {"error": "x"})
    await stage.sequence("acme/s", "/acme/a")
    for name in ("a", "fails", "s"):
        for query in ("blocking=true", "blocking=true&result=true"):
            plain, keyed = await stage.invoke(name, {}, query), await invoke(stage, name, query=query)
            assert keyed.status == plain.status
            assert shape_of(keyed) == shape_of(plain)
            assert (await invoke(stage, name, query=query)).body == keyed.body


def shape_of(answer: Answer) -> Any:
    """The answer without what differs between two activations."""
    changing = {"activationId", "annotations", "end", "start", "logs"}
    fields = {key: value for key, value in answer.json.items() if key not in changing}
    return fields, list(answer.json), len(answer.json.get("logs", ()))


@on_stage_with(own=NamespaceLimits(concurrent_invocations=2))
async def test_500_at_once_are_one_activation_with_one_result_and_take_one_place(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold({"done": 1}))
    all_ = asyncio.gather(*(invoke(stage, query="blocking=true&result=true") for _ in range(500)))
    await stage.bus.dispatches(1)
    hold.release.set()
    answers = await all_
    assert {(answer.status, answer.body, id_of(answer)) for answer in answers} == {
        (200, b'{"done":1}', stage.bus.messages[0].activation_id)
    }
    assert stage.bus.ran() == ["a"]


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_a_retry_needs_no_place_while_the_first_one_still_has_it(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    first = await invoke(stage)
    assert (await invoke(stage)).json == first.json
    assert (await invoke(stage, query="blocking=true&timeout=1")).status == 202
    assert (await stage.invoke("a", {}, "")).status == 429
    hold.release.set()
    await stage.services.running.drain()
    assert (await stage.invoke("a", {}, "")).status == 202


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_two_controllers_on_one_store_agree_and_the_one_that_came_late_keeps_no_place(stage: Stage) -> None:
    other = Stage(stage.services.limits, stage.acme.limits, store=stage.store)
    other.acme = stage.acme
    for one in (stage, other):
        one.bus.scripts["acme/a"] = {"done": 1}
    await stage.action("acme/a")
    asked = [invoke(one, query="blocking=true&result=true") for one in (stage, other) * 50]
    answers = await asyncio.gather(*asked)
    assert {(answer.status, answer.body) for answer in answers} == {(200, b'{"done":1}')}
    assert len({id_of(answer) for answer in answers}) == 1
    assert len(stage.bus.messages) + len(other.bus.messages) == 1
    assert [(await one.invoke("a", {}, "")).status for one in (stage, other)] == [202, 202]
    await other.services.running.drain()


@on_stage
async def test_another_payload_or_other_options_are_a_conflict(stage: Stage) -> None:
    await stage.action("acme/a")
    await invoke(stage, json={"n": 1})
    for answer in (await invoke(stage, json={"n": 2}), await invoke(stage, json={"n": 1}, query="delay=5")):
        assert (answer.status, answer.error) == (409, ANOTHER)
    assert stage.bus.ran() == ["a"]


@on_stage
async def test_an_empty_body_and_an_empty_object_are_the_same_payload(stage: Stage) -> None:
    await stage.action("acme/a")
    assert (await invoke(stage)).json == (await stage.request("POST", "_/actions/a", headers=KEY)).json


@on_stage
async def test_a_key_is_one_targets_and_one_namespaces(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    for id in ("acme/a", "acme/b", "acme/p/a"):
        await stage.action(id)
    await stage.trigger("acme/a2", r=("acme/a", "active"))
    answers = [await invoke(stage, name) for name in ("a", "b", "p/a")]
    answers.append(await stage.request("POST", "acme/actions/p/a", {}, headers=KEY, by=stage.other))
    answers.append(await stage.fire("a2", {}, headers=KEY))
    assert [answer.status for answer in answers] == [202] * 5
    assert len({id_of(answer) for answer in answers}) == 5


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\x7fb", "\x00"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    @on_stage
    async def scenario(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.trigger("acme/t", r=("acme/a", "active"))
        for path in ("_/actions/a", "_/triggers/t"):
            answer = await stage.request("POST", path, {}, headers={"Idempotency-Key": key})
            assert answer.status == 400
            assert answer.error == "The Idempotency-Key must have 1 to 255 bytes and no control characters."
        assert not stage.bus.messages

    scenario()


@on_stage
async def test_the_longest_key_and_one_that_is_no_ascii_are_taken(stage: Stage) -> None:
    await stage.action("acme/a")
    for key in ("x" * 255, "clé".encode().decode("latin-1")):
        headers = {"Idempotency-Key": key}
        ids = {id_of(await invoke(stage, headers=headers)) for _ in range(2)}
        assert len(ids) == 1


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_what_was_refused_has_not_taken_the_key(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    await stage.invoke("a", {}, "")
    assert (await invoke(stage)).status == 429
    hold.release.set()
    await stage.services.running.drain()
    assert (await invoke(stage, "gone")).status == 404
    assert (await stage.request("POST", "_/actions/a", body=b"[", headers=KEY)).status == 415
    for name in ("a", "gone"):
        assert await stage.store.keys.find("acme", f"actions/acme/{name}", KEY["Idempotency-Key"], START_MS) is None
    assert (await invoke(stage, json={"n": 1})).status == 202


@on_stage
async def test_what_was_deleted_since_is_still_known_by_its_key(stage: Stage) -> None:
    await stage.action("acme/a", {"done": 1})
    first = await invoke(stage)
    await stage.request("DELETE", "_/actions/a")
    assert (await invoke(stage)).json == first.json
    assert (await invoke(stage, query="blocking=true&result=true")).json == {"done": 1}


@on_stage
async def test_what_ends_while_its_record_is_looked_for_is_answered_at_once(stage: Stage) -> None:
    hold = Hold({"done": 1})

    class Slow(MemoryActivations):
        """Reads what was there before the activation ended."""

        async def read(self, namespace: str, activation_id: str) -> bytes | None:
            found = await super().read(namespace, activation_id)
            hold.release.set()
            await stage.services.running.drain()
            return found

    stage.store.activations = Slow(stage.store.journal)
    stage = await Stage(stage.services.limits, NamespaceLimits(), store=stage.store).open()
    await stage.action("acme/a", hold)
    answer = await asyncio.wait_for(invoke(stage, query="blocking=true&result=true"), LOOK_AGAIN_S / 2)
    assert answer.json == {"done": 1}


@on_stage
async def test_what_was_cancelled_stays_cancelled(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    first = await invoke(stage)
    await stage.request("DELETE", f"_/activations/{first.json['activationId']}")
    again = await invoke(stage, query="blocking=true&result=true")
    assert (again.status, again.json) == (502, {"error": "The activation was cancelled."})


@on_stage
async def test_after_a_day_the_key_is_free(stage: Stage) -> None:
    await stage.action("acme/a")
    claim = Claim("acme", "actions/acme/a", "order-17", b"other", "f" * 32, START_MS - KEPT_MS)
    await stage.store.keys.claim(claim, b"{}")
    assert (await invoke(stage)).status == 202
    assert stage.bus.ran() == ["a"]


@on_stage_with(own=NamespaceLimits(store_activations=False))
async def test_where_no_records_are_kept_a_key_is_refused_rather_than_ignored(stage: Stage) -> None:
    await stage.action("acme/a")
    answer = await invoke(stage)
    assert answer.status == 400
    assert answer.error == "The Idempotency-Key cannot be honoured: this namespace keeps no activation records."


@on_stage
async def test_a_trigger_is_fired_once_for_a_key(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    answers = await asyncio.gather(*(stage.request("POST", "_/triggers/t", {}, headers=KEY) for _ in range(50)))
    await stage.services.running.drain()
    assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
    assert stage.bus.ran() == ["a"]
    other = await stage.fire("t", {"n": 2}, headers=KEY)
    assert (other.status, other.error) == (409, ANOTHER)


@on_stage
async def test_a_fire_that_starts_nothing_takes_no_key(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t")
    assert (await stage.fire("t", {}, headers=KEY)).status == 204
    assert await stage.store.keys.find("acme", "triggers/acme/t", KEY["Idempotency-Key"], START_MS) is None


@on_stage
async def test_old_keys_are_forgotten_in_batches_from_the_start_on(stage: Stage) -> None:
    pruned = asyncio.Queue[int]()

    class Watched(MemoryKeys):
        async def prune(self, now_ms: int, most: int) -> int:
            pruned.put_nowait(count := await super().prune(now_ms, most))
            return count

    keys = Watched(stage.store.journal)
    for number in range(BATCH + 2):
        await keys.claim(Claim("acme", "t", f"k{number}", b"", "f" * 32, number), b"")
    pruning = asyncio.create_task(prune_for_ever(keys, lambda: KEPT_MS + BATCH))
    assert [await pruned.get(), await pruned.get()] == [BATCH, 1]
    pruning.cancel()
