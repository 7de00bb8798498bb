"""What the container pool promises, whatever comes: memory, idleness, order of choice, and that everybody is served."""

from __future__ import annotations

import pytest

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Job, Key, Pause, Remove, Run
from sabayon.invoker.pool import Pool
from sabayon.invoker.waiting import PATIENCE_S
from sabayon.sandbox.base import Egress
from tests.unit.pool_stage import KEEP_ALIVE_S, MEMORY_MB, NODE, PAUSE_GRACE_S, PYTHON, Stage, fixed, kinds_of, ran


def test_a_warm_container_is_taken_before_a_stem_cell() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 2)])
    for container in sorted(stage.starting):
        stage.start_cell(container)
    (warm,) = ran(stage.submit("alice"))
    stage.finish(warm)
    assert stage.cells
    assert ran(stage.submit("alice")) == [warm]


def test_an_idle_container_counts_at_what_it_holds_so_that_many_stay_warm() -> None:
    stage = Stage(memory_mb=512)
    for number in range(60):
        (container,) = ran(stage.submit("alice", f"action-{number}"))
        stage.finish(container, held_mb=4)
    assert len(stage.idle) == 60
    assert stage.pool.used_mb == 60 * 4
    assert kinds_of(stage.submit("alice", "action-0")) == ["reused"]


def test_a_warm_container_gets_its_limit_back_in_the_room_of_others_that_are_idle() -> None:
    stage = Stage(memory_mb=512)
    first, second = ran(stage.submit("alice", "a")), ran(stage.submit("bob", "b"))
    stage.finish(first[0], held_mb=200)
    stage.finish(second[0], held_mb=200)
    assert kinds_of(stage.submit("alice", "a")) == ["reused"]
    assert kinds_of(stage.submit("carol", "c")) == ["Remove", "new"]


def test_a_warm_container_whose_limit_does_not_fit_waits() -> None:
    stage = Stage(memory_mb=512)
    (warm,) = ran(stage.submit("alice", "a"))
    stage.finish(warm, held_mb=4)
    (big,) = ran(stage.submit("bob", "d", memory_mb=400))
    assert kinds_of(stage.submit("alice", "a")) == []
    assert kinds_of(stage.finish(big)) == ["Remove", "reused"]


def test_a_container_never_counts_for_more_than_its_limit() -> None:
    stage = Stage(memory_mb=512)
    (container,) = ran(stage.submit("alice", memory_mb=256))
    stage.finish(container, held_mb=10_000)
    assert stage.pool.used_mb == 256


def test_a_stem_cell_is_taken_before_a_new_container_is_made() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    (cell,) = stage.starting
    stage.start_cell(cell)
    instructions = stage.submit("alice")
    assert ran(instructions) == [cell]
    assert kinds_of(instructions) == ["reused", "Create"]


def test_a_new_container_is_made_before_an_idle_one_is_removed() -> None:
    stage = Stage()
    (idle,) = ran(stage.submit("alice"))
    stage.finish(idle)
    assert kinds_of(stage.submit("bob")) == ["new"]
    assert idle in stage.idle


def test_an_idle_container_is_removed_before_a_job_has_to_wait() -> None:
    stage = Stage(512)
    (idle,) = ran(stage.submit("alice", memory_mb=256))
    stage.finish(idle)
    stage.submit("bob")
    assert kinds_of(stage.submit("carol")) == ["Remove", "new"]
    assert idle not in stage.size_mb


def test_a_job_waits_while_nothing_can_be_removed_for_it_and_gets_the_first_room() -> None:
    stage = Stage(512)
    (first,) = ran(stage.submit("alice"))
    stage.submit("bob")
    assert stage.submit("carol") == []
    assert kinds_of(stage.finish(first)) == ["Remove", "new"]


def test_the_container_that_idled_longest_is_removed_first() -> None:
    stage = Stage(768)
    containers = [ran(stage.submit("alice", action))[0] for action in ("a", "b")]
    containers += ran(stage.submit("bob"))
    for container in (containers[1], containers[2], containers[0]):
        stage.pass_time(1.0)
        stage.finish(container)
    removed = [ins.container for ins in stage.submit("carol", memory_mb=512) if isinstance(ins, Remove)]
    assert removed == [containers[1], containers[2]]


