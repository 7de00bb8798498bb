"""Cron patterns around the hours in which a clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sabayon.provider.alarms.schedule import next_match


def matches(cron: str, after: str, count: int, timezone: str) -> list[str]:
    """The next matches in UTC, like `2024-01-01 00:01:00`."""
    found, at_ms = [], int(datetime.fromisoformat(after).timestamp() * 1000)
    for _ in range(count):
        following = next_match(cron, timezone, at_ms)
        assert following is not None
        found.append(f"{datetime.fromtimestamp(following / 1000, UTC):%Y-%m-%d %H:%M:%S}")
        at_ms = following
    return found


def test_a_time_that_is_left_out_does_not_fire() -> None:
    found = matches("30 2 * * *", "2024-03-30T00:00Z", 2, "Europe/Rome")
    assert found == ["2024-03-30 01:30:00", "2024-04-01 00:30:00"]


def test_a_time_that_is_repeated_fires_twice() -> None:
    found = matches("30 2 * * *", "2024-10-26T12:00Z", 3, "Europe/Rome")
    assert found == ["2024-10-27 00:30:00", "2024-10-27 01:30:00", "2024-10-28 01:30:00"]


def test_seconds_go_on_while_the_clock_is_set_back() -> None:
    found = matches("* * * * * *", "2024-10-27T00:59:58Z", 3, "Europe/Rome")
    assert found == ["2024-10-27 00:59:59", "2024-10-27 01:00:00", "2024-10-27 01:00:01"]


@pytest.mark.parametrize("timezone", ["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"])
@pytest.mark.parametrize("around", ["2024-03-10", "2024-03-31", "2024-04-06", "2024-10-05", "2024-10-27", "2024-11-03"])
@pytest.mark.parametrize(("minutes", "hours"), [({30}, {2}), ({0, 20, 40}, {1, 2}), ({15}, set(range(24))), ({0}, {3})])
def test_the_matches_are_those_that_the_wall_clock_shows(
    timezone: str, around: str, minutes: set[int], hours: set[int]
) -> None:
    start = datetime.fromisoformat(f"{around}T00:00Z") - timedelta(hours=20)
    shown = []
    for minute in range(1, 48 * 60):
        instant = start + timedelta(minutes=minute)
        wall = instant.astimezone(ZoneInfo(timezone))
        if wall.minute in minutes and wall.hour in hours:
            shown.append(f"{instant:%Y-%m-%d %H:%M:%S}")
    cron = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    assert matches(cron, start.isoformat(), len(shown), timezone) == shown
