"""Attempts to take more than a sandbox's share of the machine, in every currency that the machine has."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sabayon.sandbox.base import SandboxDied
from tests.attacks.frame import (
    NOT_PERMITTED,
    PRIVATE,
    Attack,
    Outcome,
    cases,
    fails_with,
    gains_something,
    inside,
    is_out_of_memory,
    outside,
)
from tests.conformance.sandbox_stage import RESULT_LIMIT_BYTES, Stage, init_body, run_body, what_is_there

MB = 1 << 20

FORKS = """
def attack(args):
    reading, writing = os.pipe()
    children = []
    try:
        for _ in range(600):
            child = os.fork()
            if not child:
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
            children.append(child)
        return len(children)
    finally:
        os.close(writing)
        for child in children: os.waitpid(child, 0)
"""

THREADS = """
def attack(args):
    import threading
    gate = threading.Event()
    threads = []
    try:
        for _ in range(600):
            thread = threading.Thread(target=gate.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no more threads")
    finally:
        gate.set()
    return len(threads)
"""

FILES = """
def attack(args):
    return len([os.open("/dev/null", os.O_RDONLY) for _ in range(1100)])
"""
MORE_FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(7)[1],) * 2)"

RAISE = """
def attack(args):
    import resource
    try:
        resource.setrlimit(args["limit"], (args["to"], args["to"]))
    except ValueError:
        raise OSError(errno.EPERM, "not allowed")
    return resource.getrlimit(args["limit"])[0] == args["to"]
"""

LOCKED = """
def attack(args):
    import mmap
    page = mmap.mmap(-1, 1 << 24)
    return call("mlock", ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page))), 1 << 24) == 0
"""

HELD = """
def attack(args):
    return len([b"x" * (1 << 20) for _ in range(300)])
"""

NAMELESS_FILE = """
def attack(args):
    file = os.memfd_create("x")
    for _ in range(300): os.write(file, bytes(1 << 20))
    return os.fstat(file).st_size
"""

SEGMENT = """
def attack(args):
    libc.shmat.restype = ctypes.c_void_p
    segment = call("shmget", 0, 300 << 20, 0o1600)
    start = libc.shmat(segment, None, 0)
    call("shmctl", segment, 0, None)
    ctypes.memset(start, 1, 300 << 20)
    return True
"""

DISK = """
def attack(args):
    with open("/tmp/x", "wb", buffering=0) as file:
        for _ in range(100): file.write(bytes(1 << 20))
    return os.path.getsize("/tmp/x")
"""

NAMES = """
def attack(args):
    for number in range(70_000): os.mkdir(f"/tmp/{number}")
    return len(os.listdir("/tmp"))
"""

PIPES = """
def attack(args):
    import fcntl
    held = []
    for _ in range(300):
        reading, writing = os.pipe()
        held.append(fcntl.fcntl(writing, 1031, 1 << 20))
        os.set_blocking(writing, False)
        os.write(writing, bytes(1 << 20))
    return len(held)
"""

SOCKET_BUFFER = """
def attack(args):
    with socket.socket() as one: one.setsockopt(socket.SOL_SOCKET, 32, 1 << 26)
    return True
"""


OOM = is_out_of_memory

SEMAPHORES = """
def attack(args):
    for _ in range(200): call("semget", 0, 32_000, 0o1600)
    return True
