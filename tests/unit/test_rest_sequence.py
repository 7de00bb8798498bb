"""POST on sequences: order, hand-over, short cut, limits and the record."""

from __future__ import annotations

import asyncio

from sabayon.controller.composite import MAX_DEPTH
from sabayon.controller.execution import COMPONENT_GRACE_MS
from sabayon.entity.activation import Outcome, error_response
from sabayon.entity.limits import NamespaceLimits, SystemLimits
from tests.unit.scripted_bus import DURATION_MS, Hold
from tests.unit.stage import Stage, annotation, on_stage, on_stage_with

CONDUCTOR = {"conductor": True}


@on_stage
async def test_each_action_gets_the_result_of_the_one_before_over_its_own_parameters(stage: Stage) -> None:
    await stage.package("acme/p", {"from": "package", "x": 0})
    await stage.action("acme/one", lambda args: {"x": args["x"] + 1})
    await stage.action("acme/p/two", lambda args: {"seen": args}, parameters={"own": True})
    await stage.sequence("acme/s", "/acme/one", "/acme/p/two")
    answer = await stage.invoke("s", {"x": 1})
    assert answer.status == 200
    assert answer.json["response"]["result"] == {"seen": {"from": "package", "own": True, "x": 2}}
    assert stage.bus.ran() == ["one", "two"]


@on_stage
async def test_the_record_of_a_sequence(stage: Stage) -> None:
    await stage.action("acme/one", memory=128)
    await stage.action("acme/two", memory=512, script={"w": 64})
    await stage.sequence("acme/s", "/acme/one", "/acme/two")
    answer = await stage.invoke("s")
    record = answer.json
    assert record == await stage.record(record["activationId"])
    ids = [message.activation_id for message in stage.bus.messages]
    assert record["logs"] == ids
    assert record["duration"] == 2 * DURATION_MS
    assert record["end"] > record["start"]
    assert "cause" not in record
    assert record["response"] == {"result": {"w": 64}, "size": 8, "status": "success", "success": True}
    assert (record["name"], record["version"], record["subject"]) == ("s", "0.0.2", "acme-dev")
    wait_ms = annotation(record, "waitTime")
    assert wait_ms >= 0
    assert record["annotations"] == [
        {"key": "topmost", "value": True},
        {"key": "path", "value": "acme/s"},
        {"key": "kind", "value": "sequence"},
        {"key": "waitTime", "value": wait_ms},
        {"key": "limits", "value": {"concurrency": 1, "logs": 10, "memory": 512, "timeout": 60000}},
    ]
    for activation_id in ids:
        assert (await stage.record(activation_id))["cause"] == record["activationId"]


@on_stage
async def test_an_error_ends_a_sequence_with_the_response_it_came_with(stage: Stage) -> None:
    await stage.action("acme/bad", lambda args: {"error": args["error"], "more": 1})
    await stage.action("acme/never")
    await stage.sequence("acme/s", "/acme/bad", "/acme/never")
    answer = await stage.invoke("s", {"error": None})
    assert answer.status == 502
    assert answer.json["response"]["result"] == {"error": None}
    assert answer.json["response"]["status"] == "application error"
    assert stage.bus.ran() == ["bad"]
    assert len(answer.json["logs"]) == 1


@on_stage
async def test_an_error_in_the_payload_does_not_stop_a_sequence(stage: Stage) -> None:
    await stage.action("acme/one", lambda args: {"was": args["error"]})
    await stage.sequence("acme/s", "/acme/one")
    assert (await stage.invoke("s", {"error": 1})).json["response"]["result"] == {"was": 1}


@on_stage
async def test_an_array_is_handed_over_as_it_is(stage: Stage) -> None:
    await stage.action("acme/one", [1, 2])
    await stage.action("acme/two", lambda args: [*args, 3], parameters={"default": 1})
    await stage.sequence("acme/s", "/acme/one", "/acme/two")
    assert (await stage.invoke("s")).json == [1, 2, 3]


