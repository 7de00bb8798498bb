"""Cancelling in the invoker: the record at once, nothing that waits starts, and nobody else is harmed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from sabayon.entity.activation import Activation, Outcome
from sabayon.entity.limits import ActionLimits
from tests.unit.invoker_stage import Stage, never, on_stage
from tests.unit.scripted_sandbox import ScriptedSandbox, succeed

ID = "c" * 32
OTHER = "d" * 32
CANCELLED = (Outcome.APPLICATION_ERROR, {"error": "The activation was cancelled."})


def keys_of(activation: Activation) -> list[str]:
    return [annotation.key for annotation in activation.annotations]


async def outcome(stage: Stage, future: asyncio.Future[Any]) -> tuple[Outcome, Any]:
    """Class and result of an activation, once it has its record; whether it is marked as cancelled fits them."""
    activation: Activation = await asyncio.wait_for(future, 5)
    assert await stage.activations.read("acme", activation.activation_id) == activation.record
    found = activation.response.outcome, msgspec.json.decode(activation.response.result)
    assert activation.is_cancelled is (found == CANCELLED)
    return found


class Script:
    """What a run does, and who has begun to."""

    def __init__(self, stage: Stage, run: Callable[[ScriptedSandbox], Awaitable[bytes]]) -> None:
        self._run = run
        self.begun = asyncio.Queue[ScriptedSandbox]()
        stage.driver.on_run = self

    async def __call__(self, sandbox: ScriptedSandbox) -> bytes:
        self.begun.put_nowait(sandbox)
        return await self._run(sandbox)


class Door:
    """A script whose runs wait until it is opened."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    async def __call__(self, _: ScriptedSandbox) -> bytes:
        await self.is_open.wait()
        return b"{}"


@on_stage
async def test_what_runs_alone_ends_at_once_and_its_container_with_it(stage: Stage) -> None:
    script = Script(stage, never)
    future = stage.accept(activation_id=ID)
    sandbox = await script.begun.get()
    assert stage.invoker.cancel("acme", ID)
    assert await outcome(stage, future) == CANCELLED
    assert "initTime" in keys_of(future.result())
    assert stage.invoker.stats().busy == 0
    await sandbox.gone.wait()


@on_stage
async def test_an_action_of_which_a_run_was_cancelled_runs_again(stage: Stage) -> None:
    script = Script(stage, never)
    stage.accept(activation_id=ID)
    await script.begun.get()
    stage.invoker.cancel("acme", ID)
    stage.driver.on_run = succeed
    assert await stage.result() == (Outcome.SUCCESS, {})


@on_stage
async def test_what_waits_never_starts_and_those_behind_it_do(stage: Stage) -> None:
    script = Script(stage, never)
    stage.accept(activation_id=OTHER)  # the only container that its namespace may have
    await script.begun.get()
    waits, behind = stage.accept(activation_id=ID), stage.accept(arguments=Raw(b'{"n":3}'))
    assert stage.invoker.stats().waiting == 2
    assert stage.invoker.cancel("acme", ID)
    assert await outcome(stage, waits) == CANCELLED
    stage.driver.on_run = succeed
    assert stage.invoker.cancel("acme", OTHER)
    assert await outcome(stage, behind) == (Outcome.SUCCESS, {})
    assert [sandbox.arguments() for sandbox in stage.driver.made] == [{"n": 1}, {"n": 3}]


@pytest.mark.parametrize("when", ["before its container is made", "while its sandbox starts", "while its code loads"])
def test_what_has_not_begun_to_run_never_does(when: str) -> None:
    @on_stage
    async def scenario(stage: Stage) -> None:
        stage.driver.on_init = never
        stage.driver.may_start.clear()
        future = stage.accept(activation_id=ID)
        if when != "before its container is made":
            await stage.driver.is_starting.wait()
        if when == "while its code loads":
            stage.driver.may_start.set()
            await stage.driver.is_asked.wait()
        assert stage.invoker.cancel("acme", ID)
        assert await outcome(stage, future) == CANCELLED
        assert ("initTime" in keys_of(future.result())) is (when == "while its code loads")
        stage.driver.may_start.set()
        await stage.invoker.aclose()
        assert not [sandbox for sandbox in stage.driver.made if sandbox.runs or sandbox.is_alive]

    scenario()


