"""A bus that takes nothing now: refused before anything is promised, with a time to come again."""

from __future__ import annotations

from sabayon.entity.limits import NamespaceLimits
from sabayon.errors import BusUnavailable, Overloaded
from tests.unit.asgi import Answer
from tests.unit.stage import Stage, on_stage, on_stage_with


def check_refused(answer: Answer, retry_after_s: int) -> None:
    assert (answer.status, answer.headers["retry-after"]) == (503, str(retry_after_s))
    assert "overloaded or down for maintenance" in answer.json["error"]


@on_stage
async def test_an_invocation_is_refused_whether_somebody_waits_or_not(stage: Stage) -> None:
    await stage.action("acme/a", {"ok": True})
    stage.bus.refusal = Overloaded("all invokers are full", 5)
    check_refused(await stage.invoke("a"), 5)
    check_refused(await stage.invoke("a", query=""), 5)
    assert await stage.store.journal.pending() == {}
    stage.bus.refusal = None
    assert (await stage.invoke("a")).status == 200


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_what_was_refused_holds_no_place_among_those_in_flight(stage: Stage) -> None:
    await stage.action("acme/a", {"ok": True})
    stage.bus.refusal = BusUnavailable("it is away")
    for query in ("blocking=true", ""):
        check_refused(await stage.invoke("a", query=query), 1)
    stage.bus.refusal = None
    assert (await stage.invoke("a")).status == 200


@on_stage
async def test_a_fire_is_refused_before_it_is_written_down(stage: Stage) -> None:
    await stage.action("acme/a", {"ok": True})
    await stage.trigger("acme/t", r=("acme/a", "active"))
    stage.bus.refusal = BusUnavailable("it is away")
    check_refused(await stage.fire("t"), 1)
    assert await stage.store.journal.pending() == {}


@on_stage
async def test_a_fire_that_was_accepted_loses_nothing_when_the_bus_goes_away_under_it(stage: Stage) -> None:
    await stage.action("acme/a", {"ok": True})
    await stage.trigger("acme/t", r=("acme/a", "active"))
    stage.bus.refusal, stage.bus.passes = BusUnavailable("it is away"), 1
    answer = await stage.fire("t")
    assert answer.status == 202
    await stage.services.running.drain()
    assert stage.bus.ran() == []
    stage.bus.refusal = None
    await stage.take_up()
    await stage.bus.dispatches(1)
    await stage.services.running.drain()
    assert stage.bus.ran() == ["a"]
    [line] = (await stage.record(answer.json["activationId"]))["logs"]
    assert '"success":true' in line