def test_stem_cells_are_removed_only_after_all_idle_containers() -> None:
    stage = Stage(512, [fixed(Cell(NODE, 256), 1)])
    (cell,) = stage.starting
    stage.start_cell(cell)
    (idle,) = ran(stage.submit("alice"))
    stage.finish(idle)
    assert [ins.container for ins in stage.submit("bob") if isinstance(ins, Remove)] == [idle]
    assert [ins.container for ins in stage.submit("carol") if isinstance(ins, Remove)] == [cell]


def test_nothing_is_removed_when_it_would_not_make_enough_room() -> None:
    stage = Stage(768)
    (idle,) = ran(stage.submit("alice"))
    stage.submit("bob", memory_mb=512)
    stage.finish(idle)
    assert stage.submit("carol", memory_mb=512) == []
    assert idle in stage.idle


def test_of_several_warm_containers_the_one_used_last_is_taken() -> None:
    stage = Stage()
    older, newer = (ran(stage.submit("alice"))[0] for _ in range(2))
    stage.finish(older)
    stage.finish(newer)
    assert ran(stage.submit("alice")) == [newer]


@pytest.mark.parametrize(("namespace", "action"), [("bob", "a"), ("alice", "b")])
def test_a_warm_container_serves_no_other_namespace_and_no_other_action(namespace: str, action: str) -> None:
    stage = Stage()
    stage.finish(ran(stage.submit("alice", "a"))[0])
    assert kinds_of(stage.submit(namespace, action)) == ["new"]


def test_a_changed_action_does_not_run_in_the_container_of_its_old_code() -> None:
    pool = Pool(MEMORY_MB)
    (run,) = pool.submit(Job("old", Key("alice", "a", 1), PYTHON, 256, KeptWarm()), 0.0)
    assert isinstance(run, Run)
    pool.finished(run.container, "old", 0.0, is_usable=True, held_mb=1)
    assert kinds_of(pool.submit(Job("new", Key("alice", "a", 2), PYTHON, 256, KeptWarm()), 0.0)) == ["new"]


@pytest.mark.parametrize(("kind", "memory_mb"), [(NODE, 256), (PYTHON, 128)])
def test_a_stem_cell_of_another_kind_or_size_is_not_taken(kind: str, memory_mb: int) -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    (cell,) = stage.starting
    stage.start_cell(cell)
    assert kinds_of(stage.submit("alice", "a", kind, memory_mb)) == ["new"]


@pytest.mark.parametrize("egress", [Egress.NONE, Egress.ALL])
def test_a_container_of_another_egress_is_not_taken(egress: Egress) -> None:
    pool = Pool(1024, stem_cells=[fixed(Cell(PYTHON, 256, Egress.INTERNET), 1)])
    (create,) = pool.start()
    assert isinstance(create, Create)
    assert create.egress is Egress.INTERNET
    pool.ready(create.container, 0.0, held_mb=256)
    narrow = Job("narrow", Key("alice", "a", 1), PYTHON, 256, KeptWarm(), egress)
    fresh = next(ins for ins in pool.submit(narrow, 0.0) if isinstance(ins, Run))
    assert fresh.is_new
    pool.finished(fresh.container, "narrow", 0.0, is_usable=True, held_mb=256)
    wide = narrow._replace(id="wide", egress=Egress.INTERNET)
    assert Run(create.container, wide, False) in pool.submit(wide, 0.0)
    again = narrow._replace(id="again")
    assert pool.submit(again, 0.0) == [Run(fresh.container, again, False)]


def test_a_stem_cell_that_still_starts_is_not_taken() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    assert kinds_of(stage.submit("alice")) == ["new"]


def test_a_container_that_cannot_be_used_again_makes_room() -> None:
    stage = Stage(256)
    (container,) = ran(stage.submit("alice"))
    stage.submit("alice")
    assert kinds_of(stage.finish(container, is_usable=False)) == ["new"]


def test_what_one_namespace_submitted_is_served_in_that_order() -> None:
    stage = Stage(256)
    for action in ("a", "b", "c", "d"):
        stage.submit("alice", action)
    while stage.running:
        stage.finish(next(iter(stage.running)))
    assert stage.served == ["alice-a-1", "alice-b-2", "alice-c-3", "alice-d-4"]


