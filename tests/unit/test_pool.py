"""What the container pool promises, whatever comes: memory, idleness, order of choice, and that everybody is served."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Job, Key, Pause, Remove, Run
from sabayon.invoker.pool import NAMESPACE_SHARE, PATIENCE_S, Pool
from sabayon.sandbox.base import Egress
from tests.unit.pool_stage import KEEP_ALIVE_S, MEMORY_MB, NODE, PAUSE_GRACE_S, PYTHON, Stage, kinds_of, ran

NAMESPACES = st.sampled_from(["alice", "bob", "carol"])
ACTIONS = st.sampled_from([("a", PYTHON, 256), ("b", PYTHON, 128), ("c", NODE, 256), ("d", PYTHON, 512)])
STEM_CELLS = st.sampled_from([(), ((Cell(PYTHON, 256), 2),), ((Cell(PYTHON, 256), 1), (Cell(NODE, 256), 1))])

HELD_MB = st.sampled_from([None, 3, 60])
"""What an idle container holds: its limit, next to nothing, or something between."""


class AnyCourseOfEvents(RuleBasedStateMachine):
    """Whatever is submitted, finishes or breaks in whatever order, the stage can carry it out."""

    @initialize(stem_cells=STEM_CELLS, memory_mb=st.sampled_from([512, 1024, 1300]))
    def begin(self, stem_cells: tuple[tuple[Cell, int], ...], memory_mb: int) -> None:
        self.stage = Stage(memory_mb, stem_cells)

    @rule(namespace=NAMESPACES, action=ACTIONS)
    def submit(self, namespace: str, action: tuple[str, str, int]) -> None:
        self.stage.submit(namespace, *action)

    @precondition(lambda self: self.stage.running)
    @rule(data=st.data(), is_usable=st.booleans(), held_mb=HELD_MB)
    def finish(self, data: st.DataObject, is_usable: bool, held_mb: int | None) -> None:
        container = data.draw(st.sampled_from(sorted(self.stage.running)))
        self.stage.finish(container, is_usable=is_usable, held_mb=held_mb)

    @precondition(lambda self: self.stage.starting)
    @rule(data=st.data(), held_mb=HELD_MB)
    def start_cell(self, data: st.DataObject, held_mb: int | None) -> None:
        self.stage.start_cell(data.draw(st.sampled_from(sorted(self.stage.starting))), held_mb)

    @precondition(lambda self: self.stage.idle or self.stage.cells or self.stage.starting)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        losable = sorted({*self.stage.idle, *self.stage.cells, *self.stage.starting})
        self.stage.lose(data.draw(st.sampled_from(losable)))

    @rule(seconds=st.sampled_from([0.1, 1.0, PATIENCE_S + 0.1, PAUSE_GRACE_S, KEEP_ALIVE_S]))
    def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @invariant()
    def counts_agree(self) -> None:
        self.stage.check()

    @invariant()
    def nobody_takes_more_than_the_share_unless_by_one_container(self) -> None:
        for namespace in {job.key.namespace for job in self.stage.running.values()}:
            containers = sum(job.key.namespace == namespace for job in self.stage.running.values())
            is_within = self.stage.busy_mb(namespace) <= self.stage.memory_mb * NAMESPACE_SHARE
            assert is_within or containers == 1

    def teardown(self) -> None:
        """Nobody is forgotten: as long as containers finish, all that waits is served."""
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        for container in list(stage.starting):
            if container in stage.starting:
                stage.start_cell(container)
        while stage.running:
            stage.finish(next(iter(stage.running)))
            stage.check()
        stage.pass_time(0.0)
        while stage.running:
            stage.finish(next(iter(stage.running)))
        assert not stage.waiting


AnyCourseOfEvents.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_course_of_events_can_be_carried_out = AnyCourseOfEvents.TestCase


def test_a_warm_container_is_taken_before_a_stem_cell() -> None:
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 2)])
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
    stage.pool.finished(container, "alice-a-1", 0.0, is_usable=True, held_mb=10_000)
    assert stage.pool.used_mb == 256


def test_a_stem_cell_is_taken_before_a_new_container_is_made() -> None:
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 1)])
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
    stage = Stage(512, [(Cell(NODE, 256), 1)])
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
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 1)])
    (cell,) = stage.starting
    stage.start_cell(cell)
    assert kinds_of(stage.submit("alice", "a", kind, memory_mb)) == ["new"]


@pytest.mark.parametrize("egress", [Egress.NONE, Egress.ALL])
def test_a_container_of_another_egress_is_not_taken(egress: Egress) -> None:
    pool = Pool(1024, stem_cells=[(Cell(PYTHON, 256, Egress.INTERNET), 1)])
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
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 1)])
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
    stage = Stage(512, [(Cell(PYTHON, 128), 1)])
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


def test_stem_cells_are_neither_paused_nor_removed_for_their_age() -> None:
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 2)])
    for container in sorted(stage.starting):
        stage.start_cell(container)
    assert stage.pass_time(10 * KEEP_ALIVE_S) == []
    assert len(stage.cells) == 2


def test_stem_cells_are_made_only_as_far_as_memory_goes() -> None:
    assert len(Stage(600, [(Cell(PYTHON, 256), 5)]).starting) == 2


def test_a_stem_cell_that_failed_to_start_is_tried_again_at_the_next_tick_and_not_before() -> None:
    stage = Stage(stem_cells=[(Cell(PYTHON, 256), 1)])
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
