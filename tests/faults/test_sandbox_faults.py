"""Processes of the native driver are killed: the next sandbox starts, and nothing of the old ones stays."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sabayon.runtimes.manifest import find_interpreters
from sabayon.sandbox.base import Egress, SandboxDied, SandboxSpec, SandboxUnavailable
from sabayon.sandbox.native.egress import started_plumbing
from sabayon.sandbox.native.handles import Start, Started
from sabayon.sandbox.native.keeper import ANSWER_S, ZygoteKeeper
from sabayon.sandbox.native.plumbing import Plumbing
from sabayon.sandbox.native.user_plumbing import UserPlumbing
from tests.acceptance.running import await_value
from tests.conformance.sandbox_stage import PYTHON, Stage, held_processes, run_body, what_is_there

ECHO = "def main(args): return args"
STAY = "import time\ndef main(args):\n  while True: time.sleep(1)"
ROOT = Path(__file__).parents[2]
MODULE = "tests.conformance.sandbox_stage"
REQUEST = Start(uid=0, gid=0, tmp_bytes=1 << 20, address_space_bytes=0, processes=0)


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


@pytest.mark.skipif(os.geteuid() != 0, reason="without cgroups nothing kills it that early")
def test_a_sandbox_that_is_killed_before_it_is_one_is_refused_at_once_and_the_next_one_starts(
    killable: Killable,
) -> None:
    stage, _ = killable

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S / 2):
            with pytest.raises(SandboxUnavailable, match="killed before it ran"):
                await stage.driver.create(SandboxSpec(PYTHON, memory_mb=0))
        assert await stage.result(ECHO, {"again": 1}) == {"again": 1}

    stage.run(scenario())


def has_stopped(pid: int) -> bool:
    """Whether the process has taken notice of its SIGSTOP, before which it may still take a request."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Kept(NamedTuple):
    """A keeper, its zygote, and where sandboxes have their network namespaces from."""

    keeper: ZygoteKeeper
    zygote: int
    plumbing: Plumbing | UserPlumbing

    async def begin(self, joins: Sequence[int] = ()) -> Started:
        return await self.keeper.begin(REQUEST, list(joins), self.plumbing.prepare(Egress.NONE, 1)[0])


async def stop_and_see_it_replaced(kept: Kept, joins: list[int]) -> None:
    """Have the zygote asked, stopped when it has taken what it is to take, and see that the next start gets another."""
    handle = os.pidfd_open(kept.zygote)
    begun = asyncio.ensure_future(kept.begin(joins)) if joins else None
    if begun:
        await asyncio.to_thread(await_value, lambda: children_of(kept.zygote))
    os.kill(kept.zygote, signal.SIGSTOP)
    await_value(lambda: has_stopped(kept.zygote))
    with pytest.raises(SandboxUnavailable, match="answer"):
        await (begun or kept.begin())
    assert select.select([handle], [], [], 10)[0]
    os.close(handle)
    await end_one(await kept.begin())


async def end_one(started: Started) -> None:
    started.send_signal(signal.SIGKILL)
    await started.ended()
    for descriptor in (started.stdout, started.stderr):
        os.close(descriptor)
    started.frames.close()
    started.listener.close()


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@contextmanager
def endless_join() -> Iterator[int]:
    """What is joined as a cgroup is, and takes for ever."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(65536))
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)


@asynccontextmanager
async def one_keeper() -> AsyncIterator[Kept]:
    with started_plumbing(Egress.NONE) as plumbing:
        held_by_others = held_processes()
        interpreter = find_interpreters()[PYTHON]
        keeper = ZygoteKeeper(interpreter, user_namespace=plumbing.user_namespace, answer_s=0.5)
        await keeper.start()
        (zygote,) = held_processes() - held_by_others
        yield Kept(keeper, zygote, plumbing)
        await keeper.aclose()


def test_a_zygote_that_lives_and_takes_no_requests_is_replaced_by_the_next_start() -> None:
    async def scenario() -> None:
        async with one_keeper() as kept:
            await stop_and_see_it_replaced(kept, [])

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="without cgroups a start is not held up")
def test_a_zygote_that_stops_after_it_has_taken_a_request_is_replaced_by_the_next_start() -> None:
    async def scenario() -> None:
        with endless_join() as join:
            async with one_keeper() as kept:
                await stop_and_see_it_replaced(kept, [join])

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="without cgroups a start is not held up")
def test_a_start_that_takes_for_ever_is_no_reason_to_replace_a_zygote_that_lives() -> None:
    async def scenario() -> None:
        with endless_join() as join:
            async with one_keeper() as kept:
                with pytest.raises(SandboxUnavailable, match="no answer"):
                    await kept.begin([join])
                before = children_of(kept.zygote)
                await end_one(await kept.begin())
                assert len(before) == 1  # by the same zygote, in which the first one hangs still

    asyncio.run(scenario())


def test_the_start_of_a_zygote_that_nobody_waits_for_any_more_leaves_nothing() -> None:
    async def scenario(is_waited_for: bool) -> None:
        with started_plumbing(Egress.NONE) as plumbing:
            keeper = ZygoteKeeper(find_interpreters()[PYTHON], user_namespace=plumbing.user_namespace)
            starting = asyncio.create_task(keeper.start())
            await asyncio.sleep(0)
            if not is_waited_for:
                starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await keeper.aclose()
        assert starting.cancelled() is not is_waited_for

    asyncio.run(scenario(is_waited_for=True))
    before = what_is_there()
    asyncio.run(scenario(is_waited_for=False))
    assert what_is_there() == before


@contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """This process can open `count` more files and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
    fillers = []
    try:
        with suppress(OSError):
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(count):
            os.close(fillers.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_start_for_which_there_are_too_few_descriptors_is_refused_at_once_and_leaves_nothing(
    killable: Killable, count: int
) -> None:
    stage, _ = killable
    stage.run(stage.result(ECHO))
    before = what_is_there()

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S / 2):
            with free_descriptors(count), pytest.raises(SandboxUnavailable):
                await stage.driver.create(SandboxSpec(PYTHON, 128))
        assert await stage.result(ECHO, {"again": 1}) == {"again": 1}

    stage.run(scenario())
    assert what_is_there() == before


def test_the_file_mask_of_who_starts_the_platform_hides_nothing_from_actions() -> None:
    code = "import ssl, tempfile\ndef main(args): return {'hosts': open('/etc/hosts').read()}"
    command = [sys.executable, "-m", MODULE]
    done = subprocess.run(
        command, input=json.dumps([["python", code, {}]]), capture_output=True, text=True, cwd=ROOT, umask=0o077
    )
    assert "localhost" in json.loads(done.stdout)["results"][0]["hosts"], done.stderr


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
