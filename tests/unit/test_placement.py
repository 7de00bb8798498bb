"""Which invoker gets a job."""

from __future__ import annotations

from sabayon.balancer.instructions import How, Placed, Reason, Refused
from sabayon.bus.heartbeat import Containers
from tests.unit.placement_stage import NODE, PYTHON, Stage


def stage_of(count: int, memory_mb: int = 1024, *, overcommit: float = 2.0) -> Stage:
    stage = Stage(overcommit=overcommit)
    for number in range(count):
        stage.join(f"invoker{number}", memory_mb)
    return stage


def placed(stage: Stage, action: str = "a", *, memory_mb: int = 256, concurrency: int = 1) -> Placed:
    choice = stage.place(stage.job(action, memory_mb=memory_mb, concurrency=concurrency))
    assert isinstance(choice, Placed)
    return choice


def refused(stage: Stage, action: str = "a", *, kind: str = PYTHON, memory_mb: int = 256) -> Refused:
    choice = stage.place(stage.job(action, kind=kind, memory_mb=memory_mb))
    assert isinstance(choice, Refused)
    return choice


def test_the_first_job_of_an_action_goes_home_and_the_next_to_its_warm_container() -> None:
    stage = stage_of(5)
    home = placed(stage)
    stage.finish(next(iter(stage.running)))
    assert home.how is How.HOME
    assert placed(stage) == Placed(home.invoker, How.WARM)


def test_a_new_version_of_an_action_has_the_same_home() -> None:
    stage = stage_of(50)
    home = placed(stage)
    job = stage.job()
    assert stage.place(job._replace(key=job.key._replace(revision=2))) == home


def test_a_full_home_passes_jobs_on() -> None:
    stage = stage_of(5, memory_mb=256)
    home = placed(stage)
    other = placed(stage)
    assert other.how is How.NEAR
    assert other.invoker != home.invoker


def test_a_container_that_an_invoker_tells_of_is_used() -> None:
    stage = stage_of(5)
    home = placed(stage)
    stage.finish(next(iter(stage.running)), is_usable=False)
    other = next(id for id in stage.invokers if id != home.invoker)
    stage.beat(other, containers=(Containers("alice", "alice/a", 1, 1),))
    assert placed(stage) == Placed(other, How.WARM)
    assert placed(stage) == home


def test_a_container_that_is_told_to_be_gone_is_not_counted_on() -> None:
    stage = stage_of(5)
    home = placed(stage)
    stage.finish(next(iter(stage.running)))
    stage.beat(home.invoker, containers=(Containers("alice", "alice/a", 1, 0),))
    assert placed(stage) == home


def test_what_a_whole_heartbeat_does_not_tell_of_is_gone() -> None:
    stage = stage_of(5)
    home = placed(stage)
    stage.finish(next(iter(stage.running)))
    stage.beat(home.invoker, is_whole=True)
    assert placed(stage) == home


def test_as_many_jobs_as_an_action_allows_share_one_container_though_its_invoker_is_full() -> None:
    stage = stage_of(3, memory_mb=256)
    home = placed(stage, concurrency=3)
    assert [placed(stage, concurrency=3) for _ in range(2)] == [Placed(home.invoker, How.WARM)] * 2
    assert placed(stage, concurrency=3).invoker != home.invoker


def test_when_all_are_full_jobs_wait_at_the_least_loaded_up_to_the_bound_and_are_then_refused() -> None:
    stage = stage_of(2, memory_mb=512)
    stage.beat("invoker1", others_mb=256)
    ways = [placed(stage, f"action{n}").how for n in range(3)]
    assert How.OVERCOMMITTED not in ways
    assert [placed(stage, f"more{n}").how for n in range(3)] == [How.OVERCOMMITTED] * 3
    assert refused(stage).reason in (Reason.OVERLOADED, Reason.OVER_SHARE)


def test_who_is_refused_gets_a_place_when_another_has_ended() -> None:
    stage = stage_of(1, memory_mb=256, overcommit=1.0)
    placed(stage)
    assert refused(stage) == Refused(Reason.OVERLOADED, 1)
    stage.finish(next(iter(stage.running)))
    placed(stage)


def test_each_of_two_controllers_owns_half_until_the_other_is_gone() -> None:
    stage = stage_of(1, memory_mb=1024, overcommit=1.0)
    stage.divide(2)
    assert [placed(stage, str(n)).how for n in range(2)] == [How.HOME] * 2
    refused(stage)
    stage.divide(1)
    assert placed(stage, "3").how in (How.HOME, How.SPARE)


def test_an_action_larger_than_a_share_runs_alone() -> None:
    stage = stage_of(1, memory_mb=512)
    stage.divide(4)
    placed(stage, memory_mb=512)
    refused(stage, memory_mb=512)


def test_an_invoker_that_other_controllers_have_filled_is_spared() -> None:
    stage = stage_of(2)
    stage.beat("invoker0", others_mb=1024)
    assert {placed(stage, f"action{n}").invoker for n in range(4)} == {"invoker1"}


def test_who_is_refused_is_told_whether_it_makes_sense_to_wait() -> None:
    stage = Stage()
    assert refused(stage).reason is Reason.NOBODY_IS_UP
    stage.join("invoker0", 256, frozenset({PYTHON}))
    assert refused(stage, kind=NODE).reason is Reason.NOBODY_CAN_RUN_IT
    assert refused(stage, memory_mb=512).reason is Reason.NOBODY_CAN_RUN_IT


def test_homes_of_a_kind_are_among_all_that_can_run_it_whatever_else_they_can() -> None:
    stage = Stage()
    for number in range(6):
        stage.join(f"invoker{number}", kinds=frozenset({PYTHON} if number % 2 else {PYTHON, NODE}))
    invokers = {placed(stage, f"action{n}").invoker for n in range(24)}
    assert invokers == set(stage.invokers)
