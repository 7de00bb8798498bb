"""How records are counted without looking at each: counts by the hour and by the minute of their start.

Whole hours are summed from the counts by the hour, what is left at both ends from those by the minute, and only the
records of the two minutes in which a range begins and ends are looked at. However many records there are, a count
reads one row an hour, at most 118 more for the minutes, and the records of two minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

ALL_NAMES: Final = ""
"""The name under which the records of a whole namespace are counted; no record has it."""

_BEGIN: Final = -(2**62)
_END: Final = 2**62


class Span(NamedTuple):
    """Epoch ms, `upto` excluded."""

    since: int
    upto: int


class Plan(NamedTuple):
    """Which counts and which records make up a range; spans may be empty."""

    hours: Span
    minutes: tuple[Span, Span]
    records: tuple[Span, Span]


NOTHING: Final = Span(0, 0)


def plan(since: int | None, upto: int | None) -> Plan:
    """How to count the records that start in `since` … `upto`, both included, None without a bound."""
    begin = _BEGIN if since is None else min(max(since, _BEGIN), _END)
    end = _END if upto is None else min(max(upto + 1, _BEGIN), _END)
    first, last = _covered(begin, end, MINUTE_MS)
    if first >= last:
        return Plan(NOTHING, (NOTHING, NOTHING), (Span(begin, max(begin, end)), NOTHING))
    records = (Span(begin, first), Span(last, end))
    first_hour, last_hour = _covered(first, last, HOUR_MS)
    if first_hour >= last_hour:
        return Plan(NOTHING, (Span(first, last), NOTHING), records)
    return Plan(Span(first_hour, last_hour), (Span(first, first_hour), Span(last_hour, last)), records)


def _covered(begin: int, end: int, width: int) -> tuple[int, int]:
    """The part of a range that whole widths fill; without a bound it stays without."""
    first = begin if begin == _BEGIN else -(-begin // width) * width
    return first, end if end == _END else end // width * width


class Count(NamedTuple):
    """How many records of `name` in `namespace` start in the `width` ms from `at`."""

    namespace: str
    name: str
    width: int
    at: int


def counts_of(records: Iterable[tuple[str, str, int]]) -> Counter[Count]:
    """The counts that records of (namespace, name, start) belong to."""
    return Counter(
        Count(namespace, counted, width, start // width * width)
        for namespace, name, start in records
        for counted in (name, ALL_NAMES)
        for width in (MINUTE_MS, HOUR_MS)
    )


def count_query(mark: str, *, is_named: bool) -> str:
    """The number of records of a plan, in one statement; `mark` goes before the number of a value.

    The values: namespace, name or ALL_NAMES, then the spans of the plan in their order.
    """
    counted = f"SELECT coalesce(sum(number), 0) FROM activation_counts WHERE namespace = {mark}1 AND name = {mark}2"
    found = f"SELECT count(*) FROM activations WHERE namespace = {mark}1" + (f" AND name = {mark}2" if is_named else "")
    parts = [
        f"({counted} AND width = {HOUR_MS} AND at >= {mark}3 AND at < {mark}4)",
        f"({counted} AND width = {MINUTE_MS} AND at >= {mark}5 AND at < {mark}6)",
        f"({counted} AND width = {MINUTE_MS} AND at >= {mark}7 AND at < {mark}8)",
        f"({found} AND start >= {mark}9 AND start < {mark}10)",
        f"({found} AND start >= {mark}11 AND start < {mark}12)",
    ]
    return f"SELECT {' + '.join(parts)}"


def count_values(namespace: str, name: str | None, planned: Plan) -> tuple[str | int, ...]:
    """The values of `count_query`."""
    spans = (planned.hours, *planned.minutes, *planned.records)
    return namespace, name or ALL_NAMES, *(bound for span in spans for bound in span)
