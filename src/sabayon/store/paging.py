"""Lists that begin far from their newest record: found by what is counted, not by passing over each record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from sabayon.store.base import Filter
from sabayon.store.counting import ALL_NAMES, HOUR_MS, MINUTE_MS

FAR: Final = 1_000
"""Fewer records are passed over faster than found by counting."""

Rows = Callable[..., Awaitable[Iterable[Any]]]
Count = Callable[[str, Filter], Awaitable[int]]


async def closer(
    rows: Rows, count: Count, mark: str, namespace: str, filter: Filter, skip: int
) -> tuple[Filter, int] | None:
    """A filter and a number to skip that give the same list and skip less than a minute's records.

    None when nothing is left. rows: runs a query; `mark` goes before the number of a value. count: see the port.
    """
    if skip < FAR:
        return filter, skip
    wanted = skip
    if filter.upto is not None:
        wanted += await count(namespace, Filter(filter.name, since=filter.upto + 1))
    counts = f"SELECT at, number FROM activation_counts WHERE namespace = {mark}1 AND name = {mark}2"
    owner = (namespace, filter.name or ALL_NAMES)
    hour = passed(await rows(f"{counts} AND width = {HOUR_MS} ORDER BY at DESC", *owner), wanted)
    if hour is None:
        return None
    within = f"{counts} AND width = {MINUTE_MS} AND at >= {mark}3 AND at < {mark}4 ORDER BY at DESC"
    at, left = hour
    minute = passed(await rows(within, *owner, at, at + HOUR_MS), left)
    if minute is None:
        return None
    at, left = minute
    return filter._replace(upto=at + MINUTE_MS - 1), left


def passed(counts: Iterable[tuple[int, int]], wanted: int) -> tuple[int, int] | None:
    """In which of `counts` (when, how many; newest first) record number `wanted` is, from 0, and its number there."""
    for at, number in counts:
        if wanted < number:
            return at, wanted
        wanted -= number
    return None
