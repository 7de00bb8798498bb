"""What the sandbox port promises, asked of the native driver."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxSpec, SandboxTimeout, SandboxUnavailable
from tests.conformance.sandbox_stage import (
    PYTHON,
    Stage,
    held_processes,
    init_body,
    is_running,
    own_cgroups,
    own_processes,
    run_body,
    what_is_there,
)

ECHO = "def main(args): return args"
SLEEP = "import time\ndef main(args):\n  while True: time.sleep(1)"


@pytest.mark.usefixtures("as_root")
def test_the_driver_tells_its_level_and_the_interpreters_it_starts(stage: Stage) -> None:
    assert stage.driver.level.partition(" (without ")[0] == "root"
    path, version = stage.driver.kinds[PYTHON].split()
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed == f"Python {version}\n"


def test_lines_written_before_the_answer_are_there_with_it_whoever_wrote_them(stage: Stage) -> None:
    code = """
import os, subprocess, sys
def main(args):
    print("a ☃")
    print("b", file=sys.stderr)
    os.write(1, b"raw \\xff")
    subprocess.run(["/bin/echo", "", "from a child"])
    return {}
"""

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            started = time.time_ns()
            await sandbox.run(run_body(), 5)
            logs = sandbox.take_logs()
            assert not logs.is_truncated
            found = {(line.stream, line.text) for line in logs.lines}
            assert found == {("stdout", "a ☃"), ("stderr", "b"), ("stdout", "raw \ufffd from a child")}
            assert all(started <= line.time_ns <= time.time_ns() for line in logs.lines)
            assert [line.time_ns for line in logs.lines] == sorted(line.time_ns for line in logs.lines)
            assert not sandbox.take_logs().lines

    stage.run(scenario())


def test_megabytes_of_arguments_arrive(stage: Stage) -> None:
    value = {"a": "é" * 2_000_000}
    assert stage.run(stage.result("def main(args): return {'n': len(args['a'])}", value)) == {"n": 2_000_000}


def test_a_suspended_sandbox_uses_no_cpu_and_goes_on_when_resumed(stage: Stage) -> None:
    code = """
import threading
count = 0
def work():
    global count
    while True: count += 1
threading.Thread(target=work, daemon=True).start()
def main(args): return {"count": count}
"""

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            await sandbox.run(run_body(), 5)
            await sandbox.suspend()
            await sandbox.suspend()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asked := asyncio.ensure_future(sandbox.run(run_body(), 20))), 0.3)
            await sandbox.resume()
            await sandbox.resume()
            assert (await asked).status == 200
            await sandbox.suspend()
        assert not own_cgroups()

    stage.run(scenario())


GARBAGE = ["b'x'", "b'\\xff' * 100", "b'\\x00\\x00\\x00\\x02\\x00\\xc8{}' * 2"]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("descriptors", ["[3]", "range(256)"])
def test_garbage_on_the_descriptors_it_has_ends_the_sandbox_only(stage: Stage, garbage: str, descriptors: str) -> None:
    code = f"""
import os
def main(args):
    for descriptor in {descriptors}:
        try: os.write(descriptor, {garbage})
        except OSError: pass
    return {{"real": 1}}
