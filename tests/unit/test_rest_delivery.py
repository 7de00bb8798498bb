"""Retries, delays and destinations, as a client sees them; time is virtual."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sabayon.controller.app import create_app
from sabayon.controller.deliverer import MOST_UNDER_WAY
from sabayon.entity.limits import NamespaceLimits
from tests.unit.asgi import AsgiClient
from tests.unit.delivering import BROKEN, CODE, Flaky, accepted, letters, put
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, annotation, on_stage, on_stage_with

# What an action may ask for


@on_stage
async def test_an_action_may_say_how_it_is_delivered(stage: Stage) -> None:
    asked = {"delivery": "at-least-once", "retries": 3, "max_age": "15m", "on_success": "t", "on_failure": "/acme/t"}
    answer = await put(stage, "a", **asked)
    assert answer.status == 200
    assert annotation(answer.json, "retries") == 3


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"delivery": "exactly-once"}, "'delivery' must be 'at-least-once' or 'at-most-once'"),
        ({"retries": 11}, "'retries' must be a whole number from 0 to 10"),
        ({"max_age": "soon"}, "'max-age' must be seconds, or such as '90s', '15m', '6h' or '2d', up to 7 days"),
        ({"on_success": "a/b"}, "'on-success' must name a trigger: 'trigger', '/_/trigger' or '/namespace/trigger'"),
        (
            {"delivery": "at-most-once", "retries": 1},
            "what is delivered 'at-most-once' cannot have 'retries'",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_it_cannot_have_is_refused_with_what_it_can(annotations: dict[str, Any], text: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        answer = await put(stage, "a", **annotations)
        assert (answer.status, answer.json["error"]) == (400, f"The annotations about delivery are not valid: {text}.")
        assert (await stage.request("GET", "_/actions/a")).status == 404

    test()


@on_stage
async def test_annotations_are_judged_together_with_those_that_stay(stage: Stage) -> None:
    assert (await put(stage, "a", delivery="at-most-once")).status == 200
    assert (await put(stage, "a", retries=1)).status == 400
    assert (await put(stage, "a", color="red")).status == 200


@on_stage
async def test_a_destination_is_in_a_namespace_of_which_one_has_the_key(stage: Stage) -> None:
    answer = await put(stage, "a", on_failure="/other/t")
    text = "The supplied authentication is not authorized to access 'other/t'."
    assert (answer.status, answer.json["error"]) == (403, text)


@on_stage
async def test_an_action_from_before_such_annotations_had_a_meaning_runs_and_can_be_changed(stage: Stage) -> None:
    await stage.action("acme/a", annotations={"retries": "many"})
    record = await stage.record(await accepted(stage, "_/actions/a"))
    assert record["response"]["success"]
    assert (await put(stage, "a", color="red")).status == 200


# Retries


@on_stage
async def test_a_function_that_fails_twice_and_then_succeeds_has_one_record_that_tells_three_attempts(
    stage: Stage,
) -> None:
    await stage.action("acme/a", Flaky(2), annotations={"retries": 3})
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/a", {"x": 1})
    assert (await stage.request("GET", f"_/activations/{activation_id}")).status == 404
    await stage.later(hours=0.1)
    await stage.later(hours=0.1)
    record = await stage.record(activation_id)
    assert (record["response"]["result"], annotation(record, "attempts")) == ({"x": 1}, 3)
    assert [line.partition("Z ")[2] for line in record["logs"]] == [
        "stderr: Attempt 1 ended with application error: not yet",
        "stderr: Attempt 2 ended with application error: not yet",
        "stdout: a",
    ]
    assert [message.history.attempt for message in stage.bus.messages] == [1, 2, 3]
    assert (await stage.request("GET", "_/activations?count=true")).json == {"activations": 1}
    assert await letters(stage) == []


@on_stage
async def test_one_attempt_is_not_told(stage: Stage) -> None:
    await stage.action("acme/a", annotations={"retries": 3})
    record = await stage.record(await accepted(stage, "_/actions/a"))
    assert annotation(record, "attempts") is None


@on_stage
async def test_blocking_invocations_are_not_retried(stage: Stage) -> None:
    await stage.action("acme/a", Flaky(1), annotations={"retries": 3, "on-failure": "t"})
    assert (await stage.invoke("a")).status == 502
    assert await letters(stage) == []


@on_stage
async def test_a_fault_of_the_platform_is_tried_again_without_being_asked_for(stage: Stage) -> None:
    await stage.action("acme/a", Flaky(2, BROKEN))
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/a", {"x": 1})
    await stage.later(hours=0.1)
    await stage.later(hours=0.1)
    record = await stage.record(activation_id)
    assert (record["response"]["result"], annotation(record, "attempts")) == ({"x": 1}, 3)


@on_stage
async def test_a_platform_that_stays_broken_leaves_a_dead_letter_when_the_age_is_reached(stage: Stage) -> None:
    await stage.action("acme/a", BROKEN, annotations={"max-age": "1h"})
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/a")
    await stage.later(hours=2)
    assert (await stage.record(activation_id))["response"]["result"] == {
        "error": "The activation was not run within 3600 seconds, the max-age of its action."
    }
    assert [letter["reason"] for letter in await letters(stage)] == ["it is older than the max-age of its action"]


@on_stage
async def test_an_attempt_is_made_with_the_action_as_it_is_then(stage: Stage) -> None:
    await put(stage, "a", retries=3)
    stage.bus.scripts["acme/a"] = Flaky(1)
    await stage.take_up()
    await accepted(stage, "_/actions/a", {"x": 1})
    body = {"exec": CODE, "parameters": [{"key": "p", "value": "new"}]}
    assert (await stage.request("PUT", "_/actions/a?overwrite=true", body)).status == 200
    await stage.later(hours=0.1)
    first, second = stage.bus.messages
    assert second.revision > first.revision
    assert stage.bus.arguments() == {"p": "new", "x": 1}


@on_stage
async def test_a_sequence_with_retries_is_run_again_as_a_whole(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.action("acme/b", Flaky(1))
    await stage.sequence("acme/s", "/acme/a", "/acme/b", annotations={"retries": 1})
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/s", {"x": 1})
    await stage.later(hours=0.1)
    record = await stage.record(activation_id)
    assert stage.bus.ran() == ["a", "b", "a", "b"]
    assert (annotation(record, "attempts"), len(record["logs"])) == (2, 2)


@on_stage
async def test_what_belongs_to_a_namespace_that_has_gone_is_not_run(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold(BROKEN))
    await stage.take_up()
    assert (await stage.request("POST", "_/actions/a", {})).status == 202
    await stage.store.identities.delete("acme")
    hold.release.set()
    await stage.services.running.drain()
    assert len(await stage.store.journal.pending()) == 1
    await stage.later(hours=1)
    assert stage.bus.ran() == ["a"]
    assert not await stage.store.journal.pending()


@on_stage
async def test_a_namespace_with_much_that_is_due_does_not_keep_others_waiting(stage: Stage) -> None:
    await stage.action("acme/slow", hold := Hold())
    await stage.package("other/p", publish=True)
    await stage.action("other/p/a")
    for _ in range(MOST_UNDER_WAY + 5):
        await accepted(stage, "_/actions/slow?delay=60")
    answer = await stage.request("POST", "_/actions/p/a?delay=61", {}, by=stage.other)
    assert answer.status == 202
    await stage.take_up()
    stage.bus.let_pass(61_000)
    stage.services.agenda.call()
    await stage.bus.dispatches(MOST_UNDER_WAY + 1)
    assert sorted(stage.bus.ran()) == ["a"] + ["slow"] * MOST_UNDER_WAY
    hold.release.set()
    await stage.bus.dispatches(MOST_UNDER_WAY + 6)


# Delays


@on_stage
async def test_a_delayed_invocation_runs_when_it_is_due_and_its_age_counts_from_then(stage: Stage) -> None:
    await stage.action("acme/a", annotations={"max-age": "1h"})
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/a?delay=86400", {"x": 1})
    await stage.later(hours=23.9)
    assert stage.bus.messages == []
    await stage.later(hours=0.2)
    record = await stage.record(activation_id)
    assert record["response"]["result"] == {"ran": "a"}
    assert annotation(record, "attempts") is None
    assert stage.bus.messages[0].accepted_ms > START_MS + 86_400_000


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_what_waits_for_its_time_is_not_in_flight(stage: Stage) -> None:
    await stage.action("acme/a")
    for _ in range(3):
        await accepted(stage, "_/actions/a?delay=10")


@on_stage
async def test_a_delayed_sequence_runs_when_it_is_due(stage: Stage) -> None:
    await stage.action("acme/a", lambda args: args)
    await stage.sequence("acme/s", "/acme/a")
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/s?delay=60", {"x": 1})
    assert stage.bus.messages == []
    await stage.later(hours=0.1)
    assert (await stage.record(activation_id))["response"]["result"] == {"x": 1}


@pytest.mark.parametrize("delay", ["-1", "86401", "1.5", "soon", "", "٣", "9999999999"])
def test_a_delay_is_a_number_of_seconds_up_to_a_day(delay: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        await stage.action("acme/a")
        answer = await stage.invoke("a", query=f"delay={delay}")
        text = "Delay must be a whole number of seconds from 0 to 86400."
        assert (answer.status, answer.json["error"]) == (
            400,
            f"The query parameter 'delay' was malformed:\n{text}",
        )

    test()


@on_stage
async def test_who_waits_cannot_ask_for_a_delay(stage: Stage) -> None:
    await stage.action("acme/a")
    answer = await stage.invoke("a", query="blocking=true&delay=1")
    text = "The query parameter 'delay' was malformed:\nA blocking invocation cannot have a delay."
    assert (answer.status, answer.json["error"]) == (400, text)


@on_stage_with(own=NamespaceLimits(store_activations=False))
async def test_without_records_there_is_no_delay(stage: Stage) -> None:
    await stage.action("acme/a")
    assert (await stage.invoke("a", query="delay=1")).status == 400
    assert stage.bus.messages == []


# Destinations


@pytest.mark.parametrize(("script", "expected"), [({"x": 1}, "on-success"), ({"error": "no"}, "on-failure")])
def test_a_trigger_is_fired_once_with_the_record_of_what_ended(script: Any, expected: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        await stage.action("acme/note")
        for name in ("on-success", "on-failure"):
            await stage.trigger(f"acme/{name}", {"told": name}, r=("acme/note", "active"))
        await stage.action("acme/a", script, annotations={"on-success": "on-success", "on-failure": "/_/on-failure"})
        await stage.take_up()
        activation_id = await accepted(stage, "_/actions/a", {"secret": "of the call"})
        await stage.later(hours=0)
        assert stage.bus.ran() == ["a", "note"]
        told, record = stage.bus.arguments(), await stage.record(activation_id)
        assert (told.pop("told"), told.pop("__ow_headers")) == (expected, {})
        assert told == {**record, "logs": []}

    test()


@on_stage
async def test_a_destination_that_is_not_there_or_has_no_active_rule_is_passed_over(stage: Stage) -> None:
    await stage.trigger("acme/idle")
    await stage.action("acme/a", annotations={"on-success": "idle"})
    await stage.action("acme/b", annotations={"on-success": "missing"})
    await stage.take_up()
    for name in ("a", "b"):
        await accepted(stage, f"_/actions/{name}")
    await stage.later(hours=0)
    assert stage.bus.ran() == ["a", "b"]
    assert not await stage.store.journal.pending()


@on_stage
async def test_an_action_of_another_namespace_fires_no_trigger_of_its_owner(stage: Stage) -> None:
    await stage.package("other/p", publish=True)
    await stage.action("other/p/a", annotations={"on-success": "/other/t"})
    await stage.action("other/note")
    await stage.trigger("other/t", r=("other/note", "active"))
    await stage.take_up()
    answer = await stage.request("POST", "other/actions/p/a", {})
    assert answer.status == 202
    await stage.services.running.drain()
    await stage.later(hours=0)
    assert stage.bus.ran() == ["a"]


# Overload


@pytest.mark.parametrize("path", ["actions/a", "triggers/t"])
def test_what_nobody_waits_for_is_refused_before_there_is_too_much_of_it(path: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        await stage.action("acme/a", hold := Hold())
        await stage.trigger("acme/t", r=("acme/a", "active"))
        services = dataclasses.replace(stage.services, most_in_flight=2)
        client, auth = AsgiClient(create_app(services)), stage.acme.auth_key
        address = "/api/v1/namespaces/_/actions/a"
        for _ in range(2):
            assert (await client.request("POST", address, json={}, auth=auth)).status == 202
        waiting = len(await stage.store.journal.pending())
        answer = await client.request("POST", f"/api/v1/namespaces/_/{path}", json={}, auth=auth)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert len(await stage.store.journal.pending()) == waiting
        hold.release.set()
        await services.running.drain()
        assert (await client.request("POST", address, json={}, auth=auth)).status == 202
        await services.running.drain()

    test()
