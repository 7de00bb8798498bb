"""The invoker as the bus sees it: what it gives back, what it shows, and how it is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from sabayon.entity.activation import Outcome
from sabayon.invoker.trial import try_out
from sabayon.sandbox.base import SandboxUnavailable
from tests.unit.invoker_stage import Stage, on_stage
from tests.unit.scripted_sandbox import ScriptedDriver, ScriptedSandbox

IDS = ["a" * 32, "b" * 32, "c" * 32, "d" * 32]


def held_until(event: asyncio.Event) -> Callable[[ScriptedSandbox], Awaitable[bytes]]:
    async def run(sandbox: ScriptedSandbox) -> bytes:
        await event.wait()
        return b"{}"

    return run


@on_stage
async def test_what_waits_for_a_container_is_given_back_without_a_record_and_what_runs_is_not(stage: Stage) -> None:
    door = asyncio.Event()
    stage.driver.on_run = held_until(door)
    runs = [stage.accept(activation_id=id) for id in IDS]  # one runs: another would be over the namespace's share
    await stage.driver.is_asked.wait()
    assert [stage.invoker.release(id) for id in IDS] == [False, True, True, True]
    door.set()
    assert (await runs[0]).response.outcome is Outcome.SUCCESS
    assert [run.cancelled() for run in runs] == [False, True, True, True]
    assert [await stage.activations.read("acme", id) is not None for id in IDS] == [True, False, False, False]
    assert stage.invoker.stats().waiting == 0


@on_stage
async def test_what_was_given_back_or_never_came_cannot_be_given_back(stage: Stage) -> None:
    door = asyncio.Event()
    stage.driver.on_run = held_until(door)
    runs = [stage.accept(activation_id=id) for id in IDS[:2]]
    assert stage.invoker.release(IDS[1])
    assert not stage.invoker.release(IDS[1])
    assert not stage.invoker.release("e" * 32)
    door.set()
    await runs[0]
    assert not stage.invoker.release(IDS[0])
    await stage.invoker.drain(5)


@on_stage
async def test_an_invoker_shows_the_containers_of_each_action(stage: Stage) -> None:
    assert stage.invoker.containers() == {}
    await stage.result()
    [(key, ids)] = stage.invoker.containers().items()
    assert key == ("acme", "acme/a", stage.revision)
    await stage.result()
    assert stage.invoker.containers() == {key: ids}
    stage.driver.made[0].die()
    await stage.result()  # finds out, and takes a new one
    assert stage.invoker.containers().keys() == {key}
    assert stage.invoker.containers() != {key: ids}
    assert (stage.invoker.kinds, stage.invoker.memory_mb) == ({"python:3.11", "nodejs:20"}, 512)


async def echo(sandbox: ScriptedSandbox) -> bytes:
    return msgspec.json.encode(sandbox.arguments())


async def nonsense(_: ScriptedSandbox) -> bytes:
    return b"no JSON"


async def death(sandbox: ScriptedSandbox) -> bytes:
    sandbox.die()
    await asyncio.Event().wait()
    return b""


def test_a_test_is_passed_by_who_runs_what_it_is_given_and_leaves_nothing() -> None:
    async def play() -> None:
        driver = ScriptedDriver()
        driver.on_run = echo
        assert await try_out(driver)
        [sandbox] = driver.made
        assert (sandbox.spec.kind, sandbox.is_alive) == ("python:3.11", False)

    asyncio.run(play())


@pytest.mark.parametrize("script", [nonsense, death])
def test_a_test_is_failed_by_who_does_not(script: Callable[[ScriptedSandbox], Awaitable[bytes]]) -> None:
    async def play() -> None:
        driver = ScriptedDriver()
        driver.on_run = script
        assert not await try_out(driver)
        assert not [sandbox for sandbox in driver.made if sandbox.is_alive]

    asyncio.run(play())


def test_a_test_is_failed_by_who_cannot_make_a_sandbox_or_run_any_kind() -> None:
    async def play() -> None:
        driver = ScriptedDriver()
        driver.refusal = SandboxUnavailable("no memory")
        assert not await try_out(driver)
        driver.kinds = {}
        assert not await try_out(driver)

    asyncio.run(play())
