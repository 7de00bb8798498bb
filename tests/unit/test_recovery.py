"""What a platform that was killed had accepted is taken up by the next one."""

from __future__ import annotations

import dataclasses
from typing import Any

from msgspec import Raw

from sabayon.controller.journal import recover
from sabayon.controller.pending import PendingFire, encode_pending
from sabayon.entity.limits import NamespaceLimits, SystemLimits
from sabayon.entity.trigger import Trigger
from sabayon.store.memory import MemoryJournal
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, annotation, on_stage

FIRE = "f" * 32


def killed(stage: Stage) -> Stage:
    """The platform as it starts again on what the killed one had stored."""
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
    await recover(again.services)
    await again.services.running.drain()
    assert (await again.record(activation_id))["response"]["result"] == {"done": True}
    assert again.bus.messages == stage.bus.messages
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
    await recover(again.services)
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
    document = await stage.store.artifacts.read("acme/t")
    assert document is not None
    assert isinstance(document.entity, Trigger)
    fire = PendingFire(
        accepted_ms=START_MS,
        activation_id=FIRE,
        headers={"authorization": "Basic x"},
        identity=stage.acme,
        payload=Raw(b'{"x":1}'),
        transaction_id="t",
        trigger=document.entity,
    )
    await stage.store.journal.append(FIRE, encode_pending(fire))
    await recover(stage.services)
    await stage.services.running.drain()
    record = await stage.record(FIRE)
    assert (record["name"], len(record["logs"]), record["start"]) == ("t", 1, START_MS)
    assert stage.bus.arguments() == {"p": 1, "x": 1, "__ow_headers": {"authorization": "Basic x"}}
    assert not await stage.store.journal.pending()


@on_stage
async def test_what_is_in_flight_or_has_its_record_is_left_alone(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    activation_id = await accepted(stage, "_/actions/a", {})
    entry = (await stage.store.journal.pending())[activation_id]
    await recover(stage.services)
    assert stage.bus.ran() == ["a"]
    hold.release.set()
    await stage.services.running.drain()
    await stage.store.journal.append(activation_id, entry)
    await recover(stage.services)
    assert stage.bus.ran() == ["a"]


@on_stage
async def test_an_entry_that_cannot_be_read_does_not_hide_the_others(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    activation_id = await accepted(stage, "_/actions/a", {})
    (entry,) = (await stage.store.journal.pending()).values()
    again = killed(stage)
    again.store.journal = MemoryJournal()
    for key, value in ((FIRE, b'{"kind":"future"}'), (activation_id, entry)):
        await again.store.journal.append(key, value)
    again.services = dataclasses.replace(again.services, journal=again.store.journal)
    await recover(again.services)
    assert again.bus.ran() == ["a"]
    hold.release.set()
    again.bus.scripts.clear()
    await again.services.running.drain()
