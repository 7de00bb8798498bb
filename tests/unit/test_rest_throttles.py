"""How much a namespace may do: calls per minute, calls at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from sabayon.controller.throttle import MINUTE_MS, Throttle
from sabayon.entity.identity import new_identity, new_secret
from sabayon.entity.limits import EffectiveLimits, NamespaceLimits, SystemLimits, effective_limits
from sabayon.errors import Rejection
from tests.unit.asgi import Answer
from tests.unit.scripted_bus import Hold
from tests.unit.stage import START_MS, Stage, on_stage_with

MISSING = "The requested resource does not exist."
NO_ROUTE = "The requested resource could not be found."
THREE = NamespaceLimits(invocations_per_minute=3, fires_per_minute=3)


def too_many(count: int, allowed: int) -> str:
    return f"Too many requests in the last minute (count: {count}, allowed: {allowed})."


def too_many_at_once(count: int, allowed: int) -> str:
    return f"Too many concurrent requests in flight (count: {count}, allowed: {allowed})."


def check(answer: Answer, status: int, text: str) -> None:
    assert (answer.status, answer.json) == (status, {"code": answer.headers["x-request-id"], "error": text})
    assert ("retry-after" in answer.headers) is (status == 429)
    assert 1 <= int(answer.headers.get("retry-after", "1")) <= 60


def wait_for_the_next_minute(stage: Stage) -> None:
    minute = stage.bus.now_ms() // MINUTE_MS
    while stage.bus.now_ms() // MINUTE_MS == minute:
        pass


# Calls per minute


@pytest.mark.parametrize("path", ["actions/a", "triggers/t"])
def test_beyond_the_limit_of_a_minute_calls_are_refused_and_counted_on(path: str) -> None:
    @on_stage_with(own=THREE)
    async def test(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.trigger("acme/t")
        assert {(await stage.request("POST", f"_/{path}")).status for _ in range(3)} <= {202, 204}
        check(await stage.request("POST", f"_/{path}"), 429, too_many(4, 3))
        check(await stage.request("POST", f"_/{path}"), 429, too_many(5, 3))

    test()


@on_stage_with(limits=SystemLimits(invocations_per_minute=2, fires_per_minute=1))
async def test_without_limits_of_its_own_a_namespace_has_the_systems(stage: Stage) -> None:
    assert [(await stage.request("POST", "_/actions/nope")).status for _ in range(3)] == [404, 404, 429]
    assert [(await stage.request("POST", "_/triggers/nope")).status for _ in range(2)] == [404, 429]


@on_stage_with(limits=SystemLimits(invocations_per_minute=1, fires_per_minute=1), own=THREE)
async def test_a_namespace_may_be_granted_more_than_the_standard(stage: Stage) -> None:
    assert [(await stage.request("POST", "_/actions/nope")).status for _ in range(4)] == [404, 404, 404, 429]
    assert [(await stage.request("POST", "_/triggers/nope")).status for _ in range(4)] == [404, 404, 404, 429]


@on_stage_with(own=THREE)
async def test_calls_count_before_anything_is_looked_up_or_decoded(stage: Stage) -> None:
    await stage.action("acme/a")
    check(await stage.request("POST", "_/actions/nope"), 404, MISSING)
    answer = await stage.request("POST", "other/actions/a")
    check(answer, 403, "The supplied authentication is not authorized to access 'other/a'.")
    assert (await stage.invoke("a", body=b"{bad", headers={"Content-Type": "application/json"})).status == 400
    check(await stage.invoke("a"), 429, too_many(4, 3))
    check(await stage.request("POST", "other/actions/a"), 429, too_many(5, 3))
    assert not stage.bus.messages


@on_stage_with(own=THREE)
async def test_what_has_no_route_or_no_name_does_not_count(stage: Stage) -> None:
    await stage.action("acme/a")
    for _ in range(4):
        check(await stage.request("POST", "_/actions/a/"), 404, NO_ROUTE)
        assert (await stage.request("POST", "_/actions/-")).status == 400
    assert (await stage.invoke("a")).status == 200


@on_stage_with(own=NamespaceLimits(invocations_per_minute=1, fires_per_minute=1))
async def test_everything_else_is_not_throttled(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    for method, path in (("GET", "actions/a"), ("GET", "actions"), ("GET", "triggers/t"), ("GET", "limits")):
        for _ in range(3):
            assert (await stage.request(method, f"_/{path}")).status == 200
    assert [(await stage.invoke("a")).status for _ in range(2)] == [200, 429]


@on_stage_with(own=NamespaceLimits(invocations_per_minute=1, fires_per_minute=1))
async def test_actions_and_triggers_are_counted_apart(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t")
    assert (await stage.invoke("a")).status == 200
    assert (await stage.request("POST", "_/triggers/t")).status == 204
    check(await stage.invoke("a"), 429, too_many(2, 1))
    check(await stage.request("POST", "_/triggers/t"), 429, too_many(2, 1))


@on_stage_with(own=THREE)
async def test_a_new_minute_starts_from_zero(stage: Stage) -> None:
    await stage.action("acme/a")
    wait_for_the_next_minute(stage)
    assert [(await stage.invoke("a")).status for _ in range(4)] == [200, 200, 200, 429]
    wait_for_the_next_minute(stage)
    assert [(await stage.invoke("a")).status for _ in range(4)] == [200, 200, 200, 429]


@on_stage_with(own=NamespaceLimits(invocations_per_minute=0, fires_per_minute=0, concurrent_invocations=0))
async def test_a_limit_of_zero_refuses_everything(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t")
    check(await stage.invoke("a"), 429, too_many(1, 0))
    check(await stage.request("POST", "_/triggers/t"), 429, too_many(1, 0))
    wait_for_the_next_minute(stage)
    check(await stage.invoke("a"), 429, too_many(1, 0))


@on_stage_with(limits=SystemLimits(invocations_per_minute=2))
async def test_namespaces_are_counted_apart_and_the_caller_pays_for_foreign_actions(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    await stage.action("acme/p/a")
    path = "acme/actions/p/a?blocking=true"
    assert [(await stage.request("POST", path, by=stage.other)).status for _ in range(3)] == [200, 200, 429]
    assert [(await stage.request("POST", path)).status for _ in range(3)] == [200, 200, 429]


@on_stage_with(own=NamespaceLimits(invocations_per_minute=1))
async def test_a_wrong_key_costs_the_namespace_nothing(stage: Stage) -> None:
    await stage.action("acme/a")
    for _ in range(3):
        path = "/api/v1/namespaces/_/actions/a"
        assert (await stage.client.request("POST", path, auth=f"{stage.acme.uuid}:{new_secret()}")).status == 401
    assert (await stage.invoke("a")).status == 200


@on_stage_with(own=NamespaceLimits(invocations_per_minute=1, concurrent_invocations=1))
async def test_a_sequence_counts_once_whatever_it_is_made_of(stage: Stage) -> None:
    for name in ("a", "b"):
        await stage.action(f"acme/{name}")
    await stage.sequence("acme/s", "acme/a", "acme/b", "acme/a")
    assert (await stage.invoke("s")).status == 200
    assert stage.bus.ran() == ["a", "b", "a"]
    check(await stage.invoke("s"), 429, too_many(2, 1))


def allowed_of(throttle: Throttle, limits: EffectiveLimits, asked: int = 20) -> tuple[int, int, int]:
    """How many of so many invocations, of those at once, and of fires are let through."""
    identity = new_identity("acme")

    def count(ask: Callable[[], None]) -> int:
        passed = 0
        for _ in range(asked):
            with contextlib.suppress(Rejection):
                ask()
                passed += 1
        return passed

    return (
        count(lambda: throttle.count_invocation(identity, limits, START_MS)),
        count(lambda: throttle.take_place(identity, limits)),
        count(lambda: throttle.check_fire(identity, limits, START_MS)),
    )


@pytest.mark.parametrize(("controllers", "allowed"), [(1, (10, 6, 2)), (2, (5, 3, 1)), (4, (2, 1, 1)), (9, (1, 1, 1))])
def test_several_controllers_share_the_limits_of_a_namespace(controllers: int, allowed: tuple[int, int, int]) -> None:
    system = SystemLimits(invocations_per_minute=10, concurrent_invocations=6, fires_per_minute=2)
    limits = effective_limits(system, new_identity("acme").limits)
    assert allowed_of(Throttle(lambda: controllers), limits) == allowed


def test_what_is_not_allowed_at_all_no_controller_allows() -> None:
    system = SystemLimits(invocations_per_minute=0, concurrent_invocations=0, fires_per_minute=0)
    limits = effective_limits(system, new_identity("acme").limits)
    assert allowed_of(Throttle(lambda: 3), limits) == (0, 0, 0)


def test_a_controller_that_comes_or_goes_changes_the_share_at_once() -> None:
    limits = effective_limits(SystemLimits(concurrent_invocations=4), new_identity("acme").limits)
    throttle, identity, controllers = Throttle(lambda: controllers), new_identity("acme"), 2
    for _ in range(2):
        throttle.take_place(identity, limits)
    with pytest.raises(Rejection):
        throttle.take_place(identity, limits)
    controllers = 1
    throttle.take_place(identity, limits)
    assert throttle.in_flight(identity) == 3


def test_a_minute_is_one_of_the_clock_and_not_the_last_sixty_seconds() -> None:
    throttle, identity = Throttle(), new_identity("acme")
    limits = effective_limits(SystemLimits(fires_per_minute=1), identity.limits)

    def is_allowed(after_ms: int) -> bool:
        try:
            throttle.check_fire(identity, limits, START_MS + after_ms)
        except Rejection as rejection:
            assert rejection.status == 429
            return False
        return True

    assert [is_allowed(ms) for ms in (59_998, 59_999, 60_000, 60_001, 119_999, 120_000)] == [
        *(True, False),
        *(True, False, False),
        True,
    ]


@on_stage_with(own=THREE)
async def test_a_slow_body_counts_in_the_minute_of_its_end_and_starts_no_minute_anew(stage: Stage) -> None:
    arrival, auth = asyncio.Event(), stage.acme.auth_key
    path = "/api/v1/namespaces/_/actions/nope"
    slow = asyncio.create_task(stage.client.request("POST", path, json={}, auth=auth, arrival=arrival))
    await asyncio.sleep(0)  # it has begun
    wait_for_the_next_minute(stage)
    assert [(await stage.invoke("nope")).status for _ in range(3)] == [404, 404, 404]
    arrival.set()
    check(await slow, 429, too_many(4, 3))
    check(await stage.invoke("nope"), 429, too_many(5, 3))


# Calls at once

TWO_AT_ONCE = NamespaceLimits(concurrent_invocations=2)


@on_stage_with(own=TWO_AT_ONCE)
async def test_no_more_calls_are_in_flight_than_allowed_and_one_that_ends_makes_room(stage: Stage) -> None:
    await stage.action("acme/slow", hold := Hold())
    assert [(await stage.invoke("slow", query="blocking=false")).status for _ in range(2)] == [202, 202]
    check(await stage.invoke("slow"), 429, too_many_at_once(2, 2))
    check(await stage.invoke("nope"), 429, too_many_at_once(2, 2))
    hold.release.set()
    await stage.services.running.drain()
    assert [(await stage.invoke("slow")).status for _ in range(3)] == [200, 200, 200]


@on_stage_with(limits=SystemLimits(concurrent_invocations=1))
async def test_calls_in_flight_are_counted_by_namespace(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    await stage.action("acme/p/slow", hold := Hold())
    path = "acme/actions/p/slow"
    assert (await stage.request("POST", path, by=stage.other)).status == 202
    check(await stage.request("POST", path, by=stage.other), 429, too_many_at_once(1, 1))
    assert (await stage.request("POST", path)).status == 202
    hold.release.set()


@on_stage_with(own=TWO_AT_ONCE)
async def test_calls_that_are_refused_take_no_room(stage: Stage) -> None:
    await stage.action("acme/a")
    for _ in range(3):
        check(await stage.invoke("nope"), 404, MISSING)
        assert (await stage.request("POST", "other/actions/a")).status == 403
        assert (await stage.invoke("a", {}, "timeout=0")).status == 400
        assert (await stage.invoke("a", body=b"x", headers={"Content-Type": "text/plain"})).status == 415
    assert (await stage.invoke("a")).status == 200


@on_stage_with(own=NamespaceLimits(invocations_per_minute=2, concurrent_invocations=1))
async def test_the_rate_is_checked_first_and_counts_what_found_no_room(stage: Stage) -> None:
    await stage.action("acme/slow", hold := Hold())
    assert (await stage.invoke("slow", query="blocking=false")).status == 202
    check(await stage.invoke("slow"), 429, too_many_at_once(1, 1))
    check(await stage.invoke("slow"), 429, too_many(3, 2))
    hold.release.set()


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_triggers_are_fired_also_when_no_call_has_room(stage: Stage) -> None:
    await stage.action("acme/slow", hold := Hold())
    await stage.trigger("acme/t")
    assert (await stage.invoke("slow", query="blocking=false")).status == 202
    assert (await stage.request("POST", "_/triggers/t")).status == 204
    hold.release.set()
