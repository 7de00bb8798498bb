"""The native driver as an ordinary user: what it can do it does, and what it cannot it says."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from sabayon.sandbox.native.driver import PER_NAMESPACE_COUNTS, PROCESSES
from sabayon.sandbox.native.linux import kernel_version

ROOT = Path(__file__).parents[2]
USER = 61_000 + os.getpid() % 1000
PYTHON_PATH = ":".join([str(ROOT), str(ROOT / "src"), sysconfig.get_path("purelib")])
MODULE = "tests.conformance.sandbox_stage"


def interpreter() -> str | None:
    """A Python that every user may run, and that finds the platform and what it needs."""
    for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            if as_ordinary_user([path, "-c", f"import {MODULE}"]).returncode == 0:
                return path
        except OSError:
            continue
    return None


def as_ordinary_user(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """What `command` does with `text` as its input."""
    with started_as_ordinary_user(command) as process:
        stdout, stderr = process.communicate(text, timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def started_as_ordinary_user(command: list[str]) -> subprocess.Popen[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": PYTHON_PATH}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, text=True, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=environment,
        user=USER, group=USER, extra_groups=[],
    )  # fmt: skip


@pytest.fixture(scope="module")
def python() -> str:
    if os.geteuid():
        pytest.skip("only root can become an ordinary user and come back")
    path = interpreter()
    if path is None:
        pytest.skip("an ordinary user can run no Python here that finds the platform")
    return path


def answers(python: str, cases: list[tuple[str, str, Any]]) -> list[Any]:
    """What each case answers. Skips where the kernel grants ordinary users nothing, and the driver has said so well."""
    done = as_ordinary_user([python, "-m", MODULE], json.dumps(cases))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if "refused" in found:
        assert "user namespaces" in found["refused"]
        assert "user.max_user_namespaces" in found["refused"]
        pytest.skip(f"this kernel does not let ordinary users make user namespaces: {found['refused']}")
    level = found["level"]
    assert level.startswith("unprivileged user namespaces (without ")
    assert "memory and process limits by cgroups" in level
    assert "a user of its own for each sandbox" in level
    return list(found["results"])


def processes_of(user: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                is_zombie = "\nState:\tZ" in (entry / "status").read_text()
                if entry.stat().st_uid == user and not is_zombie:
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_both_languages_run_and_nothing_is_left(python: str) -> None:
    popen = "import subprocess\ndef main(args): subprocess.Popen(['/bin/sleep', '1000']); return {'n': args['n']}"
    javascript = "const main = async (args) => ({n: args.n})"
    first, second = answers(python, [("python", popen, {"n": 1}), ("nodejs", javascript, {"n": 2})])
    assert first == {"n": 1}
    assert second in ({"n": 2}, None)  # without Node.js on this machine there is no answer
    assert processes_of(USER) == []


def test_an_action_sees_neither_the_host_nor_has_it_privileges(python: str) -> None:
    code = """
import ctypes, os, socket
def main(args):
    libc = ctypes.CDLL(None)
    with open("/proc/self/status") as file:
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    with open("/proc/self/mounts") as file: lines = [line.split() for line in file]
    with socket.socket() as client:
        reached = client.connect_ex(("192.0.2.1", 80)) == 0
    return {
        "caps": [status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
        "secured": [status["NoNewPrivs"], status["Seccomp"]],
        "pids": [name for name in os.listdir("/proc") if name.isdigit()],
        "seen": [path for path in args["hidden"] if os.path.exists(path)],
        "writable": [point for _, point, _, options, *_ in lines if "rw" in options.split(",")],
        "calls": [libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.ptrace(0, 0, 0, 0)],
        "reached": reached,
    }
"""
    (found,) = answers(
        python, [("python", code, {"hidden": ["/home", "/var", "/etc/shadow", "/sys/kernel", str(ROOT)]})]
    )
    assert {int(value, 16) for value in found["caps"]} == {0}
    assert (found["secured"], found["pids"], found["seen"]) == (["1", "2"], ["1"], [])
    writable = {path for path in found["writable"] if not path.startswith(("/dev/", "/proc/"))}
    assert writable == {"/proc", "/tmp", "/action/code"}
    assert (found["calls"], found["reached"]) == ([-1, -1, -1], False)


def test_memory_of_a_python_action_is_bounded_all_the_same(python: str) -> None:
    code = """
def main(args):
    try:
        held = b"x" * (300 << 20)
    except MemoryError:
        return {"refused": True}
"""
    assert answers(python, [("python", code, {})]) == [{"refused": True}]


def test_a_fork_bomb_is_bounded_and_others_still_run(python: str) -> None:
    bomb = """
import os, time
def main(args):
    count = 0
    try:
        while count < 1000:
            if not os.fork():
                time.sleep(1000)
            count += 1
    except BlockingIOError:
        return {"count": count}
"""
    quiet = "import subprocess\ndef main(args): return {'out': subprocess.getoutput('echo hi')}"
    if kernel_version() < PER_NAMESPACE_COUNTS:
        pytest.skip("this kernel counts all that a user runs together")
    first, second = answers(python, [("python", bomb, {}), ("python", quiet, {})])
    assert 10 < first["count"] < PROCESSES
    assert second == {"out": "hi"}
    assert processes_of(USER) == []


def test_when_the_driver_is_killed_nothing_is_left(python: str) -> None:
    answers(python, [])  # skips where there is nothing to kill
    with started_as_ordinary_user([python, "-m", MODULE, "hold"]) as process:
        assert process.stdout is not None
        held = json.loads(process.stdout.readline())["processes"]
        handles = [os.pidfd_open(pid) for pid in held]
        assert len(handles) > 1
        process.kill()
    for handle in handles:
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)
    assert processes_of(USER) == []


def test_where_user_namespaces_are_not_granted_the_driver_says_what_to_do(python: str) -> None:
    limit = "echo 1 > /proc/sys/user/max_user_namespaces"  # holds in the outer user namespace; the inner one uses it up
    script = f"{limit} && exec unshare --user --map-user=1000 {python} -m {MODULE}"
    done = as_ordinary_user(["unshare", "--user", "--map-root-user", "sh", "-c", script], "[]")
    if done.returncode:
        pytest.skip(f"no user namespace can be made here: {done.stderr}")
    assert "user.max_user_namespaces > 0" in json.loads(done.stdout)["refused"]
    assert processes_of(USER) == []
