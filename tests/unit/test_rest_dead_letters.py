"""Dead letters through the API: what becomes one, and what can be done with it."""

from __future__ import annotations

import pytest

from tests.unit.delivering import BROKEN, accepted, letters
from tests.unit.stage import START_MS, Stage, annotation, on_stage


async def with_a_dead_letter(stage: Stage) -> str:
    """Its id. Of an action that has parameters of its own and is called with x = 1."""
    await stage.action("acme/a", {"error": "no"}, annotations={"retries": 1}, parameters={"p": "default"})
    await stage.take_up()
    activation_id = await accepted(stage, "_/actions/a", {"x": 1})
    await stage.later(hours=0.1)
    return activation_id


@on_stage
async def test_what_exhausts_its_retries_is_a_dead_letter(stage: Stage) -> None:
    activation_id = await with_a_dead_letter(stage)
    [letter] = await letters(stage)
    buried = letter.pop("buried")
    assert buried > START_MS
    assert letter == {
        "action": "acme/a",
        "activationId": activation_id,
        "attempts": 2,
        "namespace": "acme",
        "reason": "its function failed, and its retries are used up",
    }
    shown = (await stage.request("GET", f"_/dead-letters/{activation_id}")).json
    assert shown == {**letter, "buried": buried, "payload": {"x": 1}}
    assert (await stage.record(activation_id))["response"]["result"] == {"error": "no"}
    assert (await stage.request("GET", "_/dead-letters?count=true")).json == {"dead-letters": 1}
    assert (await stage.request("GET", "_/dead-letters?skip=1")).json == []


@on_stage
async def test_a_dead_letter_is_retried_under_a_new_id_and_makes_way(stage: Stage) -> None:
    activation_id = await with_a_dead_letter(stage)
    stage.bus.scripts["acme/a"] = lambda args: args
    answer = await stage.request("POST", f"_/dead-letters/{activation_id}")
    assert answer.status == 202
    await stage.services.running.drain()
    record = await stage.record(answer.json["activationId"])
    assert record["response"]["result"] == {"p": "default", "x": 1}
    assert annotation(record, "retryOf") == activation_id
    assert (await stage.record(activation_id))["response"]["result"] == {"error": "no"}
    assert await letters(stage) == []
    assert (await stage.request("POST", f"_/dead-letters/{activation_id}")).status == 404


@on_stage
async def test_a_retry_that_fails_is_a_dead_letter_of_its_own(stage: Stage) -> None:
    old = await with_a_dead_letter(stage)
    new = await accepted(stage, f"_/dead-letters/{old}")
    await stage.later(hours=0.1)
    assert [letter["activationId"] for letter in await letters(stage)] == [new]


@on_stage
async def test_a_dead_letter_whose_action_has_gone_stays(stage: Stage) -> None:
    activation_id = await with_a_dead_letter(stage)
    assert (await stage.request("DELETE", "_/actions/a")).status == 200
    assert (await stage.request("POST", f"_/dead-letters/{activation_id}")).status == 404
    assert len(await letters(stage)) == 1


@on_stage
async def test_a_dead_letter_is_dropped_and_its_record_stays(stage: Stage) -> None:
    activation_id = await with_a_dead_letter(stage)
    assert (await stage.request("DELETE", f"_/dead-letters/{activation_id}")).status == 200
    assert (await stage.request("DELETE", f"_/dead-letters/{activation_id}")).status == 404
    assert await letters(stage) == []
    await stage.record(activation_id)


@on_stage
async def test_an_interrupted_sequence_can_be_retried_as_a_dead_letter(stage: Stage) -> None:
    await stage.action("acme/a", BROKEN)
    await stage.sequence("acme/s", "/acme/a")
    activation_id = await accepted(stage, "_/actions/s", {"x": 1})
    assert [letter["action"] for letter in await letters(stage)] == ["acme/s"]
    stage.bus.scripts["acme/a"] = lambda args: args
    again = await accepted(stage, f"_/dead-letters/{activation_id}")
    assert (await stage.record(again))["response"]["result"] == {"x": 1}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_dead_letters_of_others_are_out_of_reach(method: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        activation_id = await with_a_dead_letter(stage)
        answer = await stage.request(method, f"_/dead-letters/{activation_id}", by=stage.other)
        assert answer.status == 404
        answer = await stage.request(method, f"acme/dead-letters/{activation_id}", by=stage.other)
        assert answer.status == 403
        assert (await stage.request("GET", "_/dead-letters", by=stage.other)).json == []
        assert (await stage.request("GET", "acme/dead-letters", by=stage.other)).status == 403
        assert len(await letters(stage)) == 1

    test()
