"""Several jobs in one container: in which one, for how much memory, and until when."""

from __future__ import annotations

import pytest

from sabayon.invoker.instructions import Cell, Job, Key, Run
from sabayon.invoker.pool import UNBROKEN_S, Pool
from sabayon.invoker.waiting import PATIENCE_S
from tests.unit.pool_stage import MEMORY_MB, NODE, PYTHON, Stage, fixed, kinds_of, ran


def submit(stage: Stage, action: str = "a", namespace: str = "alice", concurrency: int = 2) -> int:
    """The container that a job of an action with more slots than one was given."""
    (container,) = ran(stage.submit(namespace, action, concurrency=concurrency))
    return container


def test_as_many_jobs_as_an_action_allows_run_in_one_container_which_is_counted_once() -> None:
    stage = Stage()
    assert [submit(stage, concurrency=3) for _ in range(4)] == [1, 1, 1, 2]
    assert stage.pool.used_mb == 512
    assert stage.pool.busy == 2


def test_a_container_is_idle_when_the_last_of_its_jobs_has_ended() -> None:
    stage = Stage()
    container, _ = submit(stage), submit(stage)
    stage.finish(container, held_mb=5)
    assert stage.pool.used_mb == 256
    stage.finish(container, held_mb=5)
    assert stage.pool.used_mb == 5
    assert repr(stage.pool) == f"<Pool busy 0, idle 1, stem cells 0, waiting 0, 5 of {MEMORY_MB} MB>"


def test_a_slot_that_becomes_free_is_used_again() -> None:
    stage = Stage(256)
    container, _ = submit(stage), submit(stage)
    assert stage.submit("alice", concurrency=2) == []
    assert kinds_of(stage.finish(container)) == ["reused"]


def test_the_end_of_the_second_job_is_told_from_that_of_the_first() -> None:
    pool = Pool(MEMORY_MB)
    for id in ("first", "second"):
        pool.submit(Job(id, Key("alice", "a", 1), PYTHON, 256, Stage().kept_warm, concurrency=2), 0.0)
    pool.finished(1, "second", 0.0, is_usable=True, held_mb=5)
    with pytest.raises(KeyError, match="second"):
        pool.finished(1, "second", 0.0, is_usable=True, held_mb=5)


def test_a_warm_container_with_a_slot_is_taken_before_an_idle_one() -> None:
    stage = Stage()
    shared, _, idle = submit(stage), submit(stage), submit(stage)
    stage.finish(shared)
    stage.finish(idle)
    assert submit(stage) == shared


def test_an_idle_container_is_taken_before_one_that_is_still_made() -> None:
    stage = Stage()
    idle, _ = submit(stage), submit(stage)
    made = submit(stage)
    stage.finish(idle)
    stage.finish(idle)
    assert made not in stage.idle
    assert submit(stage) == idle


def test_a_stem_cell_that_is_initialised_is_joined_before_a_container_that_is_made() -> None:
    stage = Stage(2048, [fixed(Cell(NODE, 256), 1)])
    made = ran(stage.submit("alice", "a", NODE, concurrency=3))
    for cell in list(stage.starting):
        stage.start_cell(cell)
    assert ran(stage.submit("alice", "a", NODE, concurrency=3)) == made
    assert ran(stage.submit("alice", "a", NODE, concurrency=3)) == made
    (prewarmed,) = ran(stage.submit("alice", "a", NODE, concurrency=3))
    stage.finish(made[0], is_usable=False)
    assert ran(stage.submit("alice", "a", NODE, concurrency=3)) == [prewarmed]


def test_a_container_that_is_made_is_joined_before_a_stem_cell_is_taken() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    made = submit(stage)
    stage.start_cell(*stage.starting)
    assert submit(stage) == made


def test_a_slot_costs_a_namespace_nothing_of_its_share() -> None:
    stage = Stage(512)
    assert [submit(stage), submit(stage)] == [1, 1]
    assert stage.submit("alice") == []


def test_a_container_that_cannot_be_used_gets_no_further_job_and_counts_until_it_is_empty() -> None:
    stage = Stage()
    container = submit(stage, concurrency=3)
    submit(stage, concurrency=3)
    stage.finish(container, is_usable=False)
    assert stage.pool.used_mb == 256
    assert submit(stage, concurrency=3) != container
    stage.finish(container)
    assert stage.pool.used_mb == 256
    assert container not in stage.idle


def crowded(slots: int = 100) -> tuple[Stage, int]:
    """Of 1024 MB two namespaces have three quarters and a backlog, a third one a container with one slot taken."""
    stage = Stage(1024)
    shared = submit(stage, namespace="carol", concurrency=slots)
    for _ in range(20):
        stage.submit("alice")
        stage.submit("bob")
    return stage, shared


@pytest.mark.parametrize("waited_s", [0.0, PATIENCE_S + 1], ids=["who wait", "who are patient"])
def test_a_job_that_finds_a_slot_passes_all_others_that_need_memory(waited_s: float) -> None:
    stage, shared = crowded()
    stage.pass_time(waited_s)
    assert [submit(stage, namespace="carol", concurrency=100) for _ in range(20)] == [shared] * 20


def test_a_slot_that_becomes_free_goes_to_its_own_action_whoever_waits_for_memory() -> None:
    stage, shared = crowded(slots=2)
    submit(stage, namespace="carol")
    stage.pass_time(PATIENCE_S + 1)
    assert stage.submit("carol", concurrency=2) == []
    assert [run.job.key.namespace for run in stage.finish(shared) if isinstance(run, Run)] == ["carol"]