def test_namespaces_take_turns_however_much_one_of_them_asks_for() -> None:
    stage = Stage(256)
    for _ in range(5):
        stage.submit("alice")
    stage.submit("bob")
    stage.submit("carol")
    for _ in range(3):
        stage.finish(next(iter(stage.running)))
    assert {job.partition("-")[0] for job in stage.served[1:4]} == {"alice", "bob", "carol"}


def test_an_action_that_fails_again_and_again_takes_nobody_elses_turn() -> None:
    stage = Stage(256)
    for _ in range(9):
        stage.submit("mallory")
    for _ in range(2):
        stage.submit("alice")
    for _ in range(4):
        stage.finish(*stage.running, is_usable=False)
    assert [job.partition("-")[0] for job in stage.served] == ["mallory", "mallory", "alice", "mallory", "alice"]


def test_a_namespace_over_its_share_waits_for_itself_while_others_find_room() -> None:
    stage = Stage(1024)
    first, *_ = [ran(stage.submit("alice", action))[0] for action in ("a", "b", "c")]
    assert stage.submit("alice", "d") == []
    stage.pass_time(PATIENCE_S + 1)
    assert kinds_of(stage.submit("bob")) == ["new"]
    assert [ins.job.key for ins in stage.finish(first) if isinstance(ins, Run)] == [Key("alice", "d", 1)]


def test_warm_containers_do_not_carry_a_namespace_over_its_share() -> None:
    stage = Stage(1024)
    warm = [ran(stage.submit("alice", "a"))[0] for _ in range(3)]
    stage.finish(warm[0])
    stage.submit("alice", "b")
    assert warm[0] in stage.idle
    assert stage.submit("alice", "a") == []


def test_one_job_larger_than_the_share_runs_when_its_namespace_runs_nothing_else() -> None:
    assert kinds_of(Stage(512).submit("alice", memory_mb=512)) == ["new"]


def test_small_jobs_do_not_keep_a_large_one_waiting_for_ever() -> None:
    stage = Stage(1024)
    for _ in range(3):
        stage.submit("alice")
    stage.submit("bob", memory_mb=1024)
    for _ in range(40):
        stage.submit("alice")
        stage.pass_time(0.2)
        stage.finish(next(iter(stage.running)))
        if any(job.startswith("bob") for job in stage.served):
            return
    pytest.fail(f"bob is still waiting after {stage.now:.1f} s")


def test_a_pool_that_stops_gives_up_what_waits_and_makes_no_more_stem_cells() -> None:
    stage = Stage(512, [fixed(Cell(PYTHON, 128), 1)])
    stage.start_cell(*stage.starting)
    first, second = (ran(stage.submit(namespace))[0] for namespace in ("alice", "bob"))
    stage.submit("alice")
    stage.submit("carol")
    assert stage.stop() == ["alice-a-3", "carol-a-4"]
    assert stage.finish(first) == stage.finish(second, is_usable=False) == stage.pass_time(1.0) == []
    assert stage.stop() == []


def test_an_idle_container_is_paused_after_the_grace_and_removed_after_the_keep_alive_time() -> None:
    stage = Stage()
    (container,) = ran(stage.submit("alice"))
    stage.finish(container)
    assert stage.pass_time(PAUSE_GRACE_S - 0.1) == []
    assert stage.pass_time(0.2) == [Pause(container)]
    assert stage.pass_time(0.1) == []
    assert kinds_of(stage.pass_time(KEEP_ALIVE_S)) == ["Remove"]
    assert stage.pool.used_mb == 0


def test_a_container_that_was_used_again_is_paused_again() -> None:
    stage = Stage()
    (container,) = ran(stage.submit("alice"))
    stage.finish(container)
    stage.pass_time(PAUSE_GRACE_S)
    assert ran(stage.submit("alice")) == [container]
    stage.finish(container)
    assert stage.pass_time(PAUSE_GRACE_S) == [Pause(container)]


def test_the_last_containers_of_an_action_are_kept_for_longer_if_its_namespace_has_that_right() -> None:
    stage = Stage()
    stage.kept_warm = KeptWarm(count=1, extra_s=100.0)
    containers = [ran(stage.submit("alice"))[0] for _ in range(3)]
    for container in containers:
        stage.finish(container)
    assert kinds_of(stage.pass_time(KEEP_ALIVE_S)) == ["Remove", "Remove", "Pause"]
    assert list(stage.idle) == containers[2:]
    assert stage.pass_time(99.0) == []
    assert kinds_of(stage.pass_time(1.0)) == ["Remove"]


