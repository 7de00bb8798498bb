"""The limits of a sandbox: output, result, time, memory, processes, files."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxSpec, SandboxTimeout, SandboxUnavailable
from tests.conformance.sandbox_stage import (
    LOG_LIMIT_BYTES,
    PYTHON,
    RESULT_LIMIT_BYTES,
    Stage,
    held_processes,
    own_processes,
    run_body,
    texts,
    what_is_there,
)

ECHO = "def main(args): return args"
MB = 1 << 20


def test_output_past_the_limit_is_dropped_and_a_new_limit_starts_afresh(stage: Stage) -> None:
    code = "def main(args):\n  for i in range(args['n']): print(f'{i:09}')\n  return {}"

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            sandbox.limit_logs(1000)
            await sandbox.run(run_body({"n": 50_000}), 10)
            logs = sandbox.take_logs()
            assert logs.is_truncated
            assert [line.text for line in logs.lines] == [f"{i:09}" for i in range(len(logs.lines))]
            assert 5 <= len(logs.lines) <= 50
            sandbox.limit_logs(LOG_LIMIT_BYTES)
            await sandbox.run(run_body({"n": 3}), 5)
            again = sandbox.take_logs()
            assert (len(again.lines), again.is_truncated) == (3, False)

    stage.run(scenario())


def test_gigabytes_of_output_neither_block_the_action_nor_cost_the_platform_memory(stage: Stage) -> None:
    code = "import os\nchunk = bytes(1 << 20)\ndef main(args):\n  for _ in range(1024): os.write(1, chunk)\n  return {}"

    async def scenario() -> None:
        async with stage.action(code) as noisy, stage.action(ECHO) as other:
            before = resident_bytes()
            running = asyncio.ensure_future(noisy.run(run_body(), 60))
            waits = []
            while not running.done():
                began = time.perf_counter()
                await other.run(run_body(), 5)
                waits.append(time.perf_counter() - began)
            assert (await running).status == 200
            assert noisy.take_logs().is_truncated
            assert resident_bytes() - before < 64 * MB
            assert sorted(waits)[len(waits) // 2] < 0.1

    stage.run(scenario())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_line_without_end_is_cut_into_pieces(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("def main(args): print('x' * 300_000); return {}") as sandbox:
            await sandbox.run(run_body(), 5)
            lines = texts(sandbox)
            assert "".join(lines) == "x" * 300_000
            assert max(map(len, lines)) <= 65536

    stage.run(scenario())


def test_a_result_at_the_limit_arrives_whole_and_a_longer_one_is_cut(stage: Stage) -> None:
    code = "def main(args): return {'a': 'x' * args['n']}"
    envelope = len('{"a":""}')

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            whole = await sandbox.run(run_body({"n": RESULT_LIMIT_BYTES - envelope}), 10)
            assert (len(whole.body), whole.is_truncated) == (RESULT_LIMIT_BYTES, False)
            cut = await sandbox.run(run_body({"n": 20 * MB}), 10)
            assert (cut.status, cut.is_truncated) == (200, True)
            assert cut.length == 20 * MB + envelope
            assert cut.body == b'{"a":"' + b"x" * (RESULT_LIMIT_BYTES - 6)
            assert (await sandbox.run(run_body({"n": 1}), 10)).body == b'{"a":"x"}'

    stage.run(scenario())


@pytest.mark.usefixtures("as_root")
def test_a_run_that_takes_too_long_raises_and_the_sandbox_ends_with_all_its_processes(stage: Stage) -> None:
    code = """
import subprocess, time
def main(args):
    for _ in range(5): subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    while True: time.sleep(1)
"""

    async def scenario() -> None:
        before = what_is_there()
        async with stage.action(code) as sandbox:
            began = time.monotonic()
            with pytest.raises(SandboxTimeout):
                await sandbox.run(run_body(), 0.5)
            assert 0.5 <= time.monotonic() - began < 3
            assert len(own_processes() - before.processes) == 6
            await sandbox.destroy("it took too long")
            with pytest.raises((SandboxDied, SandboxTimeout)):
                await sandbox.run(run_body(), 1)
        assert what_is_there() == before

    stage.run(scenario())


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_too_much_memory_ends_the_sandbox_and_says_so(
    stage: Stage, language: str, request: pytest.FixtureRequest
) -> None:
    code = {
        "python": "def main(args):\n  held = []\n  while True: held.append(b'x' * (1 << 20))",
        "nodejs": "function main() { const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1)) }",
    }[language]
    kind = PYTHON if language == "python" else request.getfixturevalue("nodejs")

    async def scenario() -> None:
        async with stage.action(code, kind=kind) as sandbox:
            with pytest.raises(SandboxDied) as raised:
                await sandbox.run(run_body(), 30)
            assert raised.value.is_out_of_memory

    stage.run(scenario())


def test_memory_below_the_limit_can_be_used(stage: Stage) -> None:
    code = "def main(args): return {'n': len(b'x' * (80 << 20))}"
    assert stage.run(stage.result(code)) == {"n": 80 * MB}


@pytest.mark.usefixtures("as_root")
def test_memory_of_files_counts_too(stage: Stage) -> None:
    code = """
def main(args):
    for folder in ("/tmp", "/action/code", "/dev/shm"):
        with open(folder + "/x", "wb", buffering=0) as file:
            for _ in range(60 if folder != "/dev/shm" else 12): file.write(bytes(1 << 20))
    return {}
