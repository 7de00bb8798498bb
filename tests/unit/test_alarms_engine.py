"""Timers while time goes by: when they fire, what they do about trouble, how they end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sabayon.provider.alarms.timer import ADMIN, Reason, encode
from sabayon.store.memory import MemoryLedger
from tests.unit.alarms import DAY, HOUR, MINUTE, START_MS, Timers, owner, timer, with_timers

GONE = "Trigger automatically disabled: Received a 404 status code when firing the trigger"
THROTTLED = "Automatically disabled after continuously receiving a 429 status code when firing the trigger"
FIRED_ONCE = "Automatically disabled after firing once"


def at(seconds: float) -> int:
    """As epoch ms."""
    return START_MS + int(seconds * 1000)


def test_a_cron_timer_fires_at_every_match() -> None:
    async def test(timers: Timers) -> None:
        await timers.add(cron="*/10 * * * *")
        await timers.until(30 * MINUTE)
        assert timers.fired_at() == [10 * MINUTE, 20 * MINUTE, 30 * MINUTE]

    with_timers(test)


def test_an_interval_fires_at_its_start_date_and_every_so_many_minutes_after() -> None:
    async def test(timers: Timers) -> None:
        await timers.add(isInterval=True, minutes=2, startDate=at(45))
        await timers.until(300)
        assert timers.fired_at() == [45, 165, 285]

    with_timers(test)


def test_an_interval_without_start_date_begins_half_a_minute_later() -> None:
    async def test(timers: Timers) -> None:
        await timers.add(isInterval=True, minutes=1)
        await timers.until(100)
        assert timers.fired_at() == [30, 90]

    with_timers(test)


def test_a_trigger_is_fired_with_the_payload_of_its_timer() -> None:
    async def test(timers: Timers) -> None:
        await timers.add(cron="* * * * *", trigger_payload={"a": [1]})
        await timers.until(MINUTE)
        assert timers.platform.payloads == [{"a": [1]}]

    with_timers(test)


def test_slow_fires_do_not_delay_the_points_that_follow() -> None:
    async def test(timers: Timers) -> None:
        timers.platform.lasts_s = 95
        await timers.add(cron="* * * * *")
        await timers.until(4 * MINUTE)
        assert timers.fired_at() == [60, 120, 180, 240]

    with_timers(test)


def test_many_timers_fire_each_at_its_own_time() -> None:
    async def test(timers: Timers) -> None:
        for second in (50, 10, 30, 10):
            await timers.add(f"t{second}", fireOnce=True, date=at(second))
        await timers.until(MINUTE)
        assert timers.platform.fires == [("t10", 10), ("t30", 30), ("t50", 50)]

    with_timers(test)


def test_a_timer_that_is_due_before_all_others_is_not_waited_past() -> None:
    async def test(timers: Timers) -> None:
        await timers.add("late", fireOnce=True, date=at(HOUR))
        await timers.until(10)
        await timers.add("soon", fireOnce=True, date=at(12))
        await timers.until(13)
        assert timers.platform.fires == [("soon", 12)]

    with_timers(test)


def test_a_timer_in_more_milliseconds_than_fit_in_32_bits_waits_for_them() -> None:
    async def test(timers: Timers) -> None:
        await timers.add(fireOnce=True, date=at(25 * DAY))
        await timers.until(24 * DAY)
        assert timers.fired_at() == []
        await timers.until(25 * DAY)
        assert timers.fired_at() == [25 * DAY]

    with_timers(test)


class TestTheEnd:
    def test_once_is_disabled_after_it_has_fired(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(fireOnce=True, date=at(30))
            assert timers.reason() is None
            await timers.until(DAY)
            assert timers.fired_at() == [30]
            assert timers.reason() == FIRED_ONCE

        with_timers(test)

    @pytest.mark.parametrize(("wish", "with_rules"), [("true", False), ("rules", True)])
    def test_once_removes_its_trigger_when_it_is_to(self, wish: str, with_rules: bool) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(fireOnce=True, date=at(30), deleteAfterFire=wish)
            await timers.until(31)
            assert timers.platform.removed == [("tick", with_rules)]
            assert timers.engine.find("acme/tick") is None
            assert await timers.ledger.load() == []

        with_timers(test)

    def test_a_trigger_stays_when_it_is_not_to_be_removed(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(fireOnce=True, date=at(30), deleteAfterFire="false")
            await timers.until(31)
            assert timers.platform.removed == []
            assert timers.reason() == FIRED_ONCE

        with_timers(test)

    @pytest.mark.parametrize(
        ("given", "fired", "kind"),
        [
            ({"cron": "* * * * *", "stopDate": at(150)}, [60, 120], "cron"),
            ({"cron": "* * * * *", "stopDate": at(120)}, [60, 120], "cron"),
            ({"isInterval": True, "minutes": 1, "startDate": at(30), "stopDate": at(130)}, [30, 90], "interval"),
        ],
    )
    def test_a_timer_is_disabled_after_the_last_fire_before_its_stop_date(
        self, given: dict[str, Any], fired: list[int], kind: str
    ) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(**given)
            await timers.until(fired[-1] - 2)
            assert timers.reason() is None
            await timers.until(HOUR)
            assert timers.fired_at() == fired
            assert timers.reason() == f"Automatically disabled after firing last scheduled {kind} trigger"

        with_timers(test)

    def test_a_timer_fires_as_often_as_it_may(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *", maxTriggers=2)
            await timers.until(HOUR)
            assert timers.fired_at() == [60, 120]
            assert timers.reason() == "Automatically disabled after reaching max triggers"

        with_timers(test)

    def test_fires_that_are_under_way_count_as_well(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.lasts_s = 10
            await timers.add(cron="* * * * * *", maxTriggers=3)
            await timers.until(MINUTE)
            assert timers.fired_at() == [1, 2, 3]

        with_timers(test)

    def test_a_timer_that_ends_while_a_fire_is_retried_waits_for_it(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503, 202]
            timers.platform.lasts_s = 2
            await timers.add(cron="* * * * * *", maxTriggers=2)
            await timers.until(MINUTE)
            assert timers.fired_at() == [1, 2, 4]
            assert timers.reason() == "Automatically disabled after reaching max triggers"

        with_timers(test)

    def test_a_timer_that_is_removed_fires_no_more(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *")
            await timers.until(MINUTE)
            await timers.engine.remove("acme/tick")
            await timers.until(HOUR)
            assert timers.fired_at() == [60]
            assert await timers.ledger.load() == []

        with_timers(test)


class TestUpdates:
    def test_a_new_schedule_takes_the_place_of_the_old_one(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *")
            await timers.until(MINUTE)
            await timers.update(cron="*/5 * * * *")
            await timers.until(10 * MINUTE)
            assert timers.fired_at() == [60, 300, 600]

        with_timers(test)

    def test_an_update_that_leaves_the_time_as_it_was_does_not_fire_it_twice(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(fireOnce=True, date=at(60))
            await timers.update(date=at(90))
            await timers.update(date=at(60))
            await timers.until(HOUR)
            assert timers.fired_at() == [60]

        with_timers(test)

    def test_a_timer_that_has_ended_begins_anew_with_its_count(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *", maxTriggers=2)
            await timers.until(HOUR)
            await timers.update(trigger_payload="again")
            assert timers.reason() is None
            await timers.until(2 * HOUR)
            assert timers.fired_at() == [60, 120, HOUR + 60, HOUR + 120]
            assert timers.platform.payloads[-1] == {"payload": "again"}

        with_timers(test)

    def test_a_fire_of_the_old_timer_that_waits_to_be_retried_is_given_up(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503]
            await timers.add(fireOnce=True, date=at(60))
            await timers.until(62)
            await timers.update(date=at(HOUR))
            timers.platform.statuses = [202]
            await timers.until(HOUR)
            assert timers.fired_at() == [60, 61, 62, HOUR]

        with_timers(test)

    def test_the_answer_to_an_old_fire_does_not_disable_the_new_timer(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [404, 202]
            timers.platform.lasts_s = 10
            await timers.add(fireOnce=True, date=at(60))
            await timers.until(65)
            await timers.add(fireOnce=True, date=at(HOUR))
            await timers.until(2 * MINUTE)
            assert timers.reason() is None

        with_timers(test)

    def test_thousands_of_updates_leave_one_due_time(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add("other", fireOnce=True, date=at(59))
            for second in range(1000):
                await timers.add(fireOnce=True, date=at(60 + second))
            await timers.until(HOUR)
            assert timers.platform.fires == [("other", 59), ("tick", 1059)]

        with_timers(test)


class TestTrouble:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
    def test_a_trigger_that_is_refused_for_good_is_not_fired_again(self, status: int) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [status]
            await timers.add(cron="* * * * *")
            await timers.until(HOUR)
            assert timers.fired_at() == [60]
            assert timers.reason() == GONE.replace("404", str(status))
            current = timers.engine.find("acme/tick")
            assert current is not None
            assert current.reason is not None
            assert current.reason.statusCode == status

        with_timers(test)

    @pytest.mark.parametrize("status", [0, 408, 409, 429, 500, 503])
    def test_a_fire_that_may_still_succeed_is_tried_again(self, status: int) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [status, 202]
            await timers.add(cron="0 * * * *")
            await timers.until(HOUR + 5)
            assert timers.fired_at() == [HOUR, HOUR + 1]
            assert timers.reason() is None

        with_timers(test)

    def test_throttled_fires_are_retried_ever_later_and_disabled_in_the_end(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [429]
            await timers.add(cron="0 * * * *")
            await timers.until(HOUR + 384)
            assert timers.reason() is None
            await timers.until(3 * HOUR)
            assert timers.fired_at() == [HOUR + wait for wait in (0, 1, 5, 14, 30, 55, 91, 140, 204, 285, 385)]
            assert timers.reason() == THROTTLED

        with_timers(test)

    def test_a_fire_that_fails_for_long_is_dropped_and_the_timer_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503] * 11 + [202]
            await timers.add(cron="0 * * * *")
            await timers.until(2 * HOUR)
            assert timers.fired_at() == [*range(HOUR, HOUR + 11), 2 * HOUR]
            assert timers.reason() is None

        with_timers(test)
        assert "a fire of trigger acme/tick is dropped after 11 attempts" in caplog.messages

    def test_a_dropped_fire_does_not_count(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503] * 11 + [202]
            await timers.add(cron="0 * * * *", maxTriggers=1)
            await timers.until(5 * HOUR)
            assert timers.fired_at() == [*range(HOUR, HOUR + 11), 2 * HOUR]
            assert timers.reason() == "Automatically disabled after reaching max triggers"

        with_timers(test)

    def test_a_timer_does_not_pile_up_fires_without_end(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.lasts_s = 999.5
            await timers.add(cron="* * * * * *")
            await timers.until(900)
            assert timers.fired_at() == list(range(1, 17))
            await timers.until(1001)
            assert timers.fired_at()[16:] == [1001]

        with_timers(test)

    def test_a_timer_that_cannot_be_kept_leaves_the_others_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test(timers: Timers) -> None:
            await timers.add("first", cron="* * * * *")
            await timers.add("second", fireOnce=True, date=at(90))
            timers.ledger.is_full = True
            await timers.until(MINUTE)
            timers.ledger.is_full = False
            await timers.until(2 * MINUTE)
            assert timers.platform.fires == [("second", 90), ("first", 120)]

        with_timers(test, FailingLedger())
        assert "a fire failed: disk full" in caplog.messages

    def test_keys_do_not_appear_in_logs(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        async def test(timers: Timers) -> None:
            timers.platform.statuses = [404]
            await timers.add(cron="* * * * *")
            await timers.until(MINUTE)

        with_timers(test)
        assert GONE in caplog.text
        assert owner().auth_key not in caplog.text


class FailingLedger(MemoryLedger):
    """Writes nothing while its disk is full."""

    is_full = False

    async def put(self, key: str, document: bytes) -> None:
        if self.is_full:
            raise OSError("disk full")
        await super().put(key, document)


class TestRestarts:
    def test_a_timer_goes_on_with_its_schedule(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(isInterval=True, minutes=1, startDate=at(30))
            await timers.until(100)
            await timers.restart(down_s=5)
            await timers.until(220)
            assert timers.fired_at() == [30, 90, 150, 210]

        with_timers(test)

    def test_what_was_missed_fires_once_and_then_on_schedule(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add("cron", cron="* * * * *")
            await timers.add("interval", isInterval=True, minutes=2, startDate=at(30))
            await timers.until(95)
            await timers.restart(down_s=1000)
            back = round(timers.clock.seconds())
            await timers.until(1220)
            assert timers.fired_at("cron") == [60, back, 1140, 1200]
            assert timers.fired_at("interval") == [30, back, 1110]

        with_timers(test)

    def test_once_fires_later_when_its_date_was_missed(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(fireOnce=True, date=at(60))
            await timers.restart(down_s=HOUR)
            await timers.until(HOUR + 5)
            assert timers.fired_at() == [HOUR]
            assert timers.reason() == FIRED_ONCE

        with_timers(test)

    def test_once_is_not_lost_while_it_is_retried(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503]
            await timers.add(fireOnce=True, date=at(60))
            await timers.until(61)
            timers.platform.statuses = [202]
            await timers.restart(down_s=10)
            await timers.until(MINUTE + 30)
            assert timers.fired_at()[2:] == [71]
            assert timers.reason() == FIRED_ONCE

        with_timers(test)

    def test_a_stop_date_that_has_passed_ends_a_timer_without_another_fire(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *", stopDate=at(200))
            await timers.until(90)
            await timers.restart(down_s=HOUR)
            await timers.until(2 * HOUR)
            assert timers.fired_at() == [60]
            assert timers.reason() == (
                "Automatically disabled after receiving error on trigger initialization: the stop date has expired"
            )

        with_timers(test)

    def test_the_count_of_fires_is_kept(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *", maxTriggers=3)
            await timers.until(2 * MINUTE)
            await timers.restart(down_s=5)
            await timers.until(HOUR)
            assert timers.fired_at() == [60, 120, 180]

        with_timers(test)

    def test_a_last_fire_that_was_cut_off_ends_its_timer(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.lasts_s = 100
            await timers.add(cron="* * * * *", maxTriggers=1)
            await timers.until(MINUTE)
            await timers.restart()
            assert timers.reason() == "Automatically disabled after reaching max triggers"
            await timers.until(HOUR)
            assert timers.fired_at() == [60]

        with_timers(test)

    def test_disabled_timers_stay_disabled_and_known(self) -> None:
        async def test(timers: Timers) -> None:
            stopped = timer(cron="* * * * *").disabled(Reason(ADMIN, "no more"), START_MS)
            await timers.engine.put(stopped)
            await timers.restart(down_s=DAY)
            await timers.until(2 * DAY)
            assert timers.fired_at() == []
            assert timers.reason() == "no more"

        with_timers(test)

    def test_a_timer_that_was_removed_does_not_come_back(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.add(cron="* * * * *")
            await timers.engine.remove("acme/tick")
            await timers.restart()
            assert timers.engine.find("acme/tick") is None

        with_timers(test)

    def test_nothing_is_fired_after_the_engine_was_closed(self) -> None:
        async def test(timers: Timers) -> None:
            timers.platform.statuses = [503]
            await timers.add(cron="* * * * *")
            await timers.until(MINUTE)
            await timers.engine.aclose()
            await timers.until(HOUR)
            assert timers.fired_at() == [60]

        with_timers(test)

    def test_an_engine_that_is_closed_while_a_timer_arrives_comes_to_its_end(self) -> None:
        async def test(timers: Timers) -> None:
            await timers.until(1)
            await timers.add(cron="* * * * *")
            async with asyncio.timeout(MINUTE):
                await timers.engine.aclose()

        with_timers(test)

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"{}",
            b"noise",
            encode(timer(cron="* * * * *", stopDate=at(DAY))).replace(b'"stop_date":', b'"stop_date":9999'),
        ],
        ids=["empty", "bare", "noise", "date"],
    )
    def test_a_document_that_cannot_be_read_is_left_alone(
        self, document: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test(timers: Timers) -> None:
            await timers.add("good", cron="* * * * *")
            await timers.ledger.put("acme/bad", document)
            await timers.restart()
            await timers.until(MINUTE)
            assert timers.platform.fires == [("good", 60)]
            assert ("acme/bad", document) in await timers.ledger.load()

        with_timers(test)
        assert "the timer of trigger acme/bad cannot be read" in caplog.text

    @pytest.mark.parametrize(
        ("good", "bad"), [(b"1-31", b"32-99"), (b"Europe/Rome", b"Europe/Roma")], ids=["pattern", "zone"]
    )
    def test_a_schedule_that_cannot_be_read_any_more_disables_its_timer_alone(self, good: bytes, bad: bytes) -> None:
        async def test(timers: Timers) -> None:
            kept = encode(timer("bad", cron="* * 1-31 * *", timezone="Europe/Rome"))
            await timers.add("good", cron="*/2 * * * *")
            await timers.ledger.put("acme/bad", kept.replace(good, bad))
            await timers.restart()
            await timers.until(2 * MINUTE)
            assert timers.platform.fires == [("good", 120)]
            assert (timers.reason("bad") or "").startswith(
                "Automatically disabled after receiving error on trigger initialization: "
            )

        with_timers(test)