@on_stage
async def test_the_sequences_own_and_its_packages_parameters_reach_no_component(stage: Stage) -> None:
    await stage.package("acme/p", {"secret": 1})
    await stage.action("acme/one", lambda args: args)
    await stage.sequence("acme/p/s", "/acme/one")
    assert (await stage.invoke("p/s", {"x": 1})).json["response"]["result"] == {"x": 1}


@on_stage
async def test_a_sequence_in_a_sequence_counts_as_one_component_and_has_its_own_record(stage: Stage) -> None:
    await stage.action("acme/one")
    await stage.sequence("acme/inner", "/acme/one", "/acme/one")
    await stage.sequence("acme/outer", "/acme/inner", "/_/one")
    outer = await stage.blocking_record("outer")
    assert len(outer["logs"]) == 2
    assert outer["duration"] == 3 * DURATION_MS
    inner = await stage.record(outer["logs"][0])
    assert (inner["name"], inner["cause"]) == ("inner", outer["activationId"])
    assert (annotation(inner, "topmost"), annotation(inner, "causedBy")) == (False, "sequence")
    assert inner["logs"] == [message.activation_id for message in stage.bus.messages[:2]]
    assert stage.bus.messages[0].cause == inner["activationId"]


@on_stage_with(SystemLimits(sequence_length=3))
async def test_actions_are_counted_through_all_levels_as_they_run(stage: Stage) -> None:
    await stage.action("acme/one")
    await stage.sequence("acme/inner", "/acme/one", "/acme/one")
    await stage.sequence("acme/fits", "/acme/inner", "/acme/one")
    await stage.sequence("acme/long", "/acme/inner", "/acme/inner")
    assert (await stage.invoke("fits")).status == 200
    answer = await stage.invoke("long")
    assert answer.status == 502
    assert answer.json["response"]["result"] == {"error": "Too many actions in the sequence."}
    assert answer.json["response"]["status"] == "application error"
    assert len(stage.bus.messages) == 6


@on_stage
async def test_a_component_that_is_gone_is_an_application_error(stage: Stage) -> None:
    await stage.action("acme/one")
    await stage.sequence("acme/s", "/acme/one", "/acme/gone")
    answer = await stage.invoke("s")
    assert answer.status == 502
    assert answer.json["response"]["result"] == {"error": "Sequence component does not exist."}
    assert len(answer.json["logs"]) == 1


@on_stage
async def test_a_component_the_caller_may_not_run_refuses_the_call_at_once(stage: Stage) -> None:
    await stage.action("acme/one")
    await stage.action("other/private")
    await stage.package("other/hidden")
    await stage.action("other/hidden/x")
    await stage.sequence("acme/s", "/acme/one", "/other/private", "/other/hidden/x")
    answer = await stage.invoke("s")
    assert answer.status == 403
    assert answer.json["error"] == (
        "The supplied authentication is not authorized to access 'other/hidden, other/private'."
    )
    assert not stage.bus.messages


@on_stage
async def test_a_component_in_a_package_that_is_gone_is_404_at_once(stage: Stage) -> None:
    await stage.sequence("acme/s", "/acme/gone/x")
    answer = await stage.invoke("s")
    assert (answer.status, answer.json["error"]) == (404, "The requested resource does not exist.")


@on_stage
async def test_an_inner_sequence_does_not_lend_its_owners_rights(stage: Stage) -> None:
    await stage.package("other/shared", publish=True)
    await stage.action("other/private")
    await stage.sequence("other/shared/inner", "/other/private")
    await stage.sequence("acme/s", "/other/shared/inner")
    answer = await stage.invoke("s")
    assert answer.status == 502
    assert "other/private" in answer.json["response"]["result"]["error"]
    assert not stage.bus.messages


