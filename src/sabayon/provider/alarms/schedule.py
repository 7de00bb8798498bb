"""When a timer fires. Pure: the same question has the same answer, so nothing drifts.

Cron patterns are read in the standard way: five fields, or six with seconds first; months 1
to 12, days of the week 0 to 7 with Sunday as 0 and 7, or names of three letters. A fixed
time that daylight saving leaves out or repeats is treated as cron daemons do.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sabayon.provider.alarms.timer import Moment, Timer

MINUTE_MS: Final = 60_000
_FIELDS: Final = (5, 6)
_MAX_MS: Final = 253_402_300_799_000
"""The end of the year 9999."""


def next_due(timer: Timer, after_ms: int) -> int | None:
    """The first point of the schedule strictly after `after_ms`, in epoch ms; None when there is none.

    The stop date bounds it; how often the timer may fire does not.
    """
    due = _next(timer, after_ms)
    stop = moment_ms(timer.stop_date) if timer.stop_date is not None else None
    if due is None or (stop is not None and due > stop):
        return None
    return due


def _next(timer: Timer, after_ms: int) -> int | None:
    if timer.kind == "once":
        date = moment_ms(timer.date or 0)
        return date if date > after_ms else None
    start = moment_ms(timer.start_date) if timer.start_date is not None else None
    if timer.kind == "interval":
        period = (timer.minutes or 1) * MINUTE_MS
        first = start or 0
        return first if first > after_ms else first + ((after_ms - first) // period + 1) * period
    return next_match(timer.cron or "", timer.timezone, max(after_ms, start or after_ms))


def next_match(cron: str, timezone: str | None, after_ms: int) -> int | None:
    """The next match of a cron pattern, None when it never matches. Raises ValueError when it is none."""
    after = datetime.fromtimestamp(after_ms / 1000, UTC).astimezone(zone(timezone))
    try:
        match = next(CronSim(_checked(cron), after), None)
    except (CronSimError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return None if match is None else int(match.timestamp() * 1000)


def zone(name: str | None) -> tzinfo:
    """An IANA time zone; UTC for none. Raises ValueError."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error


def moment_ms(moment: Moment) -> int:
    """Epoch ms. A time without a zone is UTC. Raises ValueError."""
    if isinstance(moment, int):
        number = moment
    elif moment.strip().lstrip("-").isascii() and moment.strip().lstrip("-").isdigit():
        number = int(moment)
    else:
        parsed = datetime.fromisoformat(moment.strip())
        number = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= number <= _MAX_MS:
        raise ValueError(f"{moment} is not a date")
    return number


def _checked(cron: str) -> str:
    fields = cron.split()
    if len(fields) not in _FIELDS:
        raise ValueError(f"a cron pattern has 5 or 6 fields, not {len(fields)}")
    return " ".join(fields)
