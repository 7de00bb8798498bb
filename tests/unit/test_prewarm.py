"""Stem cells: how many there are, for whom, and that they are in nobody's way."""

from __future__ import annotations

from collections import Counter

import pytest

from sabayon.invoker.instructions import Cell, Create, Remove
from sabayon.invoker.pool import REMEMBERED_FAILURES
from sabayon.invoker.prewarm import LEARNED_CLASSES, MAX_FAILURES
from sabayon.invoker.stem_cells import StemCells
from tests.unit.pool_stage import NODE, PYTHON, Stage, fixed, kinds_of, ran

TTL_S = 120.0
CELL = Cell(NODE, 256)
STOCK = StemCells(CELL, 2)


def stage_of(*classes: StemCells, memory_mb: int = 8192) -> Stage:
    """A stage on which all first stem cells have started."""
    stage = Stage(memory_mb, classes)
    start_all(stage)
    return stage


def start_all(stage: Stage) -> None:
    for cell in list(stage.starting):
        stage.start_cell(cell, held_mb=40)


def run_cold(stage: Stage, count: int, memory_mb: int = 256, namespace: str = "alice") -> None:
    """Actions that never ran, one after the other, each for a moment."""
    for number in range(count):
        (container,) = ran(stage.submit(namespace, f"{len(stage.served)}-{number}", NODE, memory_mb))
        stage.finish(container, held_mb=5)


def pass_ttl(stage: Stage) -> None:
    """Long enough for one check, in steps that a ticker would make."""
    for _ in range(round(TTL_S / 10) + 1):
        stage.pass_time(10.0)
        start_all(stage)


def counts(stage: Stage) -> Counter[Cell]:
    return Counter([*stage.cells.values(), *stage.starting.values()])


def test_there_are_as_many_at_the_start_as_are_wanted_then() -> None:
    assert counts(stage_of(STOCK)) == {CELL: 2}


def test_one_that_was_taken_is_replaced_at_once() -> None:
    stage = stage_of(STOCK)
    assert kinds_of(stage.submit("alice", kind=NODE)) == ["reused", "Create"]


def test_those_that_nobody_asks_for_go_until_the_least_number_is_left() -> None:
    stage = stage_of(STOCK)
    pass_ttl(stage)
    pass_ttl(stage)
    assert counts(stage) == {CELL: 1}


def test_cold_starts_make_more_of_them_up_to_the_greatest_number() -> None:
    stage = Stage(8192, [STOCK])
    run_cold(stage, 3)
    stage.pass_time(1.0)
    assert counts(stage) == {CELL: 3}
    run_cold(stage, 20)
    stage.pass_time(1.0)
    assert counts(stage) == {CELL: STOCK.maximum}


@pytest.mark.parametrize(("cold_starts", "wanted"), [(2, 1), (3, 2), (5, 2), (6, 4), (9, 6), (30, 7)])
def test_the_number_follows_threshold_and_increment(cold_starts: int, wanted: int) -> None:
    stage = Stage(8192, [StemCells(CELL, 0, minimum=1, maximum=7, threshold=3, increment=2)])
    run_cold(stage, cold_starts)
    stage.pass_time(1.0)
    assert counts(stage) == {CELL: wanted}


def test_as_many_are_kept_as_are_taken_between_two_checks() -> None:
    stage = stage_of(StemCells(CELL, 4))
    pass_ttl(stage)
    for _ in range(3):
        run_cold(stage, 1)
        start_all(stage)
    pass_ttl(stage)
    assert counts(stage) == {CELL: 3}
    pass_ttl(stage)
    assert counts(stage) == {CELL: 1}


def test_one_too_many_is_left_until_it_is_as_old_as_the_ttl() -> None:
    stage = Stage(8192, [StemCells(CELL, 3)])
    early, *late = stage.starting
    stage.start_cell(early)
    stage.pass_time(0.0)
    stage.pass_time(100.0)
    for cell in late:
        stage.start_cell(cell)
    assert stage.pass_time(TTL_S - 100.0) == [Remove(early, "one stem cell too many")]
    assert stage.pass_time(TTL_S - 21.0) == []
    assert stage.pass_time(1.0) == [Remove(late[0], "one stem cell too many")]


def test_another_memory_limit_is_learned_while_it_is_asked_for() -> None:
    stage = stage_of(STOCK)
    run_cold(stage, 1, memory_mb=512)
    assert Create(4, NODE, 512) in stage.pass_time(1.0)
    start_all(stage)
    (container,) = ran(stage.submit("bob", "b", NODE, 512))
    assert container == 4
    stage.finish(container)
    pass_ttl(stage)
    assert counts(stage)[Cell(NODE, 512)] == 1
    pass_ttl(stage)
    pass_ttl(stage)
    assert Cell(NODE, 512) not in counts(stage)


