"""When timers fire: cron patterns, intervals, single dates, and how dates are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.provider.alarms.schedule import moment_ms, next_due, next_match, zone
from sabayon.provider.alarms.timer import Timer
from tests.unit.alarms_stage import MINUTE_MS, ms

START = "2024-01-01T00:00:30.500"


def timer(**fields: Any) -> Timer:
    return Timer(namespace="acme", name="tick", auth_key="a:b", payload={}, **fields)


def matches(cron: str, timezone: str | None, after: str, count: int) -> list[str]:
    """The next `count` matches, in UTC."""
    found = []
    at_ms: int | None = ms(after)
    for _ in range(count):
        assert at_ms is not None
        at_ms = next_match(cron, timezone, at_ms)
        assert at_ms is not None
        found.append(f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}")
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/8 * * * * *", ["2024-01-01T00:00:32", "2024-01-01T00:00:40", "2024-01-01T00:00:48"]),
        ("* * * * *", ["2024-01-01T00:01:00", "2024-01-01T00:02:00"]),
        ("* * * * * *", ["2024-01-01T00:00:31", "2024-01-01T00:00:32"]),
        ("15 * * * * *", ["2024-01-01T00:01:15", "2024-01-01T00:02:15"]),
        ("0 */2 * * *", ["2024-01-01T02:00:00", "2024-01-01T04:00:00", "2024-01-01T06:00:00"]),
        ("5/15 * * * *", ["2024-01-01T00:05:00", "2024-01-01T00:20:00", "2024-01-01T00:35:00"]),
        ("1,2,*/30 * * * *", ["2024-01-01T00:01:00", "2024-01-01T00:02:00", "2024-01-01T00:30:00"]),
        ("10-40/15 * * * *", ["2024-01-01T00:10:00", "2024-01-01T00:25:00", "2024-01-01T00:40:00"]),
        ("  0   9 * * * ", ["2024-01-01T09:00:00"]),
    ],
)
def test_a_pattern_matches_at(cron: str, expected: list[str]) -> None:
    assert matches(cron, None, START, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 1 1 *", "2025-01-01"),
        ("0 0 1 jan *", "2025-01-01"),
        ("0 0 1 12 *", "2024-12-01"),
        ("0 0 1 DEC *", "2024-12-01"),
        ("0 0 * * 0", "2024-01-07"),
        ("0 0 * * 7", "2024-01-07"),
        ("0 0 * * sun", "2024-01-07"),
        ("0 0 * * 6", "2024-01-06"),
        ("0 0 29 2 *", "2024-02-29"),
        ("0 0 31 * *", "2024-01-31"),
    ],
)
def test_months_and_days_of_the_week_are_read_as_cron_reads_them(cron: str, expected: str) -> None:
    assert matches(cron, None, START, 1) == [f"{expected}T00:00:00"]


def test_a_day_of_the_month_and_one_of_the_week_match_either() -> None:
    assert [day[:10] for day in matches("0 0 13 * 5", None, START, 3)] == ["2024-01-05", "2024-01-12", "2024-01-13"]


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "@daily",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 1 0 *",
        "0 0 1 13 *",
        "0 0 * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "-1 * * * *",
        "1.5 * * * *",
        "*** * * * *",
        "? * * * *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 * * 5#2",
        "0 0 * * 5L",
        "0 0 * * sunday",
        "0 0 1 january *",
        "x * * * *",
        ", * * * *",
        "١ * * * *",
    ],
)
def test_a_pattern_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        next_match(cron, None, ms(START))


def test_a_day_that_no_chosen_month_has_is_refused_or_never_comes() -> None:
    try:
        assert next_match("0 0 31 4 *", None, ms(START)) is None
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [
        ("Europe/Rome", "2024-01-01T08:00:00"),
        ("America/New_York", "2024-01-01T14:00:00"),
        ("Asia/Kolkata", "2024-01-01T03:30:00"),
        ("UTC", "2024-01-01T09:00:00"),
        ("", "2024-01-01T09:00:00"),
    ],
)
def test_a_pattern_is_held_against_the_clock_of_its_time_zone(timezone: str, expected: str) -> None:
    assert matches("0 9 * * *", timezone, START, 1) == [expected]


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "\0", "x" * 300])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        zone(name)


@given(
    st.sampled_from(["* * * * *", "*/8 * * * * *", "30 2 * * *", "0 */2 * * *", "0 0 13 * 5", "15 1-3 * * *"]),
    st.sampled_from([None, "Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.integers(ms("2023-12-31T00:00:00"), ms("2026-01-01T00:00:00")),
)
def test_the_next_match_is_later_and_nothing_lies_between(cron: str, timezone: str | None, after_ms: int) -> None:
    found = next_match(cron, timezone, after_ms)
    assert found is not None
    assert found > after_ms
    between = after_ms + (found - after_ms) // 2
    assert next_match(cron, timezone, between) == found


def test_a_cron_timer_does_not_match_before_its_start() -> None:
    late = timer(kind="cron", cron="*/5 * * * *", start_date="2024-01-01T01:02:00Z")
    assert next_due(late, ms(START)) == ms("2024-01-01T01:05:00")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("2024-01-01T00:05:00Z", ms("2024-01-01T00:05:00")), ("2024-01-01T00:04:59Z", None)],
)
def test_a_stop_date_is_the_last_moment_of_a_schedule(stop: str, expected: int | None) -> None:
    assert next_due(timer(kind="cron", cron="*/5 * * * *", stop_date=stop), ms(START)) == expected


INTERVAL = timer(kind="interval", minutes=10, start_date="2024-01-01T00:03:00Z", stop_date="2024-01-01T01:00:00Z")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2024-01-01T00:00:00", "2024-01-01T00:03:00"),
        ("2024-01-01T00:03:00", "2024-01-01T00:13:00"),
        ("2024-01-01T00:03:00.001", "2024-01-01T00:13:00"),
        ("2024-01-01T00:12:59.999", "2024-01-01T00:13:00"),
        ("2024-01-01T00:47:00", "2024-01-01T00:53:00"),
    ],
)
def test_an_interval_keeps_to_the_grid_that_its_start_lays(now: str, expected: str) -> None:
    assert next_due(INTERVAL, ms(now)) == ms(expected)


def test_an_interval_ends_where_its_next_point_is_after_the_stop_date() -> None:
    assert next_due(INTERVAL, ms("2024-01-01T00:53:00")) is None


@given(st.integers(1, 10_000), st.integers(0, 10**12), st.integers(0, 2 * 10**12))
def test_a_point_of_an_interval_is_a_whole_number_of_periods_from_its_start(
    minutes: int, start_ms: int, after_ms: int
) -> None:
    due = next_due(timer(kind="interval", minutes=minutes, start_date=start_ms), after_ms)
    assert due is not None
    assert due > after_ms
    assert (due - start_ms) % (minutes * MINUTE_MS) == 0
    assert due == start_ms or due - after_ms <= minutes * MINUTE_MS


def test_a_single_date_is_due_once() -> None:
    once = timer(kind="once", date="2024-01-01T09:00:00Z")
    assert next_due(once, ms("2024-01-01T08:59:59.999")) == ms("2024-01-01T09:00:00")
    assert next_due(once, ms("2024-01-01T09:00:00")) is None


def test_a_schedule_beyond_the_calendar_is_never_due() -> None:
    endless = timer(kind="interval", minutes=10**12, start_date=0)
    assert next_due(endless, ms(START)) is None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (1_704_099_600_000, "2024-01-01T09:00:00"),
        ("1704099600000", "2024-01-01T09:00:00"),
        ("2024-01-01T09:00:00Z", "2024-01-01T09:00:00"),
        ("2024-01-01T09:00:00.250Z", "2024-01-01T09:00:00.250"),
        ("2024-01-01T10:00:00+01:00", "2024-01-01T09:00:00"),
        ("2024-01-01T09:00", "2024-01-01T09:00:00"),
        ("2024-01-01", "2024-01-01T00:00:00"),
        (" 2024-01-01T09:00:00Z ", "2024-01-01T09:00:00"),
    ],
)
def test_a_moment_may_be_written_as(moment: int | str, expected: str) -> None:
    assert moment_ms(moment) == ms(expected)


@pytest.mark.parametrize(
    "moment", ["", "tomorrow", "2024-13-01", "2024-02-30", -1, "-1", "--1", "1e12", "²", 10**18, "9" * 5000]
)
def test_what_is_no_moment_is_refused(moment: int | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment_ms(moment)


def test_a_match_years_away_is_found() -> None:
    assert matches("0 0 29 2 *", None, "2024-03-01", 1) == ["2028-02-29T00:00:00"]
    assert next_due(timer(kind="once", date="2999-01-01"), ms(START)) == ms("2999-01-01")