"""

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            with pytest.raises(SandboxDied) as raised:
                await sandbox.run(run_body(), 30)
            assert raised.value.is_out_of_memory

    stage.run(scenario())


@pytest.mark.usefixtures("as_root")
def test_memory_of_child_processes_counts_too(stage: Stage) -> None:
    """The kernel ends a child, or everything, whichever its version of cgroups does."""
    code = """
import os, time
def main(args):
    for _ in range(3):
        if not os.fork():
            held = b"x" * (60 << 20)
            while True: time.sleep(1)
    return {"signal": os.WTERMSIG(os.wait()[1])}
"""

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            try:
                reply = await sandbox.run(run_body(), 30)
            except SandboxDied as error:
                assert error.is_out_of_memory
            else:
                assert reply.body == b'{"signal":9}'

    stage.run(scenario())


@pytest.mark.usefixtures("as_root")
def test_a_fork_bomb_meets_its_limit_and_others_do_not_notice(stage: Stage) -> None:
    code = """
import os, time
def main(args):
    count = 0
    while True:
        try:
            if not os.fork():
                while True: time.sleep(1)
        except OSError as error:
            return {"count": count, "errno": error.errno}
        count += 1
"""

    async def scenario() -> None:
        before = what_is_there()
        async with stage.action(ECHO) as other, stage.action(code) as sandbox:
            found = json.loads((await sandbox.run(run_body(), 20)).body)
            assert 10 < found["count"] < 1000
            assert found["errno"] == errno.EAGAIN
            assert (await other.run(run_body({"a": 1}), 5)).body == b'{"a":1}'
            assert await stage.result(ECHO, {"new": 1}) == {"new": 1}
        assert what_is_there() == before

    stage.run(scenario())


@pytest.mark.parametrize("folder", ["/tmp", "/action/code", "/dev/shm"])
def test_a_folder_in_memory_takes_no_more_than_its_size(stage: Stage, folder: str) -> None:
    code = """
def main(args):
    with open(args["folder"] + "/x", "wb", buffering=0) as file:
        try:
            for count in range(1000): file.write(bytes(1 << 20))
        except OSError as error:
            return {"mb": count, "errno": error.errno}
"""
    found = stage.run(stage.result(code, {"folder": folder}))
    assert found["errno"] == errno.ENOSPC
    assert 16 <= found["mb"] <= 64


@pytest.mark.parametrize("folder", ["/tmp", "/action/code", "/dev/shm"])
def test_a_folder_in_memory_takes_no_endless_number_of_files(stage: Stage, folder: str) -> None:
    code = """
def main(args):
    try:
        for count in range(200_000): open(f"{args['folder']}/{count}", "x").close()
    except OSError as error:
        return {"count": count, "errno": error.errno}
"""
    found = stage.run(stage.result(code, {"folder": folder}, memory_mb=512))
    assert found["errno"] == errno.ENOSPC
    assert found["count"] < 70_000


@pytest.mark.usefixtures("as_root")
def test_an_idle_container_owns_little_memory(stage: Stage) -> None:
    """All but what it shares with the zygote and the others that came out of it: it is this that a thousand need."""

    async def scenario() -> list[float]:
        async with AsyncExitStack() as stack:
            before = held_processes()
            for _ in range(8):
                sandbox = await stack.enter_async_context(stage.action("def main(args): return args"))
                await sandbox.run(run_body({"n": 1}), 10)
            owned = [_owned_mb(pid) for pid in held_processes() - before]
            return sorted(owned)

    owned_mb = stage.run(scenario())
    assert len(owned_mb) == 8
    assert owned_mb[4] < 2.5


def _owned_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in rollup if line.startswith("Private_Dirty:"))


def test_open_files_are_bounded(stage: Stage) -> None:
    code = """
def main(args):
    held = []
    try:
        while True: held.append(open("/dev/null"))
    except OSError as error:
        return {"count": len(held), "errno": error.errno}
"""
    found = stage.run(stage.result(code))
    assert found["errno"] == errno.EMFILE
    assert 500 < found["count"] < 1024


@pytest.mark.usefixtures("as_root")
def test_priorities_that_the_platform_may_give_itself_are_not_inherited() -> None:
    code = """
import os
def attempt(call, *args):
    try: call(*args)
    except OSError as error: return error.errno
def main(args):
    return {
        "sooner": attempt(os.setpriority, os.PRIO_PROCESS, 0, -1),
        "first": attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
    }
"""
    kinds = (resource.RLIMIT_NICE, 40), (resource.RLIMIT_RTPRIO, 99)
    before = [resource.getrlimit(kind) for kind, _ in kinds]
    try:
        for kind, most in kinds:
            resource.setrlimit(kind, (most, most))
    except ValueError:
        pytest.skip("this process may not raise its limits: CAP_SYS_RESOURCE is missing")
    try:
        stage = Stage()
        found = stage.run(stage.result(code))
        stage.close()
    finally:
        for (kind, _), bounds in zip(kinds, before, strict=True):
            resource.setrlimit(kind, bounds)
    assert found == {"sooner": errno.EACCES, "first": errno.EPERM}


@pytest.mark.usefixtures("as_root")
def test_a_sandbox_without_room_for_its_launcher_is_reported_and_leaves_nothing(stage: Stage, nodejs: str) -> None:
    async def scenario() -> None:
        before = what_is_there()
        with pytest.raises(SandboxUnavailable, match="launcher did not start"):
            await stage.driver.create(SandboxSpec(nodejs, 6))
        assert what_is_there() == before

    stage.run(scenario())
