"""What the pool promises whatever comes, and that a pool which breaks a promise is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell
from sabayon.invoker.pool import Pool
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.waiting import PATIENCE_S
from tests.unit.broken_pools import BROKEN, PARTS, maker
from tests.unit.pool_stage import KEEP_ALIVE_S, NODE, PAUSE_GRACE_S, PYTHON, Stage, fixed

SEQUENCES: Final = 100_000
PART: Final = 20_000
ENOUGH: Final = 5_000
"""Sequences among which a broken pool has to be found."""

NAMESPACES: Final = ("alice", "bob", "carol")
ACTIONS: Final = (
    ("a", PYTHON, 256, 1),
    ("b", PYTHON, 128, 3),
    ("c", NODE, 256, 2),
    ("d", PYTHON, 512, 1),
    ("e", NODE, 128, 1),
)
"""Name, kind, memory limit, concurrency."""

CLASSES: Final[tuple[tuple[StemCells, ...], ...]] = (
    (),
    (fixed(Cell(PYTHON, 256), 2),),
    (StemCells(Cell(NODE, 256), 2, maximum=3, ttl_s=30.0),),
    (StemCells(Cell(NODE, 256), 1, ttl_s=10.0), fixed(Cell(PYTHON, 256), 1)),
)
MEMORY_MB: Final = (512, 600, 1024, 1300)
HELD_MB: Final = (None, 3, 60, 3)
"""What an idle container holds: its limit, next to nothing, or something between."""

KEPT_WARM: Final = (KeptWarm(), KeptWarm(count=1, extra_s=30.0))
SECONDS: Final = (0.1, 1.0, PATIENCE_S + 0.1, PAUSE_GRACE_S, KEEP_ALIVE_S)


def play(chance: random.Random, make_pool: Callable[..., Pool] = Pool) -> None:
    """One sequence of events. Fails if an instruction cannot be carried out, or a promise is not kept."""
    stage = Stage(chance.choice(MEMORY_MB), chance.choice(CLASSES), make_pool)
    stage.kept_warm = chance.choice(KEPT_WARM)
    for _ in range(chance.randrange(2, 24)):
        dice = chance.random()
        if dice < 0.45:
            stage.submit(chance.choice(NAMESPACES), *chance.choice(ACTIONS))
        elif dice < 0.75 and stage.running:
            container = chance.choice(list(stage.running))
            job = chance.choice(list(stage.running[container]))
            stage.finish(container, job_id=job, is_usable=chance.random() < 0.8, held_mb=chance.choice(HELD_MB))
        elif dice < 0.83 and stage.starting:
            stage.start_cell(chance.choice(list(stage.starting)), chance.choice(HELD_MB))
        elif dice < 0.86 and (losable := [*stage.idle, *stage.cells, *stage.starting]):
            stage.lose(chance.choice(losable))
        elif dice < 0.90 and stage.waiting:
            stage.withdraw(chance.choice(list(stage.waiting)))
        elif dice < 0.92 and stage.running:
            container = chance.choice(list(stage.running))
            stage.abandon(container, chance.choice(list(stage.running[container])))
        elif dice > 0.88:
            stage.pass_time(chance.choice(SECONDS))
    stage.drain()


@pytest.mark.parametrize("first", range(0, SEQUENCES, PART))
def test_no_promise_is_broken_in_a_hundred_thousand_sequences_of_events(first: int) -> None:
    for seed in range(first, first + PART):
        try:
            play(random.Random(seed))
        except Exception as error:
            error.add_note(f"in sequence {seed}")
            raise


class AnyCourseOfEvents(RuleBasedStateMachine):
    """The same, longer, and made short when it fails."""

    @initialize(
        classes=st.sampled_from(CLASSES), memory_mb=st.sampled_from(MEMORY_MB), kept_warm=st.sampled_from(KEPT_WARM)
    )
    def begin(self, classes: tuple[StemCells, ...], memory_mb: int, kept_warm: KeptWarm) -> None:
        self.stage = Stage(memory_mb, classes)
        self.stage.kept_warm = kept_warm

    @rule(namespace=st.sampled_from(NAMESPACES), action=st.sampled_from(ACTIONS))
    def submit(self, namespace: str, action: tuple[str, str, int, int]) -> None:
        self.stage.submit(namespace, *action)

    @precondition(lambda self: self.stage.running)
    @rule(data=st.data(), is_usable=st.booleans(), held_mb=st.sampled_from(HELD_MB))
    def finish(self, data: st.DataObject, is_usable: bool, held_mb: int | None) -> None:
        container = data.draw(st.sampled_from(sorted(self.stage.running)))
        job = data.draw(st.sampled_from(sorted(self.stage.running[container])))
        self.stage.finish(container, job_id=job, is_usable=is_usable, held_mb=held_mb)

    @precondition(lambda self: self.stage.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        self.stage.withdraw(data.draw(st.sampled_from(sorted(self.stage.waiting))))

    @precondition(lambda self: self.stage.running)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        container = data.draw(st.sampled_from(sorted(self.stage.running)))
        self.stage.abandon(container, data.draw(st.sampled_from(sorted(self.stage.running[container]))))

    @precondition(lambda self: self.stage.starting)
    @rule(data=st.data(), held_mb=st.sampled_from(HELD_MB))
    def start_cell(self, data: st.DataObject, held_mb: int | None) -> None:
        self.stage.start_cell(data.draw(st.sampled_from(sorted(self.stage.starting))), held_mb)

    @precondition(lambda self: self.stage.idle or self.stage.cells or self.stage.starting)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        losable = sorted({*self.stage.idle, *self.stage.cells, *self.stage.starting})
        self.stage.lose(data.draw(st.sampled_from(losable)))

    @rule(seconds=st.sampled_from(SECONDS))
    def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.stage.drain()


AnyCourseOfEvents.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_course_of_events_keeps_the_promises = AnyCourseOfEvents.TestCase


@pytest.mark.parametrize(("broken", "text"), BROKEN)
def test_a_pool_that_breaks_a_promise_is_caught(broken: type, text: str) -> None:
    make_pool = maker(broken)
    with pytest.raises(AssertionError, match=text):
        for seed in range(ENOUGH):
            play(random.Random(seed), make_pool)


@pytest.mark.parametrize("part", PARTS)
def test_a_pool_with_a_part_that_is_as_it_should_be_is_not_caught(part: type) -> None:
    for seed in range(200):
        play(random.Random(seed), maker(part))
