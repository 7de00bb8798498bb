"""A count by hours, minutes and single records gives what counting each record would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sabayon.store.counting import ALL_NAMES, HOUR_MS, MINUTE_MS, Span, counts_of, plan

NEAR = st.integers(0, 3 * HOUR_MS)
EDGES = st.builds(
    lambda at, by: max(0, at + by), st.sampled_from(range(0, 3 * HOUR_MS, 10 * MINUTE_MS)), st.integers(-1, 1)
)
STARTS = st.one_of(NEAR, EDGES)
BOUNDS = st.one_of(st.none(), STARTS, st.sampled_from((-(2**63), 2**63 - 1)))


def counted(starts: list[int], since: int | None, upto: int | None) -> int:
    """As a store counts: from what it keeps by hour and by minute, and from the records of the two ends."""
    kept = counts_of(("ns", "a", start) for start in starts)
    planned = plan(since, upto)

    def summed(span: Span, width: int) -> int:
        return sum(
            number for count, number in kept.items()
            if (count.name, count.width) == (ALL_NAMES, width) and span.since <= count.at < span.upto
        )  # fmt: skip

    records = sum(span.since <= start < span.upto for span in planned.records for start in starts)
    return summed(planned.hours, HOUR_MS) + sum(summed(span, MINUTE_MS) for span in planned.minutes) + records


@given(st.lists(STARTS, max_size=20), BOUNDS, BOUNDS)
def test_a_count_from_parts_is_the_count_of_all(starts: list[int], since: int | None, upto: int | None) -> None:
    expected = sum((since is None or start >= since) and (upto is None or start <= upto) for start in starts)
    assert counted(starts, since, upto) == expected


@given(BOUNDS, BOUNDS)
def test_only_records_of_two_minutes_are_looked_at(since: int | None, upto: int | None) -> None:
    looked_at = sum(max(0, span.upto - span.since) for span in plan(since, upto).records)
    assert looked_at < 2 * MINUTE_MS
