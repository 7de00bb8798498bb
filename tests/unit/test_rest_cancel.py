"""DELETE on activations: what is stopped, what is not, and what the records say."""

from __future__ import annotations

import asyncio
from typing import Any

from sabayon.entity.limits import NamespaceLimits
from tests.unit.scripted_bus import Hold
from tests.unit.stage import Stage, annotation, on_stage, on_stage_with

UNKNOWN = "0" * 32
CANCELLED = {
    "result": {"error": "The activation was cancelled."},
    "status": "application error",
    "success": False,
}
FINISHED = "The activation has finished already."


async def start(stage: Stage, name: str, payload: Any = None) -> str:
    """An activation that was accepted and has begun."""
    answer = await stage.invoke(name, payload, "")
    assert answer.status == 202
    await stage.bus.dispatches(1)
    activation_id: str = answer.json["activationId"]
    return activation_id


@on_stage
async def test_what_runs_is_stopped_and_answered_with_its_record(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    activation_id = await start(stage, "a")
    answer = await stage.request("DELETE", f"_/activations/{activation_id}")
    assert (answer.status, answer.json["response"]) == (200, CANCELLED)
    assert annotation(answer.json, "cancelled") is True
    assert await stage.record(activation_id) == answer.json
    assert not await stage.store.journal.pending()


@on_stage
async def test_who_waits_for_the_result_gets_the_record(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    waiting = asyncio.create_task(stage.invoke("a"))
    await stage.bus.dispatches(1)
    await stage.request("DELETE", f"_/activations/{stage.bus.messages[0].activation_id}")
    answer = await waiting
    assert (answer.status, answer.json["response"]) == (502, CANCELLED)


@on_stage
async def test_what_has_finished_is_a_conflict_that_says_so(stage: Stage) -> None:
    await stage.action("acme/a")
    record = await stage.blocking_record("a")
    for _ in range(2):
        answer = await stage.request("DELETE", f"_/activations/{record['activationId']}")
        assert (answer.status, answer.error) == (409, FINISHED)
    await stage.action("acme/b", Hold())
    activation_id = await start(stage, "b")
    statuses = [(await stage.request("DELETE", f"_/activations/{activation_id}")).status for _ in range(2)]
    assert statuses == [200, 409]


@on_stage
async def test_what_is_unknown_or_anothers_is_not_found_and_a_bad_id_is_refused(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold())
    activation_id = await start(stage, "a")
    assert (await stage.request("DELETE", f"_/activations/{UNKNOWN}")).status == 404
    assert (await stage.request("DELETE", f"_/activations/{activation_id}", by=stage.other)).status == 404
    assert (await stage.request("DELETE", f"acme/activations/{activation_id}", by=stage.other)).status == 403
    assert (await stage.request("DELETE", "_/activations/x")).status == 400
    hold.release.set()
    await stage.services.running.drain()
    assert (await stage.record(activation_id))["response"]["success"]


@on_stage
async def test_a_sequence_stops_with_its_running_component_and_starts_no_other(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    await stage.action("acme/b")
    await stage.sequence("acme/inner", "/acme/a", "/acme/b")
    await stage.sequence("acme/outer", "/acme/inner", "/acme/b")
    activation_id = await start(stage, "outer")
    answer = await stage.request("DELETE", f"_/activations/{activation_id}")
    assert (answer.status, answer.json["response"]) == (200, CANCELLED)
    assert stage.bus.ran() == ["a"]
    (inner_id,) = answer.json["logs"]
    inner = await stage.record(inner_id)
    (component_id,) = inner["logs"]
    component = await stage.record(component_id)
    assert [annotation(record, "cancelled") for record in (answer.json, inner, component)] == [True] * 3
    assert not await stage.store.journal.pending()


@on_stage
async def test_a_sequence_whose_component_is_cancelled_ends_with_its_error(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    await stage.sequence("acme/s", "/acme/a", "/acme/a")
    activation_id = await start(stage, "s")
    component_id = stage.bus.messages[0].activation_id
    assert (await stage.request("DELETE", f"_/activations/{component_id}")).status == 200
    await stage.services.running.drain()
    record = await stage.record(activation_id)
    assert record["response"]["result"] == CANCELLED["result"]
    assert annotation(record, "cancelled") is None


@on_stage
async def test_a_composition_does_not_ask_its_conductor_what_to_do_about_it(stage: Stage) -> None:
    await stage.action("acme/c", {"action": "a"}, annotations={"conductor": True})
    await stage.action("acme/a", Hold())
    answer = await stage.invoke("c", {}, "")
    await stage.bus.dispatches(2)
    answer = await stage.request("DELETE", f"_/activations/{answer.json['activationId']}")
    assert (answer.status, answer.json["response"]) == (200, CANCELLED)
    assert stage.bus.ran() == ["c", "a"]
    assert len(answer.json["logs"]) == 2


@on_stage
async def test_a_fire_is_over_before_anybody_can_stop_it(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    answer = await stage.request("POST", "_/triggers/t", {})
    assert (await stage.request("DELETE", f"_/activations/{answer.json['activationId']}")).status == 409


@on_stage_with(own=NamespaceLimits(store_activations=False))
async def test_without_records_the_answer_is_the_id_alone(stage: Stage) -> None:
    await stage.action("acme/a", Hold())
    activation_id = await start(stage, "a")
    answer = await stage.request("DELETE", f"_/activations/{activation_id}")
    assert (answer.status, answer.json) == (202, {"activationId": activation_id})
    await stage.services.running.drain()
    assert (await stage.request("DELETE", f"_/activations/{activation_id}")).status == 404
