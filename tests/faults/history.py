"""What was asked, told, run and recorded, seen from outside; and what of it breaks the platform's promises. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Told(NamedTuple):
    """The platform has accepted invocation `number` under an id."""

    number: int
    activation_id: str


class Record(NamedTuple):
    """A terminal record. number: of the invocation that its result names, None where the platform gave the result."""

    activation_id: str
    number: int | None
    is_success: bool


class History(NamedTuple):
    """Of invocations that each have a number of their own.

    once: the numbers that must not run twice, whatever happens. runs: how often the function ran, by number.
    runs_later: how often it ran after all had their records, when the platform was started once more.
    """

    told: list[Told]
    records: list[Record]
    runs: Counter[int]
    runs_later: Counter[int]
    once: frozenset[int] = frozenset()


def violations(history: History) -> list[str]:
    """Everything that breaks a promise, in words."""
    return [
        *_of_acceptance(history.told, history.records),
        *_of_runs(history),
        *(f"invocation {number} ran again when all was over" for number in sorted(history.runs_later)),
    ]


def unrecorded(told: Iterable[Told], records: Iterable[Record]) -> set[str]:
    """Ids that were told and have no record."""
    return {one.activation_id for one in told} - {record.activation_id for record in records}


def _of_acceptance(told: list[Told], records: list[Record]) -> Iterator[str]:
    numbers = {one.activation_id: one.number for one in told}
    ids: defaultdict[int, set[str]] = defaultdict(set)
    for one in told:
        ids[one.number].add(one.activation_id)
    for number, several in ids.items():
        if len(several) > 1:
            yield f"invocation {number} was accepted under {len(several)} ids"
    for activation_id in sorted(unrecorded(told, records)):
        yield f"invocation {numbers[activation_id]} was accepted as {activation_id} and is lost"
    for activation_id, times in Counter(record.activation_id for record in records).items():
        if times > 1:
            yield f"activation {activation_id} ended {times} times"
    for record in records:
        number_told = numbers.get(record.activation_id, record.number)
        if record.number is not None and number_told != record.number:
            yield f"activation {record.activation_id} was told for invocation {number_told} and ran {record.number}"


def _of_runs(history: History) -> Iterator[str]:
    succeeded = {record.number for record in history.records if record.is_success}
    for number in sorted(number for number in succeeded if number is not None and not history.runs[number]):
        yield f"invocation {number} is said to have succeeded and never ran"
    numbers = {one.activation_id: one.number for one in history.told}
    ended = {record.number for record in history.records} | {numbers.get(r.activation_id) for r in history.records}
    for number in sorted(set(history.runs) - ended):
        yield f"invocation {number} ran and has no record"
    for number in sorted(number for number in history.once if history.runs[number] > 1):
        yield f"invocation {number} ran {history.runs[number]} times and was not to run twice"