"""

    async def scenario() -> None:
        async with stage.action(ECHO) as other, stage.action(code) as sandbox:
            with pytest.raises((SandboxDied, SandboxTimeout)):
                for _ in range(3):
                    await sandbox.run(run_body(), 1)
            assert (await other.run(run_body({"a": 1}), 5)).body == b'{"a":1}'
            assert await stage.result(ECHO, {"new": 1}) == {"new": 1}

    stage.run(scenario())


@pytest.mark.parametrize(
    "misdeed",
    [
        "sys.stdout.close(); sys.stderr.close()",
        "os.close(1); os.close(2)",
        "sys.stdout = None; sys.stderr = None",
        "[os.close(fd) for fd in (0, 1, 2)]; open('/tmp/x', 'w')",
        "os.system('rm -rf /tmp/* /action/code/* /dev/shm/*')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "os.chdir('/'); os.environ.clear(); sys.path.clear()",
        "os.fork() or os._exit(0)",
        "subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True)",
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK); os.write(1, b'x' * 1000)",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 2)",
        "print('no newline', end='')",
        "atexit.register(print, 'late')",
    ],
)
def test_what_an_action_does_to_its_own_process_does_not_stop_its_answers(stage: Stage, misdeed: str) -> None:
    code = f"import atexit, fcntl, os, signal, subprocess, sys\ndef main(args):\n  {misdeed}\n  return {{'ok': 1}}"

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            assert (await sandbox.run(run_body(), 5)).body == b'{"ok":1}'
            sandbox.take_logs()

    stage.run(scenario())


def test_an_unknown_kind_is_refused(stage: Stage) -> None:
    with pytest.raises(SandboxUnavailable, match="cobol:85"):
        stage.run(stage.driver.create(SandboxSpec("cobol:85", 128)))


def test_an_init_that_never_ends_times_out(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            with pytest.raises(SandboxTimeout):
                await sandbox.init(init_body("while True: pass"), 0.2)

    stage.run(scenario())


def test_destroying_in_the_middle_of_a_run_raises_the_reason_for_whoever_waits_and_ever_after(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action(SLEEP) as sandbox:
            running = asyncio.ensure_future(sandbox.run(run_body(), 30))
            await asyncio.sleep(0)
            await asyncio.gather(sandbox.destroy("first reason"), sandbox.destroy("second reason"))
            with pytest.raises(SandboxDied, match="first reason"):
                await running
            with pytest.raises(SandboxDied, match="first reason"):
                await sandbox.run(run_body(), 1)

    stage.run(scenario())


@pytest.mark.parametrize("how", ["os._exit(1)", "os.abort()", "ctypes.string_at(0)", "os.close(3)"])
def test_the_death_of_the_process_is_noticed_at_once(stage: Stage, how: str) -> None:
    async def scenario() -> None:
        async with stage.action(f"import ctypes, os\ndef main(args):\n  {how}\n  return {{}}") as sandbox:
            began = time.monotonic()
            with pytest.raises(SandboxDied) as raised:
                await sandbox.run(run_body(), 20)
            assert not raised.value.is_out_of_memory
            assert time.monotonic() - began < 5

    stage.run(scenario())


def test_a_signal_from_outside_that_kills_the_process_is_noticed(stage: Stage) -> None:
    async def scenario() -> None:
        held = held_processes()
        async with stage.action(SLEEP) as sandbox:
            (pid,) = held_processes() - held
            running = asyncio.ensure_future(sandbox.run(run_body(), 20))
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(SandboxDied):
                await running

    stage.run(scenario())


def test_a_burst_of_sandboxes_starts_and_ends_and_leaves_nothing(stage: Stage) -> None:
    async def scenario() -> None:
        before = what_is_there()

        async def one(number: int) -> None:
            assert await stage.result(ECHO, {"n": number}) == {"n": number}

        await asyncio.gather(*(one(number) for number in range(60)))
        assert what_is_there() == before

    stage.run(scenario())


@pytest.mark.parametrize("pause_s", [0, 0.001, 0.003, 0.006, 0.01])
def test_a_creation_that_is_given_up_leaves_nothing(stage: Stage, pause_s: float) -> None:
    async def scenario() -> None:
        before = what_is_there()
        creating = asyncio.ensure_future(stage.driver.create(SandboxSpec(PYTHON, 128)))
        await asyncio.sleep(pause_s)
        creating.cancel()
        result = (await asyncio.gather(creating, return_exceptions=True))[0]
        if not isinstance(result, BaseException):
            await result.destroy("not needed")
        assert what_is_there() == before

    stage.run(scenario())


def test_closing_leaves_no_process_cgroup_mount_or_open_file() -> None:
    before = what_is_there()
    stage = Stage()
    stage.run(stage.driver.create(SandboxSpec(PYTHON, 128)))
    started = own_processes() - before.processes
    assert len(started) > len(stage.driver.kinds)
    stage.close()
    assert what_is_there() == before
    assert not list(filter(is_running, started))
    with pytest.raises(SandboxUnavailable):
        asyncio.run(stage.driver.create(SandboxSpec(PYTHON, 128)))
