"""POST on triggers: which rules run, with what, and what the trigger's record says."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sabayon.entity.limits import NamespaceLimits
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, annotation, on_stage, on_stage_with


def lines(record: Any) -> dict[str, Any]:
    """The record's log lines by rule."""
    decoded = [msgspec.json.decode(line) for line in record["logs"]]
    return {line["rule"]: line for line in decoded}


@on_stage
async def test_a_trigger_without_active_rule_answers_204_and_leaves_nothing(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/none")
    await stage.trigger("acme/inactive", r=("acme/a", "inactive"))
    for name in ("none", "inactive"):
        answer = await stage.fire(name, {"x": 1})
        assert (answer.status, answer.body) == (204, b"")
        assert "x-openwhisk-activation-id" not in answer.headers
    assert not stage.bus.messages
    assert (await stage.request("GET", "_/activations")).json == []


@on_stage
async def test_every_rule_is_listed_with_what_became_of_it(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.action("acme/b")
    await stage.trigger("acme/t", on=("acme/a", "active"), off=("acme/b", "inactive"), gone=("acme/gone", "active"))
    answer = await stage.fire("t", {"file": "a.png"})
    assert answer.status == 202
    assert answer.json == {"activationId": answer.headers["x-openwhisk-activation-id"]}
    record = await stage.record(answer.json["activationId"])
    found = lines(record)
    assert found == {
        "acme/on": {
            "action": "acme/a",
            "activationId": stage.bus.messages[0].activation_id,
            "rule": "acme/on",
            "statusCode": 0,
            "success": True,
        },
        "acme/off": {
            "action": "acme/b",
            "error": "Rule 'acme/off' is inactive, action 'acme/b' was not activated.",
            "rule": "acme/off",
            "statusCode": 1,
            "success": False,
        },
        "acme/gone": {
            "action": "acme/gone",
            "error": "The requested resource does not exist.",
            "rule": "acme/gone",
            "statusCode": 1,
            "success": False,
        },
    }
    assert [list(line) for line in found.values()] == [sorted(line) for line in found.values()]


@on_stage
async def test_the_record_of_a_trigger_is_the_payload_without_end_duration_and_annotations(stage: Stage) -> None:
    await stage.trigger("acme/t", {"source": "s3"}, r=("acme/gone", "active"))
    answer = await stage.fire("t", {"file": "a.png"})
    record = await stage.record(answer.json["activationId"])
    assert not {"end", "duration", "cause"} & set(record)
    assert record["annotations"] == []
    assert record["response"] == {"result": {"file": "a.png"}, "status": "success", "success": True}
    assert (record["name"], record["namespace"], record["subject"]) == ("t", "acme", "acme-dev")
    assert record["version"] == "0.0.5"
    assert record["start"] > START_MS
    summary = (await stage.request("GET", "_/activations")).json[0]
    assert not {"end", "duration", "statusCode"} & set(summary)


@on_stage
async def test_an_action_gets_parameters_then_headers_then_payload(stage: Stage) -> None:
    await stage.action("acme/a", parameters={"p": "action", "q": "action"})
    await stage.trigger("acme/t", {"p": "trigger", "x": "trigger", "__ow_headers": "hidden"}, r=("acme/a", "active"))
    await stage.fire("t", {"x": "payload"}, headers={"X-Mine": "1"})
    arguments = stage.bus.arguments()
    headers = arguments.pop("__ow_headers")
    assert arguments == {"p": "trigger", "q": "action", "x": "payload"}
    assert headers["authorization"].startswith("Basic ")
    assert headers["x-mine"] == "1"
    assert "content-type" not in headers
    await stage.fire("t", {"__ow_headers": "mine"})
    assert stage.bus.arguments()["__ow_headers"] == "mine"


@on_stage
async def test_fired_actions_have_no_cause_and_belong_to_the_one_who_fired(stage: Stage) -> None:
    await stage.package("other/shared", publish=True)
    await stage.action("other/shared/a")
    await stage.trigger("acme/t", r=("other/shared/a", "active"))
    answer = await stage.fire("t")
    (line,) = lines(await stage.record(answer.json["activationId"])).values()
    record = await stage.record(line["activationId"])
    assert "cause" not in record
    assert annotation(record, "causedBy") is None
    assert record["namespace"] == "acme"


@on_stage
async def test_each_invocation_is_checked_as_if_it_had_been_posted(stage: Stage) -> None:
    await stage.action("other/private")
    await stage.action("acme/final", parameters={"x": 1}, annotations={"final": True})
    await stage.action("acme/old", kind="python:2")
    await stage.sequence("acme/s", "/other/private")
    rules = {"a": "other/private", "b": "acme/final", "c": "acme/old", "d": "acme/s"}
    await stage.trigger("acme/t", **{rule: (action, "active") for rule, action in rules.items()})
    answer = await stage.fire("t", {"x": 2})
    found = lines(await stage.record(answer.json["activationId"]))
    private = "The supplied authentication is not authorized to access 'other/private'."
    assert found["acme/a"]["error"] == private
    assert found["acme/b"]["error"].startswith("Request defines parameters that are not allowed")
    assert found["acme/c"]["error"].startswith("The 'python:2' runtime is no longer supported.")
    assert found["acme/d"]["error"] == private
    assert {line["statusCode"] for line in found.values()} == {1}


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_rules_take_slots_and_give_them_back(stage: Stage) -> None:
    hold = Hold()
    await stage.action("acme/a", hold)
    await stage.trigger("acme/t", r0=("acme/gone", "active"), r1=("acme/a", "active"), r2=("acme/a", "active"))
    answer = await stage.request("POST", "_/triggers/t")
    await stage.bus.dispatches(1)
    for _ in range(100):  # the record is written right after the last rule was submitted
        await asyncio.sleep(0)
    found = lines(await stage.record(answer.json["activationId"]))
    assert found["acme/r1"]["success"]
    busy = "Too many concurrent requests in flight (count: 1, allowed: 1)."
    assert found["acme/r2"]["error"] == busy
    assert found["acme/r0"]["error"] == "The requested resource does not exist."
    hold.release.set()
    await stage.services.running.drain()
    assert (await stage.invoke("a")).status == 200


@on_stage_with(own=NamespaceLimits(fires_per_minute=1, invocations_per_minute=0))
async def test_fires_have_a_rate_of_their_own_and_rules_are_charged_to_the_invocations(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    answer = await stage.fire("t")
    (line,) = lines(await stage.record(answer.json["activationId"])).values()
    assert line["error"] == "Too many requests in the last minute (count: 1, allowed: 0)."
    refused = await stage.fire("t")
    assert refused.status == 429
    assert refused.json["error"] == "Too many requests in the last minute (count: 2, allowed: 1)."


@on_stage
async def test_a_payload_that_is_too_large_together_with_the_parameters_is_refused_per_rule(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", {"p": "x" * 600_000}, r=("acme/a", "active"))
    answer = await stage.fire("t", {"y": "y" * 600_000})
    (line,) = lines(await stage.record(answer.json["activationId"])).values()
    assert line["error"].startswith("Request larger than allowed: ")
    assert line["statusCode"] == 1


@on_stage
async def test_what_is_no_trigger_is_refused(stage: Stage) -> None:
    await stage.action("acme/a")
    assert (await stage.fire("nope")).status == 404
    assert (await stage.fire("a")).status == 409
    await stage.trigger("acme/t", r=("acme/a", "active"))
    assert (await stage.fire("t", [1])).status == 400
    assert (await stage.fire("t", body=b"", headers={"content-type": "text/plain"})).status == 415
    assert (await stage.fire("t", body=b"x" * 1048577)).status == 413
    assert (await stage.fire("t", body=b"")).status == 202


@on_stage_with(own=NamespaceLimits(store_activations=False))
async def test_a_namespace_without_records_fires_all_the_same(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    assert (await stage.fire("t")).status == 202
    assert stage.bus.ran() == ["a"]
    assert not await stage.store.journal.pending()
