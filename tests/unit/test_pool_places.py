"""The number of containers is bounded too, where descriptors run out before memory."""

from __future__ import annotations

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Instruction, Job, Key, Remove, Run
from sabayon.invoker.pool import Pool
from tests.unit.pool_stage import NODE, PYTHON, fixed

PLACES = 3


def job(name: str) -> Job:
    return Job(name, Key("alice", name, 1), PYTHON, 128, KeptWarm())


def full_pool() -> Pool:
    """As many idle containers as may be; container n is of the n-th action."""
    pool = Pool(100_000, most_containers=PLACES)
    for number in range(1, PLACES + 1):
        pool.submit(job(str(number)), number)
        pool.finished(number, str(number), number, is_usable=True, held_mb=2)
    return pool


def what(instructions: list[Instruction]) -> list[tuple[str, int]]:
    return [(type(each).__name__, each.container) for each in instructions]


def test_where_there_are_as_many_as_may_be_the_one_that_idled_longest_makes_way() -> None:
    pool = full_pool()
    assert what(pool.submit(job("new"), 10)) == [("Remove", 1), ("Run", PLACES + 1)]
    assert what(pool.submit(job("newer"), 11)) == [("Remove", 2), ("Run", PLACES + 2)]


def test_a_container_that_is_there_is_used_again_and_nothing_makes_way() -> None:
    assert what(full_pool().submit(job("1"), 10)) == [("Run", 1)]


def test_where_all_of_them_run_the_next_waits_for_the_first_that_ends() -> None:
    pool = full_pool()
    for number in range(1, PLACES + 1):
        pool.submit(job(str(number)), 10)
    assert pool.submit(job("new"), 11) == []
    freed = pool.finished(2, "2", 12, is_usable=True, held_mb=2)
    assert what(freed) == [("Remove", 2), ("Run", PLACES + 1)]


def test_stem_cells_take_no_place_that_is_not_free_and_give_theirs_away_first_while_they_start() -> None:
    pool = Pool(100_000, most_containers=PLACES, stem_cells=[fixed(Cell(NODE, 256), 2)])
    assert [type(each) for each in pool.start()] == [Create, Create]
    assert [type(each) for each in pool.submit(job("a"), 1)] == [Run]
    assert [type(each) for each in pool.submit(job("b"), 1)] == [Remove, Run]
    assert not [each for each in pool.tick(500) if isinstance(each, Create)]
