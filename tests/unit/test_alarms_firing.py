"""What follows from the answer to a fire, and from fires that were counted."""

from __future__ import annotations

from typing import Any

import pytest

from sabayon.provider.alarms.firing import (
    MAX_RETRIES,
    UNREACHABLE,
    Disabled,
    Done,
    Dropped,
    Retry,
    Verdict,
    begun,
    dropped,
    is_throttled,
    reason_at_start,
    reason_to_end,
    verdict,
)
from sabayon.provider.alarms.timer import AUTO, Reason, Timer
from tests.unit.alarms_stage import MINUTE_MS, NOON_MS


def timer(**fields: Any) -> Timer:
    return Timer(namespace="acme", name="tick", auth_key="a:b", payload={}, **{"kind": "cron", **fields})


def verdicts(statuses: list[int]) -> list[Verdict]:
    """What each of several answers in a row leads to."""
    return [
        verdict(status, attempts, sum(map(is_throttled, statuses[:attempts])))
        for attempts, status in enumerate(statuses, 1)
    ]


@pytest.mark.parametrize("status", [200, 202, 204, 302])
def test_a_fire_is_done_when_it_is_not_refused(status: int) -> None:
    assert verdict(status, 1, 0) == Done()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 499])
def test_a_refusal_that_stays_disables_the_timer_at_once(status: int) -> None:
    text = f"Trigger automatically disabled: Received a {status} status code when firing the trigger"
    assert verdict(status, 1, 0) == Disabled(Reason(AUTO, text, status))


@pytest.mark.parametrize("status", [UNREACHABLE, 408, 409, 500, 502, 503])
def test_what_may_pass_is_retried_each_second_and_dropped_in_the_end(status: int) -> None:
    assert verdicts([status] * 11) == [Retry(1.0)] * MAX_RETRIES + [Dropped()]


def test_a_throttled_fire_is_retried_ever_later_and_disables_the_timer_in_the_end() -> None:
    *retries, last = verdicts([429] * 11)
    assert retries == [Retry(float(n * n)) for n in range(1, 11)]
    text = "Automatically disabled after continuously receiving a 429 status code when firing the trigger"
    assert last == Disabled(Reason(AUTO, text, 429))


def test_a_fire_throttled_only_at_times_is_dropped_and_waits_by_the_number_of_throttles() -> None:
    statuses = [503, 429, 429, 503, 503, 503, 503, 503, 503, 503, 429]
    delays = [found.delay_s for found in verdicts(statuses) if isinstance(found, Retry)]
    assert delays == [1, 1, 4, 4, 4, 4, 4, 4, 4, 4]
    assert verdicts(statuses)[-1] == Dropped()


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (timer(kind="once"), "Automatically disabled after firing once"),
        (timer(max_triggers=3, fired=3), "Automatically disabled after reaching max triggers"),
        (timer(), "Automatically disabled after firing last scheduled cron trigger"),
        (timer(max_triggers=3, fired=2), "Automatically disabled after firing last scheduled cron trigger"),
        (timer(kind="interval"), "Automatically disabled after firing last scheduled interval trigger"),
    ],
)
def test_a_timer_that_is_never_due_again_ends(ended: Timer, message: str) -> None:
    assert reason_to_end(ended) == Reason(AUTO, message)


def test_a_timer_that_is_due_again_does_not_end() -> None:
    assert reason_to_end(timer(due_ms=NOON_MS)) is None


@pytest.mark.parametrize(
    ("limit", "fired", "due_ms"), [(-1, 7, NOON_MS + MINUTE_MS), (3, 1, NOON_MS + MINUTE_MS), (3, 2, None)]
)
def test_a_fire_counts_as_soon_as_it_begins_and_the_last_one_leaves_nothing_due(
    limit: int, fired: int, due_ms: int | None
) -> None:
    following = begun(timer(cron="* * * * *", max_triggers=limit, fired=fired, due_ms=NOON_MS), NOON_MS)
    assert (following.fired, following.due_ms) == (fired + 1, due_ms)


def test_another_fire_takes_the_place_of_a_dropped_one() -> None:
    last = begun(timer(cron="* * * * *", max_triggers=1, due_ms=NOON_MS), NOON_MS)
    again = dropped(last, NOON_MS + MINUTE_MS)
    assert (again.fired, again.due_ms) == (0, NOON_MS + 2 * MINUTE_MS)


def test_nothing_takes_the_place_of_a_dropped_fire_that_was_the_only_one() -> None:
    once = begun(timer(kind="once", date=NOON_MS, due_ms=NOON_MS), NOON_MS)
    assert dropped(once, NOON_MS).due_ms is None


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (timer(due_ms=NOON_MS - 1), None),
        (timer(due_ms=NOON_MS - 1, stop_date=NOON_MS + 1), None),
        (
            timer(due_ms=NOON_MS - 1, stop_date=NOON_MS),
            "Automatically disabled after receiving error on trigger initialization: the stop date has expired",
        ),
        (timer(max_triggers=1, fired=1), "Automatically disabled after reaching max triggers"),
    ],
)
def test_at_start_a_timer_is_taken_up_unless_it_is_over(kept: Timer, message: str | None) -> None:
    reason = reason_at_start(kept, NOON_MS)
    assert (reason.message if reason else None) == message