@on_stage
async def test_a_whisk_error_of_a_component_is_the_sequences(stage: Stage) -> None:
    await stage.action("acme/one", error_response(Outcome.WHISK_ERROR, "lost"))
    await stage.sequence("acme/s", "/acme/one")
    answer = await stage.invoke("s")
    assert (answer.status, answer.json["response"]["status"]) == (500, "whisk internal error")


@on_stage
async def test_a_sequence_that_is_not_waited_for_is_journaled_until_its_record(stage: Stage) -> None:
    await stage.action("acme/one", hold := Hold({"n": 1}))
    await stage.sequence("acme/s", "/acme/one", "/acme/one")
    answer = await stage.invoke("s", {}, "blocking=false")
    assert answer.status == 202
    assert list(await stage.store.journal.pending()) == [answer.json["activationId"]]
    late = await stage.invoke("s", {}, "blocking=true&timeout=10")
    assert late.status == 202
    hold.release.set()
    await stage.services.running.drain()
    assert not await stage.store.journal.pending()
    for accepted in (answer, late):
        assert (await stage.record(accepted.json["activationId"]))["response"]["result"] == {"n": 1}


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1, invocations_per_minute=3))
async def test_a_sequence_is_one_invocation_and_holds_one_slot_to_its_end(stage: Stage) -> None:
    await stage.action("acme/one")
    await stage.action("acme/slow", hold := Hold())
    await stage.sequence("acme/s", "/acme/one", "/acme/slow", "/acme/one")
    running = asyncio.create_task(stage.invoke("s"))
    await stage.bus.dispatches(2)
    assert (await stage.invoke("one")).status == 429
    hold.release.set()
    assert (await running).status == 200
    assert (await stage.invoke("one")).status == 200
    assert (await stage.invoke("one")).json["error"].startswith("Too many requests in the last minute")


@on_stage
async def test_components_are_final_for_callers_but_not_for_a_sequence(stage: Stage) -> None:
    await stage.action("acme/f", lambda args: args, parameters={"x": 1}, annotations={"final": True})
    await stage.sequence("acme/s", "/acme/f")
    assert (await stage.invoke("f", {"x": 2})).status == 400
    assert (await stage.invoke("s", {"x": 2})).json["response"]["result"] == {"x": 2}


@on_stage
async def test_a_component_that_never_answers_ends_the_sequence_as_a_platform_error(stage: Stage) -> None:
    await stage.action("acme/lost", hold := Hold(), timeout=10 - COMPONENT_GRACE_MS)
    await stage.action("acme/never")
    await stage.sequence("acme/s", "/acme/lost", "/acme/never")
    answer = await stage.invoke("s")
    lost = stage.bus.messages[0].activation_id
    text = f"Timeout reached when retrieving activation {lost} for sequence component."
    assert answer.status == 500
    assert answer.json["response"]["result"] == {"error": text}
    hold.release.set()
    await stage.services.running.drain()
    assert stage.bus.ran() == ["lost"]


@on_stage
async def test_a_circle_of_sequences_that_was_closed_behind_their_backs_has_an_end(stage: Stage) -> None:
    await stage.sequence("acme/a", "/acme/b")
    await stage.sequence("acme/b", "/acme/a")
    answer = await stage.invoke("a")
    assert (answer.status, answer.json["response"]["result"]) == (502, {"error": "Too many actions in the sequence."})
    records = (await stage.request("GET", "_/activations?limit=0")).json
    assert len(records) == MAX_DEPTH + 1


@on_stage
async def test_a_composition_in_a_sequence_in_a_composition_and_so_on_has_an_end(stage: Stage) -> None:
    await stage.action("acme/c", lambda args: args if "error" in args else {"action": "s"}, annotations=CONDUCTOR)
    await stage.sequence("acme/s", "/acme/c")
    answer = await stage.invoke("s")
    assert answer.json["response"]["result"] == {"error": "Too many actions in the sequence."}
    assert stage.bus.ran().count("c") == MAX_DEPTH  # at each second level, before and after what is within
