"""The invoker with an action of which several activations run in one container at once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec.structs import replace

from sabayon.entity.activation import Activation, Outcome
from sabayon.entity.limits import ActionLimits
from tests.unit.invoker_stage import Stage, never, on_stage
from tests.unit.scripted_sandbox import ScriptedSandbox

CONCURRENCY = 3


def overlapping(stage: Stage, **fields: Any) -> list[asyncio.Future[Any]]:
    """As many activations of the action as one container takes."""
    stage.action = replace(stage.action, limits=ActionLimits(concurrency=CONCURRENCY))
    return [stage.accept(**fields) for _ in range(CONCURRENCY)]


async def ended(stage: Stage, future: asyncio.Future[Any]) -> tuple[Outcome, Any]:
    """Class and result of an activation, once it has its record."""
    activation = await asyncio.wait_for(future, 5)
    assert await stage.activations.read("acme", activation.activation_id) is not None
    return activation.response.outcome, msgspec.json.decode(activation.response.result)


def has_init_time(activation: Activation) -> bool:
    return "initTime" in [annotation.key for annotation in activation.annotations]


class Door:
    """A script whose runs wait until as many as `wanted` have come, or for ever."""

    def __init__(self, wanted: int, *, opens: bool = True) -> None:
        self.wanted = wanted
        self.inside = 0
        self.is_full = asyncio.Event()
        self.is_open = self.is_full if opens else asyncio.Event()

    async def __call__(self, sandbox: ScriptedSandbox) -> bytes:
        self.inside += 1
        if self.inside == self.wanted:
            self.is_full.set()
        await self.is_open.wait()
        self.inside -= 1
        return b"{}"


@on_stage
async def test_activations_that_come_while_a_container_starts_wait_for_it_and_then_run_in_it_at_once(
    stage: Stage,
) -> None:
    stage.driver.may_start.clear()
    stage.driver.on_run = Door(CONCURRENCY)
    futures = overlapping(stage)
    await stage.driver.is_starting.wait()
    stage.driver.may_start.set()
    assert [await ended(stage, future) for future in futures] == [(Outcome.SUCCESS, {})] * CONCURRENCY
    (sandbox,) = stage.driver.made
    assert [len(sandbox.inits), len(sandbox.runs)] == [1, CONCURRENCY]


@on_stage
async def test_only_the_activation_that_the_code_was_loaded_for_has_an_init_time(stage: Stage) -> None:
    stage.driver.on_run = Door(CONCURRENCY)
    assert [has_init_time(await future) for future in overlapping(stage)] == [True, False, False]


@on_stage
async def test_code_that_cannot_be_loaded_fails_all_that_wait_for_it_and_is_tried_once(stage: Stage) -> None:
    async def fail(sandbox: ScriptedSandbox) -> bytes:
        sandbox.die()
        return b""

    stage.driver.on_init = fail
    text = "The action did not initialize and exited unexpectedly."
    futures = overlapping(stage)
    results = [await ended(stage, future) for future in futures]
    assert results == [(Outcome.DEVELOPER_ERROR, {"error": text})] * CONCURRENCY
    assert [has_init_time(await future) for future in futures] == [True, False, False]
    assert len(stage.driver.made) == 1
    assert stage.invoker.stats().used_mb == 0


@on_stage
async def test_a_container_that_cannot_be_made_fails_all_that_wait_for_it(stage: Stage) -> None:
    stage.driver.failures = 100
    outcomes = [(await ended(stage, future))[0] for future in overlapping(stage)]
    assert outcomes == [Outcome.WHISK_ERROR] * CONCURRENCY


@on_stage
async def test_an_unusable_container_gets_no_further_activation_and_goes_when_its_last_has_ended(stage: Stage) -> None:
    go_on = asyncio.Event()
    answers = [b"no JSON", b"{}", b"{}"]

    async def answer(sandbox: ScriptedSandbox) -> bytes:
        mine = answers.pop(0) if answers else b"{}"
        if mine == b"{}" and sandbox is stage.driver.made[0]:
            await go_on.wait()
        return mine

    stage.driver.on_run = answer
    spoiling, *others = overlapping(stage)
    assert (await ended(stage, spoiling))[0] is Outcome.DEVELOPER_ERROR
    first = stage.driver.made[0]
    further = stage.accept()
    assert first.is_alive and not any(future.done() for future in others)
    go_on.set()
    assert [await ended(stage, future) for future in (*others, further)] == [(Outcome.SUCCESS, {})] * 3
    assert [len(sandbox.runs) for sandbox in stage.driver.made] == [CONCURRENCY, 1]
    await first.gone.wait()


@on_stage
async def test_activations_whose_warm_container_has_gone_run_in_another_one(stage: Stage) -> None:
    stage.driver.on_run = Door(CONCURRENCY)
    for future in overlapping(stage):
        await future
    stage.driver.made[0].die()
    stage.driver.on_run = Door(CONCURRENCY)
    assert [await ended(stage, future) for future in overlapping(stage)] == [(Outcome.SUCCESS, {})] * CONCURRENCY
    assert stage.invoker.stats().busy == 0


@on_stage
async def test_code_whose_runs_cannot_overlap_has_them_one_after_the_other_in_its_one_container(stage: Stage) -> None:
    inside = []

    async def alone(sandbox: ScriptedSandbox) -> bytes:
        assert not inside
        inside.append(sandbox)
        for _ in range(10):
            await asyncio.sleep(0)  # long enough for any other to begin
        inside.clear()
        return b"{}"

    stage.driver.can_overlap = False
    stage.driver.on_run = alone
    assert [await ended(stage, future) for future in overlapping(stage)] == [(Outcome.SUCCESS, {})] * CONCURRENCY
    assert len(stage.driver.made) == 1


@on_stage
async def test_what_waits_for_the_code_to_be_loaded_at_the_end_and_is_journaled_is_left_for_the_next_start(
    stage: Stage,
) -> None:
    stage.driver.on_init = never
    first, *others = overlapping(stage, is_journaled=True)
    await stage.driver.is_asked.wait()
    await stage.invoker.aclose()
    for future in (first, *others):
        assert await stage.activations.read("acme", (await future).activation_id) is None
    [(entry, is_held)] = stage.store.journal.rows.values()
    assert (entry.activation_id, entry.attempts, is_held) == ((await first).activation_id, 1, False)


@on_stage
async def test_what_overlaps_at_the_end_is_interrupted_and_has_a_record_each(stage: Stage) -> None:
    stage.driver.on_run = door = Door(CONCURRENCY, opens=False)
    futures = overlapping(stage)
    await door.is_full.wait()
    await stage.invoker.aclose()
    assert [(await ended(stage, future))[0] for future in futures] == [Outcome.WHISK_ERROR] * CONCURRENCY
