"""What happens to a timer while a fire of it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sabayon.provider.alarms.timer import decode
from sabayon.store.memory import MemoryLedger
from tests.unit.alarms_stage import (
    HOUR_MS,
    MINUTE_MS,
    NOON_MS,
    SECOND_MS,
    AlarmsStage,
    SlowLedger,
    fires_after,
    play,
    settle,
)

SOON_MS = NOON_MS + MINUTE_MS
LATER_MS = NOON_MS + HOUR_MS
Step = Callable[[AlarmsStage], Awaitable[None]]


async def under_way(stage: AlarmsStage, **given: object) -> None:
    """A timer whose first fire has begun and has no answer yet."""
    stage.platform.gate.clear()
    await stage.add(**given)
    await stage.pass_(MINUTE_MS)
    assert len(stage.platform.fires) == 1


async def answered(stage: AlarmsStage) -> None:
    """All fires that wait have their answer."""
    stage.platform.gate.set()
    await settle()


async def is_kept_as_known(stage: AlarmsStage) -> bool:
    """Whether what a restart would find is what the provider says now."""
    kept = {key: decode(document) for key, document in await stage.ledger.load()}
    return kept == {key: timer for key in kept if (timer := stage.engine.find(key))}


@pytest.mark.parametrize("answer", [202, 404, 503])
def test_a_timer_deleted_while_it_fires_stays_deleted(answer: int) -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.answers = [answer]
        await under_way(stage, cron="* * * * *")
        assert (await stage.request("DELETE")).status == 200
        await answered(stage)
        await stage.pass_(HOUR_MS)
        assert fires_after(stage) == [60]
        assert stage.engine.find("acme/tick") is None
        assert await stage.ledger.load() == []

    play(test)


@pytest.mark.parametrize("ledger", [MemoryLedger, SlowLedger])
@pytest.mark.parametrize("turns", range(12))
def test_a_timer_deleted_at_any_step_of_its_fire_is_not_written_again(turns: int, ledger: type[MemoryLedger]) -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.add(cron="* * * * *")
        await settle()
        stage.clock.strike(SOON_MS)
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.engine.remove("acme/tick")
        await stage.pass_(HOUR_MS)
        assert fires_after(stage) in ([], [60])
        assert await stage.ledger.load() == []

    play(test, ledger())


@pytest.mark.parametrize("ledger", [MemoryLedger, SlowLedger])
@pytest.mark.parametrize("turns", range(12))
def test_a_timer_updated_at_any_step_of_its_fire_is_kept_as_updated(turns: int, ledger: type[MemoryLedger]) -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.add(fireOnce=True, date=SOON_MS, deleteAfterFire="false")
        await settle()
        stage.clock.strike(SOON_MS)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert (await stage.request("PUT", given={"date": LATER_MS})).status == 200
        await settle()
        assert stage.timer().due_ms == LATER_MS
        assert await is_kept_as_known(stage)
        await stage.restart()
        assert stage.timer().due_ms == LATER_MS

    play(test, ledger())


def test_requests_before_the_start_wait_for_the_timers_of_earlier_runs() -> None:
    async def test(stage: AlarmsStage) -> None:
        timer = await stage.add(fireOnce=True, date=LATER_MS)
        late = AlarmsStage(NOON_MS, stage.ledger)
        read = asyncio.create_task(late.request("GET"))
        deleted = asyncio.create_task(late.request("DELETE", "acme/other"))
        await settle()
        assert not read.done()
        await late.engine.start()
        assert (await read).json["config"]["date"] == timer.date
        assert (await deleted).status == 404
        await late.engine.aclose()

    play(test)


@pytest.mark.parametrize("answer", [202, 404, 429, 503])
def test_an_update_while_it_fires_is_what_counts(answer: int) -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.answers = [answer]
        await under_way(stage, fireOnce=True, date=SOON_MS, deleteAfterFire="true")
        update = {"date": LATER_MS, "deleteAfterFire": "false", "trigger_payload": "new"}
        assert (await stage.request("PUT", given=update)).status == 200
        expected = stage.timer()
        await answered(stage)
        await stage.pass_(10 * MINUTE_MS)
        assert stage.timer() == expected
        assert stage.platform.removed == []
        assert await is_kept_as_known(stage)

        await stage.pass_(HOUR_MS)
        assert fires_after(stage) == [60, 3600]
        assert [timer.payload for _, timer in stage.platform.fires][-1] == {"payload": "new"}

    play(test)


def test_a_timer_created_anew_while_the_old_one_fires_is_not_ended_by_it() -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.answers = [404]
        await under_way(stage, cron="* * * * *")
        await stage.engine.remove("acme/tick")
        anew = await stage.add(cron="*/10 * * * *")
        await answered(stage)
        assert stage.timer() == anew
        await stage.pass_(20 * MINUTE_MS)
        assert fires_after(stage) == [60, 600, 1200]

    play(test)


def test_a_refusal_ends_the_retries_of_another_fire_as_well() -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.answers = [429, 429, 429, 404]
        await stage.add(cron="*/3 * * * * *")
        await stage.pass_(HOUR_MS)
        assert len(stage.platform.fires) == 4
        assert not stage.timer().is_active

    play(test)


def test_an_answer_that_takes_longer_than_the_timer_holds_up_nothing() -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, cron="* * * * *")
        await stage.pass_(2 * MINUTE_MS)
        assert fires_after(stage) == [60, 120, 180]
        await stage.add("other", fireOnce=True, date=NOON_MS + 200 * SECOND_MS)
        await stage.pass_(20 * SECOND_MS)
        assert fires_after(stage) == [60, 120, 180, 200]
        await answered(stage)
        assert stage.timer().is_active

    play(test)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_fires_without_an_answer_yet_count_towards_the_limit(limit: int) -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, cron="* * * * *", maxTriggers=limit)
        await stage.pass_(HOUR_MS)
        assert len(stage.platform.fires) == limit
        assert stage.timer().is_active
        await answered(stage)
        assert not stage.timer().is_active
        assert await is_kept_as_known(stage)

    play(test)


def test_a_machine_that_slept_fires_once_for_what_it_slept_through() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.add(cron="* * * * *")
        await settle()
        await stage.clock.leap_to(NOON_MS + 10 * MINUTE_MS + 5 * SECOND_MS)
        await stage.pass_(2 * MINUTE_MS)
        assert fires_after(stage) == [605, 660, 720]

    play(test)


def test_a_clock_set_back_fires_nothing_again() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.add(cron="* * * * *")
        await stage.pass_(3 * MINUTE_MS)
        await stage.clock.leap_to(NOON_MS)
        await stage.pass_(3 * MINUTE_MS)
        assert fires_after(stage) == [60, 120, 180]
        await stage.pass_(MINUTE_MS)
        assert fires_after(stage) == [60, 120, 180, 240]

    play(test)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_restart_while_a_fire_is_under_way_does_not_fire_it_again(limit: int) -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, cron="* * * * *", maxTriggers=limit)
        await stage.restart(after_ms=SECOND_MS)
        await stage.pass_(HOUR_MS)
        await answered(stage)
        assert fires_after(stage) == [60, 120][:limit]
        assert not stage.timer().is_active

    play(test)


def test_an_update_made_while_a_fire_is_under_way_outlives_a_restart() -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, cron="* * * * *")
        await stage.request("PUT", given={"cron": "*/30 * * * *", "trigger_payload": {"a": 2}})
        await stage.restart(after_ms=SECOND_MS)
        stage.platform.gate.set()
        await stage.pass_(HOUR_MS)
        assert fires_after(stage) == [60, 1800, 3600]
        assert stage.platform.fires[-1][1].payload == {"a": 2}

    play(test)


def test_a_delete_made_while_a_fire_is_under_way_outlives_a_restart() -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, cron="* * * * *")
        await stage.request("DELETE")
        await stage.restart(after_ms=10 * MINUTE_MS)
        stage.platform.gate.set()
        await stage.pass_(HOUR_MS)
        assert fires_after(stage) == [60]
        assert stage.engine.find("acme/tick") is None

    play(test)


def test_a_timer_for_once_that_was_cut_off_fires_at_most_once_more_and_then_ends() -> None:
    async def test(stage: AlarmsStage) -> None:
        await under_way(stage, fireOnce=True, date=SOON_MS)
        await stage.restart(after_ms=SECOND_MS)
        await answered(stage)
        await stage.restart(after_ms=SECOND_MS)
        await stage.pass_(HOUR_MS)
        assert fires_after(stage) in ([60], [60, 61])
        assert not stage.timer().is_active

    play(test)
