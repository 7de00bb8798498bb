"""When a timer fires. Pure: the same question has the same answer, so nothing drifts.

Cron patterns are read in the standard way: five fields, or six with seconds first; months 1
to 12, days of the week 0 to 7 with Sunday as 0 and 7, or names of three letters. They are
held against the wall clock of their time zone: what daylight saving leaves out does not
fire, what it repeats fires twice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sabayon.provider.alarms.timer import Moment, Timer

MINUTE_MS: Final = 60_000
MAX_MS: Final = 253_402_300_799_000
"""The end of the year 9999."""
_SECOND: Final = timedelta(seconds=1)
_ITEM: Final = r"(\*|([0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?)(/[0-9]{1,2})?"
_FIELD: Final = rf"{_ITEM}(,{_ITEM})*"
_PATTERN: Final = re.compile(rf"\s*{_FIELD}(\s+{_FIELD}){{4,5}}\s*", re.IGNORECASE | re.ASCII)
"""Only the shape; it leaves out what the library knows beyond it, such as `L` and `#`."""


def next_due(timer: Timer, after_ms: int) -> int | None:
    """The first point of the schedule strictly after `after_ms`, in epoch ms; None when there is none.

    The stop date bounds it; how often the timer may fire does not.
    """
    due = _next(timer, after_ms)
    stop = moment_ms(timer.stop_date) if timer.stop_date is not None else None
    return due if due is not None and due <= min(MAX_MS, MAX_MS if stop is None else stop) else None


def _next(timer: Timer, after_ms: int) -> int | None:
    if timer.kind == "once":
        date = moment_ms(timer.date or 0)
        return date if date > after_ms else None
    start = moment_ms(timer.start_date) if timer.start_date is not None else None
    if timer.kind == "interval":
        period = (timer.minutes or 1) * MINUTE_MS
        first = start or 0
        return first if first > after_ms else first + ((after_ms - first) // period + 1) * period
    cron = f"{timer.second} {timer.cron}" if timer.second else timer.cron or ""
    return next_match(cron, timer.timezone, max(after_ms, start or after_ms))


def next_match(cron: str, timezone: str | None, after_ms: int) -> int | None:
    """The next match of a cron pattern in epoch ms, None when it never matches. Raises ValueError when it is none."""
    if not _PATTERN.fullmatch(cron):
        raise ValueError("a cron pattern has 5 or 6 fields of numbers, names, ranges, steps and lists")
    place = zone(timezone)
    after = datetime.fromtimestamp(after_ms // 1000, UTC)
    try:
        matches = [_first_match(cron, place, after, _wall(place, after))]
        if again := _set_back(place, after):
            matches.append(_first_match(cron, place, after, _wall(place, again) - _SECOND))
    except CronSimError as error:
        raise ValueError(str(error)) from error
    except OverflowError:
        return None
    return min((int(match.timestamp() * 1000) for match in matches if match), default=None)


def _wall(place: tzinfo, instant: datetime) -> datetime:
    return instant.astimezone(place).replace(tzinfo=None, fold=0)


def _first_match(cron: str, place: tzinfo, after: datetime, wall: datetime) -> datetime | None:
    """The first instant after `after` at which the clock shows a match that is later than `wall`."""
    for match in CronSim(cron, wall):
        for fold in (0, 1):
            instant = match.replace(tzinfo=place, fold=fold).astimezone(UTC)
            does_exist = _wall(place, instant) == match
            if does_exist and instant > after:
                return instant
    return None


def _set_back(place: tzinfo, instant: datetime) -> datetime | None:
    """When the clock that shows `instant` for the first time is set back to show it again; None when it is not."""
    wall = instant.astimezone(place)
    offset, later = wall.utcoffset(), wall.replace(fold=1).utcoffset()
    if wall.fold or offset is None or later is None or offset <= later:
        return None
    low, high = 0, int((offset - later).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        is_before = (instant + middle * _SECOND).astimezone(place).utcoffset() == offset
        low, high = (middle, high) if is_before else (low, middle)
    return instant + high * _SECOND


def zone(name: str | None) -> tzinfo:
    """An IANA time zone; UTC for none. Raises ValueError."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
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
    if not 0 <= number <= MAX_MS:
        raise ValueError(f"{moment} is not a date")
    return number