def test_paused_containers_make_way_before_memory_is_needed_longest_idle_first() -> None:
    stage = Stage(1024)
    first, second = (ran(stage.submit(namespace, memory_mb=256))[0] for namespace in ("alice", "bob"))
    stage.finish(first, held_mb=100)
    stage.finish(second, held_mb=100)
    stage.pass_time(PAUSE_GRACE_S)
    for namespace in ("carol", "dave"):
        stage.submit(namespace, memory_mb=400)
    assert stage.pass_time(1.0) == [Remove(first, "little memory is left")]
    assert stage.pass_time(1.0) == []
    assert kinds_of(stage.submit("erin", memory_mb=64)) == ["new"]


def test_what_is_awake_or_has_the_right_to_be_kept_is_not_removed_to_have_memory_left() -> None:
    stage = Stage(1024)
    (awake,) = ran(stage.submit("alice"))
    stage.kept_warm = KeptWarm(count=1, extra_s=100.0)
    (kept,) = ran(stage.submit("bob"))
    stage.finish(kept, held_mb=100)
    stage.pass_time(PAUSE_GRACE_S)
    stage.finish(awake, held_mb=100)
    stage.submit("carol", memory_mb=800)
    assert stage.pass_time(1.0) == []


def test_nothing_is_removed_to_have_memory_left_when_it_would_not_be_enough() -> None:
    stage = Stage(1024)
    (idle,) = ran(stage.submit("alice"))
    stage.finish(idle, held_mb=4)
    stage.pass_time(PAUSE_GRACE_S)
    stage.submit("bob", memory_mb=1000)
    assert stage.pass_time(1.0) == []


def test_a_container_that_is_kept_for_longer_is_paused_though_no_tick_came_in_between() -> None:
    stage = Stage()
    stage.kept_warm = KeptWarm(count=1, extra_s=100.0)
    (container,) = ran(stage.submit("alice"))
    stage.finish(container)
    assert stage.pass_time(KEEP_ALIVE_S + 1) == [Pause(container)]
    assert kinds_of(stage.submit("alice")) == ["reused"]


def test_a_container_loses_the_right_to_be_kept_when_others_of_its_action_become_idle() -> None:
    stage = Stage()
    stage.kept_warm = KeptWarm(count=1, extra_s=100.0)
    first, second = (ran(stage.submit("alice"))[0] for _ in range(2))
    stage.finish(first)
    stage.pass_time(KEEP_ALIVE_S + 1)
    stage.finish(second)
    assert [ins.container for ins in stage.pass_time(1.0) if isinstance(ins, Remove)] == [first]


def test_stem_cells_are_neither_paused_nor_removed_for_their_age() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 2)])
    for container in sorted(stage.starting):
        stage.start_cell(container)
    assert stage.pass_time(10 * KEEP_ALIVE_S) == []
    assert len(stage.cells) == 2


def test_stem_cells_are_made_only_as_far_as_memory_goes() -> None:
    assert len(Stage(600, [fixed(Cell(PYTHON, 256), 5)]).starting) == 2


def test_a_stem_cell_that_failed_to_start_is_tried_again_at_the_next_tick_and_not_before() -> None:
    stage = Stage(stem_cells=[fixed(Cell(PYTHON, 256), 1)])
    (cell,) = stage.starting
    assert stage.lose(cell) == []
    assert kinds_of(stage.pass_time(1.0)) == ["Create"]


def test_losing_a_container_that_is_unknown_or_busy_changes_nothing() -> None:
    stage = Stage()
    (container,) = ran(stage.submit("alice"))
    assert stage.pool.removed(container, 0.0) == []
    assert stage.pool.removed(999, 0.0) == []
    stage.check()


def test_the_representation_tells_how_things_stand() -> None:
    stage = Stage(512)
    for namespace in ("alice", "bob", "carol"):
        stage.submit(namespace)
    assert repr(stage.pool) == "<Pool busy 2, idle 0, stem cells 0, waiting 1, 512 of 512 MB>"
