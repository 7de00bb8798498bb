"""Processes of the native driver are killed: the next sandbox starts, and nothing of the old ones stays."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxUnavailable
from tests.conformance.sandbox_stage import Stage, held_processes, run_body, what_is_there

ECHO = "def main(args): return args"
STAY = "import time\ndef main(args):\n  while True: time.sleep(1)"
ROOT = Path(__file__).parents[2]
MODULE = "tests.conformance.sandbox_stage"


class Killable(NamedTuple):
    """A driver and the zygotes it started with."""

    stage: Stage
    zygotes: set[int]


@pytest.fixture
def killable() -> Iterator[Killable]:
    held_by_others = held_processes()
    stage = Stage()
    yield Killable(stage, held_processes() - held_by_others)
    stage.close()


def end(pids: set[int]) -> None:
    """Kill processes, and wait until they are gone."""
    handles = [os.pidfd_open(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, 9)
    for handle in handles:
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)


def test_when_the_zygotes_are_killed_their_sandboxes_end_and_the_next_one_starts(killable: Killable) -> None:
    stage, zygotes = killable

    async def scenario() -> None:
        async with stage.action(STAY) as sandbox:
            running = asyncio.ensure_future(sandbox.run(run_body(), 60))
            end(zygotes)
            with pytest.raises(SandboxDied):
                await running
        assert await stage.result(ECHO, {"again": 1}) == {"again": 1}

    stage.run(scenario())


def test_a_zygote_whose_death_was_not_noticed_yet_is_replaced_by_the_next_start(killable: Killable) -> None:
    stage, zygotes = killable

    end(zygotes)
    assert stage.run(stage.result(ECHO, {"again": 1})) == {"again": 1}


def test_starts_under_way_when_the_zygote_is_killed_leave_nothing(
    killable: Killable,
) -> None:
    stage, zygotes = killable

    async def scenario() -> None:
        others = held_processes() - zygotes
        starts = [asyncio.ensure_future(stage.result(ECHO, {"n": n})) for n in range(8)]
        await asyncio.sleep(0)
        end(zygotes)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        assert [o for o in outcomes if not isinstance(o, dict | SandboxUnavailable | SandboxDied)] == []
        assert await stage.result(ECHO, {"again": 1}) == {"again": 1}
        before = what_is_there()
        assert (before.cgroups, len(before.processes - others)) == (set(), 1)  # the new zygote
        await asyncio.gather(*(stage.result(ECHO) for _ in range(8)))
        assert what_is_there() == before

    stage.run(scenario())


@contextmanager
def holding_driver() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A driver in a process of its own with one sandbox in the middle of a run, and what it holds."""
    command = [sys.executable, "-m", MODULE, "hold"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_when_the_driver_is_killed_the_kernel_ends_its_processes_and_the_next_driver_sweeps_the_rest() -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with holding_driver() as (process, held):
        handles = [os.pidfd_open(pid) for pid in held["processes"]]
        assert len(handles) > 2
        assert bool(held["cgroups"]) is (os.geteuid() == 0)
        process.kill()
    for handle in handles:
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)
    stage = Stage()
    try:
        assert [path for path in held["cgroups"] if Path(path).parent.exists()] == []
        assert stage.run(stage.result(ECHO, {"again": 1})) == {"again": 1}
    finally:
        stage.close()
    assert Path("/proc/self/mounts").read_text() == mounts


def test_the_sandboxes_of_a_driver_that_lives_are_not_swept_by_another() -> None:
    with holding_driver() as (process, held):
        Stage().close()
        assert [path for path in held["cgroups"] if not Path(path).exists()] == []
        assert process.poll() is None
    Stage().close()
