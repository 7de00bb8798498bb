"""What an invoker remembers of what it was sent: nothing is taken twice, and ends are kept until they are known."""

from __future__ import annotations

from sabayon.bus import custody as module
from sabayon.bus.census import WHOLE_EVERY, Census
from sabayon.bus.custody import Custody, Key, Standing
from sabayon.bus.heartbeat import Containers

ONE, TWO = Key("c1", 1), Key("c1", 2)
A, B = ("ns", "ns/a", 1), ("ns", "ns/b", 1)


def test_a_sending_is_new_then_held_then_ended_then_nothing() -> None:
    custody = Custody()
    assert custody.standing(ONE) is Standing.NEW
    custody.take(ONE, 256)
    assert custody.standing(ONE) is Standing.HELD
    custody.ended(ONE, b"end")
    assert custody.standing(ONE) is Standing.ENDED
    assert custody.end_of(ONE) == b"end"
    custody.settled([ONE, TWO])
    assert (len(custody), custody.kept(), custody.kept_bytes) == (0, [], 0)


def test_what_is_barred_is_not_taken_when_it_comes_late() -> None:
    custody = Custody()
    custody.bar(ONE)
    assert custody.standing(ONE) is Standing.BARRED
    assert custody.standing(Key("c2", 1)) is Standing.NEW


def test_memory_is_counted_for_each_controller_until_its_sendings_end() -> None:
    custody = Custody()
    custody.take(ONE, 256)
    custody.take(TWO, 128)
    custody.take(Key("c2", 1), 512)
    assert custody.taken_mb() == {"c1": 384, "c2": 512}
    custody.ended(ONE, b"end")
    custody.bar(TWO)
    assert custody.taken_mb() == {"c2": 512}


def test_beyond_a_bound_the_oldest_ends_are_forgotten_but_not_that_they_were() -> None:
    custody = Custody()
    half = b"x" * (module.KEPT_BYTES // 2)
    for number in range(4):
        custody.take(Key("c1", number), 1)
        custody.ended(Key("c1", number), half)
    standings = [custody.standing(Key("c1", number)) for number in range(4)]
    assert standings == [Standing.FORGOTTEN, Standing.FORGOTTEN, Standing.ENDED, Standing.ENDED]
    assert custody.kept_bytes == module.KEPT_BYTES


def test_for_a_controller_that_has_gone_nothing_is_kept() -> None:
    custody = Custody()
    custody.take(ONE, 1)
    custody.ended(ONE, b"end")
    custody.bar(TWO)
    custody.take(Key("c1", 3), 1)
    custody.gone("c1")
    assert (custody.kept_bytes, custody.taken_mb()) == (0, {"c1": 1})
    assert [custody.standing(key) for key in (ONE, TWO)] == [Standing.NEW] * 2
    assert custody.standing(Key("c1", 3)) is Standing.HELD


def test_a_census_tells_all_at_first_and_then_what_is_different() -> None:
    census = Census()
    assert census.report({A: frozenset({1})}) == ((Containers(*A, 1),), True)
    assert census.report({A: frozenset({1})}) == ((), False)
    assert census.report({A: frozenset({2}), B: frozenset({3, 4})}) == ((Containers(*A, 1), Containers(*B, 2)), False)
    assert census.report({B: frozenset({3, 4})}) == ((Containers(*A, 0),), False)


def test_a_census_tells_all_again_now_and_then_and_when_it_is_asked_to() -> None:
    census, found = Census(), {A: frozenset({1})}
    reports = [census.report(found) for _ in range(WHOLE_EVERY + 1)]
    assert [report.is_whole for report in reports] == [True] + [False] * (WHOLE_EVERY - 1) + [True]
    assert census.report(found, is_whole=True) == ((Containers(*A, 1),), True)