"""

SOCKETS = """
def attack(args):
    pairs, size = [], 0
    for _ in range(480):
        pairs.append(socket.socketpair())
        pairs[-1][0].setblocking(False)
        pairs[-1][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            while True: size += pairs[-1][0].send(bytes(65536))
        except BlockingIOError:
            pass
    return size > 64 << 20
"""

HUGE_PAGES = """
def attack(args):
    libc.mmap.restype = ctypes.c_long
    return call("mmap", None, 1 << 21, 3, 0x44022, -1, 0)  # not reserved, so it is granted where there are none, too
"""

ATTACKS = [
    Attack("start 600 processes", FORKS, fails_with(errno.EAGAIN), memory_mb=512, only_as_root=True),
    Attack("start 600 threads", THREADS, fails_with(errno.EAGAIN), memory_mb=512, only_as_root=True),
    Attack("open 1100 files", FILES, fails_with(errno.EMFILE), setup=MORE_FILES),
    Attack("raise the limit of open files", RAISE, NOT_PERMITTED, args={"limit": 7, "to": 4096}),
    Attack("raise the size of a core file", RAISE, NOT_PERMITTED, args={"limit": 4, "to": 1 << 40}),
    Attack("raise what may be locked", RAISE, NOT_PERMITTED, args={"limit": 8, "to": 1 << 22}),
    Attack("lock memory", LOCKED, fails_with(errno.ENOMEM, errno.EPERM)),
    Attack("hold more memory than there is", HELD, OOM, only_as_root=True),
    Attack("hold it in a file without a name", NAMELESS_FILE, OOM, only_as_root=True),
    Attack("hold it in a shared segment", SEGMENT, OOM, only_as_root=True),
    Attack("hold it in pipes", PIPES, lambda o: OOM(o) or NOT_PERMITTED(o), only_as_root=True),
    Attack("hold it in semaphores", SEMAPHORES, OOM, PRIVATE, only_as_root=True),
    Attack("hold it in buffers of sockets", SOCKETS, OOM, setup=MORE_FILES, memory_mb=64, only_as_root=True),
    Attack("fill the folder for temporary files", DISK, fails_with(errno.ENOSPC), PRIVATE),
    Attack("make more folders than there is room for", NAMES, fails_with(errno.ENOSPC), PRIVATE, memory_mb=512),
    Attack("take huge pages, which no limit counts", HUGE_PAGES, NOT_PERMITTED),
    Attack("take them by a file", "def attack(args): return os.memfd_create('x', os.MFD_HUGETLB)", NOT_PERMITTED),
    Attack("take them by a segment", "def attack(args): return call('shmget', 0, 1 << 21, 0o15600)", NOT_PERMITTED),
    Attack("flush the disks of the host", "def attack(args): return call('sync') == 0", NOT_PERMITTED),
    Attack("flush the disk that a file is on", "def attack(args): return call('syncfs', os.open('/usr', 0)) == 0",
           NOT_PERMITTED),
    Attack("enlarge a socket past the system's bound", SOCKET_BUFFER, NOT_PERMITTED),
]  # fmt: skip


@cases(ATTACKS)
def test_an_attack_on_a_quota_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    before = what_is_there()
    outcome = inside(stage, attack, ground)
    assert attack.denied(outcome), outcome
    assert what_is_there() == before


@cases(ATTACKS)
def test_an_attack_on_a_quota_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, ground)
    assert gains_something(outcome), outcome


def bomb() -> bytes:
    """An archive of some 200 kB that holds 200 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("__main__.py", "def main(args): return {}")
        with archive.open("zeros", "w", force_zip64=True) as entry:
            for _ in range(200):
                entry.write(bytes(MB))
    return buffer.getvalue()


def test_an_archive_that_grows_a_thousandfold_ends_nothing_but_its_own_sandbox(stage: Stage) -> None:
    async def scenario() -> Outcome:
        before = what_is_there()
        async with stage.sandbox() as sandbox:
            try:
                reply = await sandbox.init(init_body(bomb()), 20)
                found = {"status": reply.status}
            except SandboxDied as error:
                found = {"out_of_memory": error.is_out_of_memory}
        assert what_is_there() == before
        return found

    assert stage.run(scenario()) in ({"status": 502}, {"out_of_memory": True})


def test_the_same_archive_does_fill_a_disk(tmp_path: Path) -> None:
    packed = bomb()
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path)
    assert (tmp_path / "zeros").stat().st_size == 200 * MB > 500 * len(packed)


@pytest.mark.parametrize("size_mb", [1, 64])
def test_a_result_costs_the_platform_no_more_than_its_limit(stage: Stage, size_mb: int) -> None:
    """The action itself is told nothing; the smaller of the two shows that a result can be as long as the limit."""
    code = "def main(args): return {'x': 'y' * (args['n'] - 8)}"

    async def scenario() -> tuple[int, int]:
        async with stage.action(code, memory_mb=512) as sandbox:
            reply = await sandbox.run(run_body({"n": size_mb * MB}), 20)
            return reply.length, len(reply.body)

    assert stage.run(scenario()) == (size_mb * MB, RESULT_LIMIT_BYTES)


def test_output_costs_the_platform_no_more_than_its_limit(stage: Stage) -> None:
    code = "import os\ndef main(args):\n  for _ in range(args['n']): os.write(1, b'y' * 99 + b'\\n')\n  return {}"

    async def scenario() -> list[tuple[int, bool]]:
        found = []
        async with stage.action(code) as sandbox:
            for lines in (100, 10_000):
                sandbox.limit_logs(100_000)
                await sandbox.run(run_body({"n": lines}), 20)
                logs = sandbox.take_logs()
                found.append((len(json.dumps([line.text for line in logs.lines])), logs.is_truncated))
        return found

    (few, few_cut), (many, many_cut) = stage.run(scenario())
    assert (few > 9_000, few_cut) == (True, False)
    assert (many < 100_000, many_cut) == (True, True)
