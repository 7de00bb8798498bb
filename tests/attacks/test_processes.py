"""Attempts on other processes: their memory, their descriptors, their lives."""

from __future__ import annotations

import errno
from typing import Any

from tests.attacks.frame import (
    NOT_PERMITTED,
    NOT_THERE,
    PRIVATE,
    Attack,
    cases,
    fails_with,
    gains_nothing,
    gains_something,
    inside,
    outside,
)
from tests.conformance.sandbox_stage import Stage

READ_MEMORY = """
class Range(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def attack(args):
    buffer = ctypes.create_string_buffer(18)
    own, other = Range(ctypes.addressof(buffer), 18), Range(args["address"], 18)
    call("process_vm_readv", args["pid"], ctypes.byref(own), 1, ctypes.byref(other), 1, 0)
    return buffer.value.decode()
"""

MEMORY_FILE = """
def attack(args):
    with open(f"/proc/{args['pid']}/mem", "rb", buffering=0) as memory:
        memory.seek(args["address"])
        return memory.read(18).decode()
"""

TRACE = """
def attack(args):
    call("ptrace", 0x4206, args["pid"], 0, 0)
    return True
"""

TRACE_CHILD = """
def attack(args):
    return in_child(lambda: call("ptrace", 0, 0, 0, 0) == 0)
"""

TAKE_DESCRIPTOR = """
def attack(args):
    handle = call("pidfd_open", args["pid"], 0)
    return os.pread(call("pidfd_getfd", handle, args["descriptor"], 0), 18, 0).decode()
"""

BY_EVERY_NUMBER = """
def attack(args):
    def lives(pid):
        try:
            os.kill(pid, 0)
            return True
        except OSError:
            return False
    return [pid for pid in {args["pid"], *range(2, 70_000)} if lives(pid)]
"""

MAP_NUMBERS = """
def attack(args):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file: file.write("4000")
    child = os.fork()
    if not child: os._exit(0)
    os.waitpid(child, 0)
    return child == 4001
"""

CHOOSE_NUMBER = """
def attack(args):
    wanted = (ctypes.c_int * 1)(5000)
    arguments = (ctypes.c_uint64 * 10)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1)
    child = call("clone3", arguments, 80)
    if not child: os._exit(0)
    os.waitpid(child, 0)
    return child == 5000
"""

SHARED_SEGMENT = """
def attack(args):
    return call("shmget", args["key"], 0, 0) >= 0
"""

ALL_SEGMENTS = """
def attack(args):
    with open("/proc/sysvipc/shm") as file: return file.read().splitlines()[1:]
"""

REAL_TIME = """
def attack(args):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True
"""

NO_PROCESS = fails_with(errno.ESRCH)
REFUSED = fails_with(errno.EPERM, errno.EACCES)

ATTACKS = [
    Attack("read the memory of another process", READ_MEMORY, NOT_PERMITTED),
    Attack("read it through a file", MEMORY_FILE, NOT_THERE),
    Attack("read its environment", "def attack(args): return contents(f'/proc/{args[\"pid\"]}/environ')", NOT_THERE),
    Attack("read its command line", "def attack(args): return contents(f'/proc/{args[\"pid\"]}/cmdline')", NOT_THERE),
    Attack("read its map of memory", "def attack(args): return contents(f'/proc/{args[\"pid\"]}/maps')", NOT_THERE),
    Attack("list its open files", "def attack(args): return os.listdir(f'/proc/{args[\"pid\"]}/fd')", NOT_THERE),
    Attack("trace it", TRACE, NOT_PERMITTED),
    Attack("trace a child", TRACE_CHILD, NOT_PERMITTED),
    Attack("take a descriptor out of it", TAKE_DESCRIPTOR, NO_PROCESS),
    Attack("hold it by its number", "def attack(args): return call('pidfd_open', args['pid'], 0)", NO_PROCESS),
    Attack("signal it", "def attack(args): os.kill(args['pid'], 0); return True", NO_PROCESS),
    Attack("signal whatever there is", BY_EVERY_NUMBER, gains_nothing),
    Attack("read its limits", "def attack(args): import resource; return resource.prlimit(args['pid'], 7)", NO_PROCESS),
    Attack("read its affinity", "def attack(args): return list(os.sched_getaffinity(args['pid']))", NO_PROCESS),
    Attack("compare its files", "def attack(args): return call('kcmp', args['pid'], args['pid'], 2, 0, 0) == 0",
           NOT_PERMITTED),
    Attack("see its group", "def attack(args): return os.getpgid(args['pid'])", NO_PROCESS),
    Attack("choose the next number of a process", MAP_NUMBERS, fails_with(errno.EROFS, errno.EACCES), PRIVATE),
    Attack("choose the number of a child", CHOOSE_NUMBER, fails_with(errno.ENOSYS), PRIVATE),
    Attack("attach the shared memory of the host", SHARED_SEGMENT, NOT_THERE),
    Attack("list the shared memory of the host", ALL_SEGMENTS, gains_nothing),
    Attack("count the users of keys", "def attack(args): return contents('/proc/key-users')", gains_nothing),
    Attack("read named shared memory", "def attack(args): return contents(args['shared'])", NOT_THERE),
    Attack("run before everyone else", REAL_TIME, NOT_PERMITTED),
    Attack("get more time than its share", "def attack(args): return os.nice(-5) < 0", REFUSED),
]  # fmt: skip


@cases(ATTACKS)
def test_an_attack_on_processes_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    outcome = inside(stage, attack, ground)
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_on_processes_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, ground)
    assert gains_something(outcome), outcome