def test_a_namespace_over_its_share_still_joins_what_it_has() -> None:
    stage = Stage(1024)
    shared = submit(stage, "shared")
    for action in ("b", "c"):
        stage.submit("alice", action)
    assert stage.submit("alice", "d") == []
    assert submit(stage, "shared") == shared


def test_a_job_that_joins_costs_its_namespace_no_turn() -> None:
    stage = Stage(512)
    shared, _ = submit(stage), submit(stage)
    (other,) = ran(stage.submit("bob"))
    for namespace, action, concurrency in (("alice", "a", 2), ("alice", "b", 1), ("carol", "c", 1)):
        stage.submit(namespace, action, concurrency=concurrency)
    assert ran(stage.finish(shared)) == [shared]
    stage.finish(shared)
    stage.finish(shared)
    stage.finish(other)
    assert [job.partition("-")[0] for job in stage.served[-2:]] == ["alice", "carol"]


def test_a_job_whose_turn_it_is_takes_along_those_of_its_action_that_wait() -> None:
    stage = Stage(256)
    (other,) = ran(stage.submit("bob"))
    for action, concurrency in (("a", 2), ("b", 1), ("a", 2)):
        stage.submit("alice", action, concurrency=concurrency)
    stage.finish(other)
    assert stage.served[1:] == ["alice-a-2", "alice-a-4"]


def test_jobs_of_one_action_get_slots_in_their_order() -> None:
    stage = Stage(256)
    shared, _ = submit(stage), submit(stage)
    for _ in range(3):
        assert stage.submit("alice", concurrency=2) == []
    for _ in range(3):
        stage.finish(shared)
    assert stage.served[-3:] == ["alice-a-3", "alice-a-4", "alice-a-5"]


def test_a_container_that_was_busy_for_long_runs_empty_for_a_patient_job_of_another_namespace() -> None:
    stage, shared = crowded()
    stage.pass_time(UNBROKEN_S + 0.1)
    assert stage.submit("carol", concurrency=100) == []
    assert [run.job.key.namespace for run in stage.finish(shared) if isinstance(run, Run)] == ["bob"]


def test_a_container_that_was_busy_for_long_is_shared_on_while_nobody_else_is_patient() -> None:
    stage = Stage(256)
    shared = submit(stage)
    stage.pass_time(UNBROKEN_S + 0.1)
    stage.submit("bob")
    stage.submit("alice", "b")
    assert submit(stage) == shared
    stage.pass_time(PATIENCE_S + 0.1)
    assert stage.submit("alice", concurrency=2) == []


def test_a_patient_job_of_the_same_namespace_leaves_slots_alone() -> None:
    stage = Stage(1024)
    shared = submit(stage)
    for _ in range(3):
        stage.submit("bob")
    assert stage.submit("alice", "b") == []
    stage.pass_time(UNBROKEN_S + 0.1)
    assert submit(stage) == shared


def test_slots_are_given_out_again_as_soon_as_the_patient_job_has_its_memory() -> None:
    stage = Stage(512)
    shared, (other,) = submit(stage), ran(stage.submit("bob"))
    stage.submit("carol")
    stage.pass_time(UNBROKEN_S + 0.1)
    assert stage.submit("alice", concurrency=2) == []
    runs = [run for run in stage.finish(other) if isinstance(run, Run)]
    assert [run.job.key.namespace for run in runs] == ["carol", "alice"]
    assert runs[1].container == shared


def test_a_break_lets_a_container_be_shared_for_as_long_again() -> None:
    stage = Stage(512)
    stage.pass_time(1.0)
    shared = submit(stage)
    stage.pass_time(UNBROKEN_S)
    stage.finish(shared)
    assert submit(stage) == shared
    stage.submit("bob")
    stage.submit("carol")
    stage.pass_time(PATIENCE_S + 0.1)
    assert submit(stage) == shared


def test_an_action_with_one_slot_never_shares() -> None:
    stage = Stage()
    assert [submit(stage, concurrency=1) for _ in range(2)] == [1, 2]


def test_beside_a_cancelled_job_the_others_go_on_and_nobody_joins_them() -> None:
    stage = Stage()
    container, _ = submit(stage, concurrency=3), submit(stage, concurrency=3)
    assert stage.abandon(container) == []
    assert submit(stage, concurrency=3) != container
    stage.finish(container)
    assert (stage.pool.busy, stage.pool.used_mb) == (1, 256)


def test_a_job_that_is_cancelled_alone_ends_its_container_and_says_nothing_about_its_action() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    stage.start_cell(1)
    (container,) = ran(stage.submit("alice", "a"))
    stage.start_cell(2, held_mb=3)
    stage.abandon(container)
    assert (stage.pool.busy, stage.pool.used_mb) == (0, 3)
    assert kinds_of(stage.submit("alice", "a")) == ["reused", "Create"], "it still gets stem cells"


def test_a_cancelled_job_that_waited_for_memory_holds_nobody_up() -> None:
    stage = Stage(512)
    (small,) = ran(stage.submit("alice", "a", memory_mb=128))
    stage.submit("bob", "big", memory_mb=512)
    stage.pass_time(PATIENCE_S + 1)
    assert stage.submit("carol", "c", memory_mb=128) == []
    (waiting,) = (id for id in stage.waiting if id.startswith("bob"))
    assert kinds_of(stage.withdraw(waiting)) == ["new"]
    assert small in stage.running
