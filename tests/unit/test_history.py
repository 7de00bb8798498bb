"""The checker of histories finds each kind of broken promise; otherwise the fault runs would show nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.history import History, Record, Told, violations

GOOD = History(
    told=[Told(1, "a"), Told(2, "b")],
    records=[Record("a", 1, True), Record("b", None, False), Record("c", 3, True)],
    runs=Counter({1: 2, 3: 1}),
    runs_later=Counter(),
)
"""One ran twice, as it may; of one the platform gave the result; of one the answer did not reach the client."""


def test_a_history_in_which_all_was_kept_has_no_violation() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (GOOD._replace(records=GOOD.records[1:]), "invocation 1 was accepted as a and is lost"),
        (GOOD._replace(records=[*GOOD.records, Record("a", 1, False)]), "activation a ended 2 times"),
        (GOOD._replace(told=[*GOOD.told, Told(2, "d")]), "invocation 2 was accepted under 2 ids"),
        (GOOD._replace(records=[Record("a", 7, True), *GOOD.records[1:]]), "was told for invocation 1 and ran 7"),
        (GOOD._replace(runs=Counter({1: 1})), "invocation 3 is said to have succeeded and never ran"),
        (GOOD._replace(runs=GOOD.runs + Counter({9: 1})), "invocation 9 ran and has no record"),
        (GOOD._replace(once=frozenset({1})), "invocation 1 ran 2 times and was not to run twice"),
        (GOOD._replace(runs_later=Counter({2: 1})), "invocation 2 ran again when all was over"),
    ],
)
def test_each_broken_promise_is_found(broken: History, word: str) -> None:
    found = violations(broken)
    assert any(word in line for line in found), found
