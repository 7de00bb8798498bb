"""What a platform that was killed had accepted is taken up by the next one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from msgspec import Raw

from sabayon.delivery.pending import PendingFire, encode_pending
from sabayon.entity.delivery import History
from sabayon.entity.limits import NamespaceLimits, SystemLimits
from sabayon.entity.trigger import Trigger
from sabayon.errors import StoreUnavailable
from sabayon.store.memory import MemoryJournal, MemoryStore
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, annotation, on_stage

FIRE = "f" * 32


def killed(stage: Stage) -> Stage:
    """The platform as it starts again on what the killed one had stored."""
    stage.store.journal.close()
    again = Stage(SystemLimits(), NamespaceLimits(), store=stage.store)
    again.acme, again.other = stage.acme, stage.other
    return again


async def accepted(stage: Stage, path: str, json: Any) -> str:
    answer = await stage.request("POST", path, json)
    assert answer.status == 202
    activation_id: str = answer.json["activationId"]
    return activation_id


@on_stage
async def test_an_accepted_action_runs_again_with_the_same_arguments_and_id(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold(), parameters={"p": 1, "TOKEN": "s"}, init=("TOKEN",))
    activation_id = await accepted(stage, "_/actions/a", {"x": 1.50})
    again = killed(stage)
    again.bus.scripts["acme/a"] = {"done": True}
    await again.take_up()
    await again.close()
    record = await again.record(activation_id)
    assert record["response"]["result"] == {"done": True}
    assert annotation(record, "attempts") == 2
    second = History(attempt=2)
    assert again.bus.messages == [msgspec.structs.replace(m, history=second) for m in stage.bus.messages]
    assert not await again.store.journal.pending()
    hold.release.set()


@on_stage
async def test_an_interrupted_sequence_ends_with_a_record_that_says_so(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await stage.action("acme/a", hold := Hold())
    await stage.sequence("acme/p/s", "/acme/a")
    activation_id = await accepted(stage, "_/actions/b/s", {})
    again = killed(stage)
    await again.take_up()
    await again.close()
    record = await again.record(activation_id)
    assert record["response"] == {
        "result": {"error": "The platform stopped before the action finished."},
        "status": "whisk internal error",
        "success": False,
    }
    assert (annotation(record, "path"), annotation(record, "binding")) == ("acme/p/s", "acme/b")
    assert not again.bus.messages
    assert not await again.store.journal.pending()
    hold.release.set()


@on_stage
async def test_a_fire_without_a_record_is_fired_again(stage: Stage) -> None:
    await stage.action("acme/a", lambda args: args)
    await stage.trigger("acme/t", {"p": 1}, r=("acme/a", "active"))
    fire = await fire_of(stage, "acme/t")
    await stage.store.journal.append(FIRE, encode_pending(fire), namespace="acme", due_ms=START_MS)
    await stage.take_up()
    await stage.services.running.drain()
    record = await stage.record(FIRE)
    assert (record["name"], len(record["logs"]), record["start"]) == ("t", 1, START_MS)
    assert stage.bus.arguments() == {"p": 1, "x": 1, "__ow_headers": {"authorization": "Basic x"}}
    assert not await stage.store.journal.pending()


@on_stage
async def test_of_a_fire_that_is_run_again_nothing_is_invoked_twice(stage: Stage) -> None:
    await stage.action("acme/quick")
    await stage.action("acme/slow", hold := Hold())
    await stage.trigger("acme/t", q=("acme/quick", "active"), s=("acme/slow", "active"))
    fire = encode_pending(await fire_of(stage, "acme/t"))
    await stage.store.journal.append(FIRE, fire, namespace="acme", due_ms=START_MS)
    await stage.take_up()
    await stage.bus.dispatches(2)
    await stage.store.journal.append(FIRE, fire, namespace="acme")  # killed before the fire had its record
    again = killed(stage)
    await again.take_up()
    await again.close()
    assert again.bus.ran() == ["slow"]
    assert (await again.request("GET", "_/activations?count=true")).json == {"activations": 3}
    hold.release.set()


async def fire_of(stage: Stage, trigger: str) -> PendingFire:
    """As it is when `trigger` has been fired."""
    document = await stage.store.artifacts.read(trigger)
    assert document is not None
    assert isinstance(document.entity, Trigger)
    return PendingFire(
        accepted_ms=START_MS,
        activation_id=FIRE,
        headers={"authorization": "Basic x"},
        identity=stage.acme,
        payload=Raw(b'{"x":1}'),
        transaction_id="t",
        trigger=document.entity,
    )


@on_stage
async def test_what_is_accepted_while_the_journal_is_taken_up_runs_once(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    await stage.action("acme/b")
    await stage.take_up()
    await accepted(stage, "_/actions/a", {})
    await accepted(stage, "_/actions/b?delay=60", {})
    stage.bus.let_pass(60_000)
    stage.services.agenda.call()
    await stage.bus.dispatches(2)
    assert stage.bus.ran() == ["a", "b"]
    hold.release.set()


@on_stage
async def test_an_entry_that_cannot_be_read_does_not_hide_the_others(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    activation_id = await accepted(stage, "_/actions/a", {})
    await stage.store.journal.append(FIRE, b'{"kind":"future"}', namespace="acme", due_ms=0)
    again = killed(stage)
    await again.take_up()
    await again.bus.dispatches(1)
    assert again.bus.ran() == ["a"]
    hold.release.set()
    again.bus.scripts.clear()
    assert activation_id in await again.store.journal.pending()


class FullJournal(MemoryJournal):
    """Takes nothing but fires while `is_full`; `refused` is set when it has not taken something."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.refused = asyncio.Event()

    async def append(self, activation_id: str, message: bytes, **rest: Any) -> None:
        if self.is_full and b'"kind":"trigger"' not in message:
            self.refused.set()
            raise StoreUnavailable("the disk is full")
        await super().append(activation_id, message, **rest)


@on_stage
async def test_a_fire_that_was_accepted_before_the_disk_was_full_is_run_when_there_is_room(_: Stage) -> None:
    journal = FullJournal()
    stage = await Stage(SystemLimits(), NamespaceLimits(), store=MemoryStore(journal)).open()
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    await stage.take_up()
    journal.is_full = True
    fire_id = await accepted(stage, "_/triggers/t", {"x": 1})
    await journal.refused.wait()
    assert not stage.bus.messages
    journal.is_full = False
    await stage.bus.dispatches(1)
    await stage.close()
    assert stage.bus.ran() == ["a"]
    assert [json.loads(line)["success"] for line in (await stage.record(fire_id))["logs"]] == [True]
