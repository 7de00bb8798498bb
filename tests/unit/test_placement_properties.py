"""What placement promises whatever comes, and that a placement which breaks a promise is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sabayon.balancer.placement import Placement
from sabayon.balancer.ring import Ring, point_of
from sabayon.balancer.sharding import Shard
from sabayon.bus.heartbeat import Containers
from tests.unit.broken_placements import BROKEN
from tests.unit.placement_stage import BOTH, NODE, PYTHON, Stage

SEQUENCES: Final = 3_000
ENOUGH: Final = 1_500
"""Sequences among which a broken placement has to be found."""

NAMES: Final = ("invoker0", "invoker1", "invoker2", "invoker3")
NAMESPACES: Final = ("alice", "bob", "carol")
ACTIONS: Final = (("a", PYTHON, 256, 1), ("b", PYTHON, 128, 3), ("c", NODE, 256, 2), ("d", PYTHON, 512, 1))
"""Name, kind, memory limit, concurrency."""

MEMORY_MB: Final = (256, 512, 1024)
KINDS: Final = (BOTH, BOTH, frozenset({PYTHON}))


def play(chance: random.Random, make: Callable[..., Placement] = Placement) -> list[object]:
    """One course of events. Fails if a promise is not kept. Returns the choices."""
    stage = Stage(make, overcommit=chance.choice((1.0, 1.5, 2.0)))
    choices: list[object] = []
    for name in NAMES[:2]:
        stage.join(name, chance.choice(MEMORY_MB), chance.choice(KINDS))
    for _ in range(chance.randrange(10, 60)):
        dice = chance.random()
        present = list(stage.invokers)
        if dice < 0.55:
            name, kind, memory_mb, concurrency = chance.choice(ACTIONS)
            avoid = frozenset(chance.sample(NAMES, 1)) if chance.random() < 0.1 else frozenset[str]()
            job = stage.job(
                name,
                namespace=chance.choice(NAMESPACES),
                kind=kind,
                memory_mb=memory_mb,
                concurrency=concurrency,
                avoid=avoid,
            )
            choices.append(stage.place(job))
        elif dice < 0.80 and stage.running:
            stage.finish(chance.choice(list(stage.running)), is_usable=chance.random() < 0.8)
        elif dice < 0.85 and (absent := [name for name in NAMES if name not in stage.invokers]):
            name = chance.choice(absent)
            stage.join(name, chance.choice(MEMORY_MB), chance.choice(KINDS), is_open=chance.random() < 0.7)
        elif dice < 0.87 and present:
            stage.leave(chance.choice(present))
        elif dice < 0.92 and present:
            stage.set_open(chance.choice(present), chance.random() < 0.6)
        elif dice < 0.94:
            stage.divide(chance.choice((1, 2, 3)))
        elif present:
            told = tuple(
                Containers(namespace, f"{namespace}/{name}", 1, chance.randrange(3))
                for namespace in chance.sample(NAMESPACES, 1)
                for name, *_ in chance.sample(ACTIONS, 2)
            )
            stage.beat(chance.choice(present), chance.choice((0, 0, 256, 768)), told, is_whole=chance.random() < 0.3)
    for job_id in list(stage.running):
        stage.finish(job_id)
    assert stage.placement._fleet.taken_mb == 0
    assert not stage.placement._namespace_mb, "a namespace has something, and nothing is there"
    return choices


def test_no_promise_is_broken_in_thousands_of_courses_of_events() -> None:
    for seed in range(SEQUENCES):
        try:
            play(random.Random(seed))
        except Exception as error:
            error.add_note(f"in sequence {seed}")
            raise


@pytest.mark.parametrize(("broken", "text"), BROKEN)
def test_a_placement_that_breaks_a_promise_is_caught(broken: Callable[..., Placement], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        for seed in range(ENOUGH):
            play(random.Random(seed), broken)


@given(st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_same_events_lead_to_the_same_choices(seed: int) -> None:
    assert play(random.Random(seed)) == play(random.Random(seed))


def _homes(ring: Ring, count: int = 1000) -> list[str]:
    return [next(ring.walk(point_of("alice", f"alice/action{n}")))[1].id for n in range(count)]


def _ring(shards: list[Shard]) -> Ring:
    ring = Ring()
    for shard in shards:
        ring.add(shard)
    return ring


@given(st.sets(st.text(min_size=1, max_size=12), min_size=2, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_only_the_homes_at_who_goes_move_and_they_return_with_it(names: set[str], chance: random.Random) -> None:
    shards = [Shard(name, 16_384, BOTH) for name in sorted(names)]
    ring = _ring(shards)
    before = _homes(ring, 200)
    gone = chance.choice(shards)
    ring.remove(gone)
    after = _homes(ring, 200)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert all(old == gone.id for old, _ in moved)
    assert gone.id not in after
    ring.add(gone)
    assert _homes(ring, 200) == before


@given(st.permutations([Shard(f"invoker{n}", 8192, BOTH) for n in range(8)]))
@settings(max_examples=20, deadline=None)
def test_controllers_that_heard_of_invokers_in_another_order_agree_about_homes(shards: list[Shard]) -> None:
    assert _homes(_ring(shards), 100) == _homes(_ring(sorted(shards, key=lambda shard: shard.id)), 100)


def test_an_invoker_with_four_times_the_memory_is_home_to_about_four_times_the_actions() -> None:
    homes = _homes(_ring([Shard("small", 8_192, BOTH), Shard("large", 32_768, BOTH)]), 4000)
    assert 2.5 < homes.count("large") / homes.count("small") < 6.5


@given(st.integers(4, 12), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_whatever_one_namespace_takes_another_that_has_nothing_gets_a_place(invokers: int, controllers: int) -> None:
    stage = Stage()
    for n in range(invokers):
        stage.join(f"invoker{n}", 3072)
    stage.divide(controllers)
    while hasattr(stage.place(stage.job("greedy", namespace="mallory", memory_mb=128)), "invoker"):
        pass
    assert hasattr(stage.place(stage.job(namespace="alice", memory_mb=128)), "invoker")