def test_only_so_many_memory_limits_are_learned_at_once_and_a_new_one_when_another_is_forgotten() -> None:
    stage = stage_of(STOCK)
    for memory_mb in range(128, 136):
        run_cold(stage, 1, memory_mb)
    stage.pass_time(1.0)
    assert len(counts(stage)) == 1 + LEARNED_CLASSES
    for _ in range(3):
        pass_ttl(stage)
    run_cold(stage, 1, memory_mb=512)
    stage.pass_time(1.0)
    assert counts(stage)[Cell(NODE, 512)] == 1


def test_a_kind_of_which_no_stem_cells_are_wanted_is_not_learned() -> None:
    stage = stage_of(STOCK)
    stage.submit("alice", "a", PYTHON)
    assert stage.pass_time(1.0) == []


def test_none_are_made_and_none_learned_where_none_are_wanted() -> None:
    stage = stage_of()
    run_cold(stage, 9)
    stage.pass_time(1.0)
    assert not counts(stage)


def test_one_that_still_starts_makes_room_for_a_job_at_once_and_comes_back_with_the_next_tick() -> None:
    stage = Stage(600, [fixed(CELL, 1)])
    (cell,) = stage.starting
    (big,) = ran(stage.submit("alice", "a", PYTHON, 512))
    assert cell not in stage.size_mb
    assert stage.pool.ready(cell, stage.now, held_mb=40) == []
    stage.finish(big, is_usable=False)
    assert kinds_of(stage.pass_time(1.0)) == ["Create"]


def test_a_warm_container_is_not_removed_for_one_that_still_starts() -> None:
    stage = Stage(600, [fixed(CELL, 1)])
    (warm,) = ran(stage.submit("alice", memory_mb=256))
    stage.finish(warm, held_mb=100)
    assert kinds_of(stage.submit("bob", memory_mb=400)) == ["Remove", "new"]
    assert warm in stage.idle


def test_none_is_made_in_the_room_of_a_warm_container() -> None:
    stage = Stage(600, [fixed(CELL, 1)])
    (warm,) = ran(stage.submit("bob", memory_mb=400))
    stage.finish(warm)
    assert stage.pass_time(1.0) == []
    stage.lose(warm)
    assert kinds_of(stage.pass_time(1.0)) == ["Create"]


def test_one_that_fails_to_start_again_and_again_is_left_alone_until_the_next_check() -> None:
    stage = Stage(stem_cells=[fixed(CELL, 1)])
    for _ in range(MAX_FAILURES):
        stage.lose(*stage.starting)
        stage.pass_time(1.0)
    assert not stage.starting
    stage.pass_time(TTL_S)
    assert len(stage.starting) == 1


def test_an_action_that_fails_at_its_first_job_gets_no_stem_cell_until_it_has_worked_once() -> None:
    stage = stage_of(STOCK)
    (cell,) = ran(stage.submit("mallory", kind=NODE))
    stage.finish(cell, is_usable=False)
    start_all(stage)
    again = stage.submit("mallory", kind=NODE)
    assert kinds_of(again) == ["new"]
    assert kinds_of(stage.submit("alice", kind=NODE)) == ["reused", "Create"]
    stage.finish(*ran(again))
    stage.submit("mallory", kind=NODE)
    start_all(stage)
    assert kinds_of(stage.submit("mallory", kind=NODE)) == ["reused", "Create"]


def test_an_action_that_fails_again_and_again_makes_nobody_wait_and_no_stem_cells() -> None:
    stage = stage_of(STOCK)
    for _ in range(20):
        (container,) = ran(stage.submit("mallory", kind=NODE))
        stage.finish(container, is_usable=False)
        start_all(stage)
        stage.pass_time(1.0)
    assert counts(stage) == {CELL: 2}
    assert stage.pool.busy == 0


def test_of_many_actions_that_fail_only_the_last_are_remembered() -> None:
    stage = stage_of(STOCK)
    for number in range(REMEMBERED_FAILURES + 1):
        (container,) = ran(stage.submit("mallory", f"a{number}", NODE))
        stage.finish(container, is_usable=False)
        start_all(stage)
    assert kinds_of(stage.submit("mallory", "a1", NODE)) == ["new"]
    assert kinds_of(stage.submit("mallory", "a0", NODE)) == ["reused", "Create"]


def test_a_pool_that_stops_lets_go_of_all_classes() -> None:
    stage = stage_of(STOCK)
    stage.submit("alice", "a", NODE, 512)
    stage.stop()
    stage.submit("alice", "b", NODE)
    pass_ttl(stage)
    pass_ttl(stage)
    assert not counts(stage)
