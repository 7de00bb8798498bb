"""The invoker: containers are reused, replaced and given up, and every activation ends with a record."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from sabayon.entity.activation import Outcome
from sabayon.entity.limits import ActionLimits, NamespaceLimits
from sabayon.entity.parameters import parameter
from sabayon.invoker.container import START_TRIES
from sabayon.invoker.instructions import Cell
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.worker import TICK_S
from sabayon.sandbox.base import DependenciesUnusable, Egress, SandboxDied
from tests.unit.invoker_stage import MEMORY_MB, Stage, never, on_stage
from tests.unit.patient_loop import run_patiently
from tests.unit.scripted_sandbox import ScriptedSandbox

NO_RESOURCES = {"error": "Failed to provision resources to run the action."}


@on_stage
async def test_a_container_is_initialized_once_and_run_again(stage: Stage) -> None:
    for _ in range(3):
        assert await stage.result() == (Outcome.SUCCESS, {})
    (sandbox,) = stage.driver.made
    assert [len(sandbox.inits), len(sandbox.runs)] == [1, 3]
    assert sandbox.arguments() == {"n": 1}


@pytest.mark.parametrize(
    ("annotations", "egress"),
    [((), "internet"), ((parameter("egress", "none"),), "none"), ((parameter("egress", "all"),), "internet"),
     ((parameter("egress", None),), "none")],
    ids=["left to the platform", "narrower", "wider", "without meaning"],
)  # fmt: skip
def test_an_action_can_narrow_what_its_container_reaches_and_not_widen_it(annotations: Any, egress: str) -> None:
    @on_stage
    async def scenario(stage: Stage) -> None:
        stage.action = replace(stage.action, annotations=annotations)
        await stage.result()
        assert stage.driver.made[0].spec.egress == egress

    scenario()


def init_of(sandbox: ScriptedSandbox) -> Any:
    return msgspec.json.decode(sandbox.inits[0])["value"]


@on_stage
async def test_text_goes_by_init(stage: Stage) -> None:
    await stage.result()
    (sandbox,) = stage.driver.made
    assert sandbox.offered == []
    assert init_of(sandbox)["code"] == "code"


@on_stage
async def test_an_archive_that_the_driver_does_not_put_in_place_goes_by_init_and_is_read_once(stage: Stage) -> None:
    stage.action = replace(stage.action, exec=replace(stage.action.exec, binary=True))
    await stage.result()
    (sandbox,) = stage.driver.made
    assert sandbox.offered == [f"acme/a@{stage.revision}"]
    assert (init_of(sandbox)["code"], init_of(sandbox)["binary"]) == ("code", True)
    assert stage.artifacts.reads == 1


@on_stage
async def test_an_archive_that_the_driver_has_in_place_is_not_read(stage: Stage) -> None:
    stage.action = replace(stage.action, exec=replace(stage.action.exec, binary=True))
    stage.driver.ready.add(f"acme/a@{stage.revision}")
    await stage.result()
    (sandbox,) = stage.driver.made
    assert "code" not in init_of(sandbox)
    assert init_of(sandbox)["binary"]
    assert stage.artifacts.reads == 0


@on_stage
async def test_an_activation_whose_warm_container_has_gone_runs_in_another_one(stage: Stage) -> None:
    await stage.result()
    stage.driver.made[0].die()
    assert await stage.result() == (Outcome.SUCCESS, {})
    assert [len(sandbox.runs) for sandbox in stage.driver.made] == [1, 1]
    assert stage.invoker.stats().used_mb == 256


def test_a_container_that_dies_while_it_is_idle_is_cleared_away_and_a_stem_cell_replaced() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.invoker = stage.invoker_of(StemCells(Cell("nodejs:20", 128, Egress.INTERNET), 1))
        await stage.open()
        await stage.invoker.start()
        await stage.result()
        before = stage.invoker.stats().used_mb
        cell, container = sorted(stage.driver.made, key=lambda sandbox: sandbox.spec.kind)
        cell.die()
        container.die()
        await asyncio.sleep(2 * TICK_S)
        assert stage.invoker.stats().used_mb == before - 256
        assert [sandbox.spec.kind for sandbox in stage.driver.made if sandbox.is_alive] == ["nodejs:20"]
        await stage.invoker.aclose()

    run_patiently(scenario())


@pytest.mark.parametrize("warm", [1, 2], ids=["that is being paused", "that is to be paused next"])
def test_an_activation_runs_in_the_container_it_was_given_though_a_pause_fails(
    warm: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.invoker = stage.invoker_of(pause_grace_s=0)
        stage.action = replace(stage.action, limits=ActionLimits(memory=128))
        await stage.open()
        await asyncio.gather(*(stage.accept() for _ in range(warm)))
        placed: list[asyncio.Future[Any]] = []

        def fail(sandbox: ScriptedSandbox) -> None:
            if not placed:
                placed.append(stage.accept())
            raise SandboxDied("it cannot be frozen")

        stage.driver.on_suspend = fail
        await stage.invoker.start()
        await asyncio.sleep(1.5 * TICK_S)
        assert (await asyncio.wait_for(placed[0], 5)).response.outcome is Outcome.SUCCESS
        assert [len(sandbox.runs) for sandbox in stage.driver.made] == [1] * (warm - 1) + [2]
        assert caplog.text.count("it cannot be frozen") == 1
        await stage.invoker.aclose()

    run_patiently(scenario())


@on_stage
async def test_an_activation_whose_container_dies_under_it_is_not_run_twice(stage: Stage) -> None:
    async def die(sandbox: ScriptedSandbox) -> bytes:
        sandbox.die()
        return b""

    stage.driver.on_run = die
    text = "The action did not produce a valid response and exited unexpectedly."
    assert await stage.result() == (Outcome.DEVELOPER_ERROR, {"error": text})
    assert len(stage.driver.made) == 1
    assert stage.invoker.stats().used_mb == 0


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_stem_cell_that_still_starts_makes_room_without_a_word(
    has_begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.driver.may_start.clear()
        stage.invoker = stage.invoker_of(StemCells(Cell("python:3.11", 256, stage.driver.egress), 1))
        await stage.invoker.start()
        if has_begun:
            await stage.driver.is_starting.wait()
        stage.action = replace(stage.action, limits=ActionLimits(memory=MEMORY_MB))
        future = stage.accept()
        stage.driver.may_start.set()
        assert (await future).response.outcome is Outcome.SUCCESS
        assert [sandbox.spec.memory_mb for sandbox in stage.driver.made if sandbox.is_alive] == [MEMORY_MB]

    test()
    assert caplog.messages == []


def test_a_stem_cell_that_still_starts_at_the_end_is_ended_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.driver.may_start.clear()
        stage.invoker = stage.invoker_of(StemCells(Cell("python:3.11", 256, stage.driver.egress), 1))
        await stage.invoker.start()
        await stage.driver.is_starting.wait()
        closing = asyncio.create_task(stage.invoker.aclose())
        await asyncio.sleep(0)  # it has begun
        stage.driver.breaks_starting = True
        stage.driver.may_start.set()
        await closing

    test()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("failures", "expected"),
    [(START_TRIES - 1, (Outcome.SUCCESS, {})), (START_TRIES, (Outcome.WHISK_ERROR, NO_RESOURCES))],
)
def test_a_start_that_fails_is_tried_again_a_few_times(failures: int, expected: Any) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.driver.failures = failures
        assert await stage.result() == expected
        assert await stage.result() == (Outcome.SUCCESS, {})

    test()


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (NamespaceLimits(max_action_memory=200), "memory size 256 MB exceeds allowed threshold of 200 MB"),
        (
            NamespaceLimits(max_action_timeout=500),
            "duration 60000 milliseconds exceeds allowed threshold of 500 milliseconds",
        ),
        (NamespaceLimits(max_action_logs=5), "log size 10 MB exceeds allowed threshold of 5 MB"),
    ],
)
def test_an_action_beyond_the_limits_of_its_caller_is_not_run(own: NamespaceLimits, text: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        identity = replace(stage.acme, limits=own)
        assert await stage.result(identity=identity) == (Outcome.APPLICATION_ERROR, {"error": text})
        assert not stage.driver.made

    test()


@pytest.mark.parametrize("binary", [False, True])
def test_code_that_was_changed_or_removed_since_is_not_run(binary: bool) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.action = replace(stage.action, exec=replace(stage.action.exec, binary=binary))
        old, gone = stage.revision - 1, replace(stage.action, name="gone")
        stage.driver.ready = {f"acme/a@{old}", f"acme/gone@{stage.revision}"}
        text = "Action version is not compatible and cannot be invoked."
        assert await stage.result(revision=old) == (Outcome.WHISK_ERROR, {"error": text})
        text = "Action could not be found or may have been deleted."
        assert await stage.result(action=gone) == (Outcome.APPLICATION_ERROR, {"error": text})

    test()


@on_stage
async def test_code_that_cannot_be_read_now_is_the_fault_of_the_platform(stage: Stage) -> None:
    stage.artifacts.is_available = False
    assert await stage.result() == (Outcome.WHISK_ERROR, {"error": "Action could not be fetched."})
    stage.artifacts.is_available = True
    assert await stage.result() == (Outcome.SUCCESS, {})


@on_stage
async def test_an_accepted_activation_has_its_record_as_soon_as_the_store_works_again(stage: Stage) -> None:
    stage.activations.failures = 2
    assert await stage.result(is_journaled=True) == (Outcome.SUCCESS, {})


def test_of_a_time_in_which_records_wait_the_beginning_and_the_end_are_told(caplog: pytest.LogCaptureFixture) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.activations.failures = 4
        await asyncio.gather(*(stage.result(is_journaled=True) for _ in range(2)))

    test()
    assert caplog.messages == [
        "1 record has to wait, as will those after it: the disk is full",
        "records are stored again; 2 had to wait",
    ]


@pytest.mark.parametrize(
    ("number", "left"),
    [
        (1, "1 activation has no record yet; it runs again at the next start"),
        (2, "2 activations have no record yet; they run again at the next start"),
    ],
)
def test_the_end_does_not_wait_for_records_that_no_store_takes(
    number: int, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.activations.failures = 1000
        futures = [stage.accept(is_journaled=True) for _ in range(number)]
        for _ in futures:
            await stage.activations.refused.get()
        stage.invoker.give_up_records()
        await asyncio.wait_for(stage.invoker.drain(3600), 5)
        await stage.invoker.aclose()
        for future in futures:
            assert (await future).response.outcome is Outcome.SUCCESS

    test()
    assert caplog.messages == ["1 record has to wait, as will those after it: the disk is full", left]


def test_a_record_that_is_in_no_journal_is_told_to_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        stage.activations.failures = 1
        activation = await stage.accept()
        text = f"the record of activation {activation.activation_id} is lost: the disk is full"
        assert caplog.messages == [text]

    test()


@on_stage
async def test_who_waits_for_an_activation_has_its_result_even_if_it_cannot_be_stored(stage: Stage) -> None:
    stage.activations.failures = 1
    assert (await stage.accept()).response.outcome is Outcome.SUCCESS


@on_stage
async def test_what_runs_and_what_waits_at_the_end_is_interrupted_and_has_a_record(stage: Stage) -> None:
    stage.driver.on_run = never
    futures = [stage.accept() for _ in range(4)]
    await stage.driver.is_asked.wait()
    await stage.invoker.aclose()
    for future in futures:
        activation = await asyncio.wait_for(future, 5)
        assert activation.response.outcome is Outcome.WHISK_ERROR
        assert await stage.activations.read("acme", activation.activation_id) is not None
    assert len(stage.driver.made) == 1


@pytest.mark.parametrize("moment", ["on_init", "on_run"])
def test_an_activation_that_the_end_interrupts_says_so_and_does_not_blame_its_action(moment: str) -> None:
    @on_stage
    async def test(stage: Stage) -> None:
        setattr(stage.driver, moment, never)
        future = stage.accept()
        await stage.driver.is_asked.wait()
        await stage.invoker.aclose()
        assert (await future).response.outcome is Outcome.WHISK_ERROR

    test()


@on_stage
async def test_what_is_journaled_and_has_not_started_at_the_end_is_left_for_the_next_start(stage: Stage) -> None:
    stage.driver.on_run = never
    annotations = (parameter("delivery", "at-most-once"),)
    once = replace(stage.action, annotations=annotations, exec=replace(stage.action.exec, code=UNSET))
    running, waiting = (stage.accept(is_journaled=True, action=once) for _ in range(2))
    await stage.driver.is_asked.wait()
    await stage.invoker.aclose()
    assert await stage.activations.read("acme", (await running).activation_id) is not None
    assert await stage.activations.read("acme", (await waiting).activation_id) is None


@on_stage
async def test_what_is_journaled_and_runs_at_the_end_is_tried_again_at_the_next_start(stage: Stage) -> None:
    stage.driver.on_run = never
    running = stage.accept(is_journaled=True)
    await stage.driver.is_asked.wait()
    await stage.invoker.aclose()
    assert await stage.activations.read("acme", (await running).activation_id) is None
    [(entry, is_held)] = stage.store.journal.rows.values()
    assert (entry.activation_id, entry.attempts, is_held) == ((await running).activation_id, 1, False)


@on_stage
async def test_what_is_journaled_and_whose_container_was_being_made_at_the_end_is_left_too(stage: Stage) -> None:
    stage.driver.may_start.clear()
    future = stage.accept(is_journaled=True)
    await stage.driver.is_starting.wait()
    closing = asyncio.create_task(stage.invoker.aclose())
    await asyncio.sleep(0)  # it has begun
    stage.driver.may_start.set()
    await closing
    assert await stage.activations.read("acme", (await future).activation_id) is None
    assert not stage.driver.made[0].is_alive


@on_stage
async def test_nothing_runs_after_the_end(stage: Stage) -> None:
    await stage.invoker.aclose()
    outcome, _ = await stage.result()
    assert outcome is Outcome.WHISK_ERROR
    assert not stage.driver.made


@on_stage
async def test_an_action_that_names_a_dependency_set_runs_in_a_container_of_that_set(stage: Stage) -> None:
    stage.action = replace(stage.action, annotations=(parameter("dependencies", "science"),))
    await stage.result()
    await stage.result()
    (sandbox,) = stage.driver.made
    assert (sandbox.spec.kind, sandbox.spec.dependencies, len(sandbox.runs)) == ("python:3.11", "science", 2)


@on_stage
async def test_an_annotation_of_that_name_that_is_no_text_names_no_set(stage: Stage) -> None:
    stage.action = replace(stage.action, annotations=(parameter("dependencies", ["numpy", "pandas"]),))
    await stage.result()
    assert stage.driver.made[0].spec.dependencies == ""


@on_stage
async def test_an_action_whose_dependency_set_cannot_be_used_fails_with_the_reason_at_once(stage: Stage) -> None:
    stage.driver.refusal = DependenciesUnusable("There is no dependency set 'science'.")
    assert await stage.result() == (Outcome.DEVELOPER_ERROR, {"error": "There is no dependency set 'science'."})
    assert stage.driver.tries == 1