@on_stage
async def test_others_in_its_container_go_on_and_the_container_ends_after_them(stage: Stage) -> None:
    script = Script(stage, door := Door())
    stage.action = replace(stage.action, limits=ActionLimits(concurrency=3))
    cancelled, other = stage.accept(activation_id=ID), stage.accept(activation_id=OTHER)
    sandbox, _ = await script.begun.get(), await script.begun.get()
    assert stage.invoker.cancel("acme", ID)
    assert await outcome(stage, cancelled) == CANCELLED
    assert sandbox.is_alive
    third = stage.accept()
    assert stage.invoker.stats().waiting == 1, "nobody joins them any more"
    door.is_open.set()
    assert await outcome(stage, other) == (Outcome.SUCCESS, {})
    await sandbox.gone.wait()
    assert len(sandbox.runs) == 2
    assert await outcome(stage, third) == (Outcome.SUCCESS, {})


@on_stage
async def test_what_waits_for_its_turn_in_a_container_never_has_it(stage: Stage) -> None:
    script = Script(stage, door := Door())
    stage.driver.can_overlap = False
    stage.action = replace(stage.action, limits=ActionLimits(concurrency=3))
    first, second = stage.accept(), stage.accept(activation_id=ID)
    sandbox = await script.begun.get()
    assert stage.invoker.cancel("acme", ID)
    assert await outcome(stage, second) == CANCELLED
    door.is_open.set()
    assert await outcome(stage, first) == (Outcome.SUCCESS, {})
    await sandbox.gone.wait()
    assert len(sandbox.runs) == 1


@on_stage
async def test_the_one_for_which_the_code_is_loaded_does_not_take_it_from_the_others(stage: Stage) -> None:
    stage.driver.on_init = door = Door()
    stage.action = replace(stage.action, limits=ActionLimits(concurrency=3))
    first, second = stage.accept(activation_id=ID), stage.accept()
    await stage.driver.is_asked.wait()
    assert stage.invoker.cancel("acme", ID)
    assert await outcome(stage, first) == CANCELLED
    door.is_open.set()
    assert await outcome(stage, second) == (Outcome.SUCCESS, {})
    assert len(stage.driver.made[0].runs) == 1


@on_stage
async def test_what_has_ended_is_unknown_or_of_another_namespace_is_not_cancelled(stage: Stage) -> None:
    await stage.result(activation_id=ID)
    assert not stage.invoker.cancel("acme", ID)
    stage.driver.on_run = never
    future = stage.accept(activation_id=OTHER)
    assert not stage.invoker.cancel("other", OTHER)
    assert not future.done()
    stage.invoker.cancel("acme", OTHER)


@on_stage
async def test_what_waits_for_the_store_has_ended_already(stage: Stage) -> None:
    stage.activations.failures = 1
    future = stage.accept(activation_id=ID, is_journaled=True)
    await stage.activations.refused.get()
    assert not stage.invoker.cancel("acme", ID)
    stage.invoker.give_up_records()
    assert await outcome(stage, future) == (Outcome.SUCCESS, {})


@on_stage
async def test_what_was_cancelled_while_the_platform_stops_does_not_run_at_the_next_start(stage: Stage) -> None:
    await stage.store.journal.append(ID, b"entry")
    stage.driver.on_run = never
    stage.accept()
    stage.accept()
    future = stage.accept(activation_id=ID, is_journaled=True)
    assert stage.invoker.cancel("acme", ID)
    await stage.invoker.aclose()
    assert await outcome(stage, future) == CANCELLED
    assert not await stage.store.journal.pending()
