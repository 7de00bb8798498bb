"""Attempts to reach the parts of the kernel that no action needs. Every call is a valid one: refused is the caller."""

from __future__ import annotations

import errno
import signal
from typing import Any

from tests.attacks.frame import (
    NOT_PERMITTED,
    PRIVATE,
    Attack,
    cases,
    fails_with,
    gains_something,
    inside,
    is_killed_by,
    outside,
)
from tests.conformance.sandbox_stage import Stage

BPF_MAP = """
def attack(args):
    return call("bpf", 0, ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1), 16), 16)
"""

BPF_PROGRAM = """
def attack(args):
    code = ctypes.create_string_buffer(bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 16)
    license = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(license))
    return call("bpf", 5, ctypes.create_string_buffer(attributes, 48), 48)
"""

PERFORMANCE = """
def attack(args):
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0), 112)
    return call("perf_event_open", attributes, 0, -1, -1, 0)
"""

RING = """
def attack(args):
    return call("io_uring_setup", 1, ctypes.create_string_buffer(120))
"""

KEY = """
def attack(args):
    key = call("add_key", b"user", b"left", b"secret", 6, -5)
    buffer = ctypes.create_string_buffer(6)
    call("keyctl", 11, key, buffer, 6)
    return buffer.raw.decode()
"""

SESSION_KEYS = """
def attack(args):
    return call("keyctl", 0, -3, 1) != 0
"""

KERNEL_LOG = """
def attack(args):
    return call("syslog", 10, None, 0)
"""

OLD_NUMBERS = """
def attack(args):
    import mmap
    def old():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # getpid by its 32-bit number, return
        entry = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(entry)()
    return in_child(old)
"""

NEW_NAMESPACE = """
def attack(args):
    return in_child(lambda: call("unshare", args["flag"]) == 0)
"""

CLONE = """
def attack(args):
    child = call("clone", args["flag"] | 17, 0, 0, 0, 0)
    if not child: os._exit(0)
    return os.waitpid(child, 0)[1] == 0
"""

CLONE3 = """
def attack(args):
    arguments = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0)
    child = call("clone3", arguments, 64)
    if not child: os._exit(0)
    return os.waitpid(child, 0)[1] == 0
"""

ENTER = """
def attack(args):
    def enter():
        return call("setns", os.open("/proc/self/ns/" + args["kind"], os.O_RDONLY), 0) == 0
    return in_child(enter)
"""

SOCKET = """
def attack(args):
    with socket.socket(args["family"], args["type"], args["protocol"]) as made: return made.fileno()
"""

DEVICE_EVENTS = """
def attack(args):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15) as events:
        events.bind((0, 1))
        return events.fileno()
"""

CHARACTER_DEVICE = """
def attack(args):
    os.mknod("/tmp/device", 0o20600, os.makedev(1, 11))
    return os.path.exists("/tmp/device")
"""

CAPABLE_FILE = """
def attack(args):
    with open("/tmp/capable", "w"): pass
    os.setxattr("/tmp/capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0))
    return True
"""

CAPABLE_AGAIN = """
def attack(args):
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)(1 << 13, 1 << 13)
    return in_child(lambda: call("capset", ctypes.byref(header), ctypes.byref(sets)) == 0)
"""

FILTER_OFF = """
def attack(args):
    # a process may make its own filter stricter only; seccomp is taken off neither by its mode nor by a new program
    libc.prctl(22, 0, 0, 0, 0)
    call("unshare", 0x00020000)
    return True
"""

FAMILY = fails_with(errno.EAFNOSUPPORT, errno.EPERM)
_FLAGS = {
    "mounts": 0x00020000, "control groups": 0x02000000, "host names": 0x04000000, "shared memory": 0x08000000,
    "users": 0x10000000, "processes": 0x20000000, "interfaces": 0x40000000, "clocks": 0x80,
}  # fmt: skip

ATTACKS = [
    Attack("make a map for programs in the kernel", BPF_MAP, NOT_PERMITTED),
    Attack("load a program into the kernel", BPF_PROGRAM, NOT_PERMITTED),
    Attack("count events of the processor", PERFORMANCE, NOT_PERMITTED),
    Attack("stop the kernel at a page", "def attack(args): return call('userfaultfd', 0o2000000)", NOT_PERMITTED),
    Attack("queue calls past the filter", RING, NOT_PERMITTED),
    Attack("leave a key in the kernel", KEY, NOT_PERMITTED, PRIVATE),
    Attack("use the keys of the session", SESSION_KEYS, NOT_PERMITTED, PRIVATE),
    Attack("read the kernel's log", KERNEL_LOG, NOT_PERMITTED),
    Attack("use the numbers of the 32-bit kernel", OLD_NUMBERS, is_killed_by(signal.SIGSYS), machine="x86_64"),
    Attack("change the table of segments", "def attack(args): return call('modify_ldt', 0, None, 0) == 0",
           NOT_PERMITTED, machine="x86_64"),
    *(
        Attack(f"unshare {kind}", NEW_NAMESPACE, NOT_PERMITTED, PRIVATE, args={"flag": flag})
        for kind, flag in _FLAGS.items()
    ),
    *(
        Attack(f"start a child with its own {kind}", CLONE, NOT_PERMITTED, PRIVATE, args={"flag": flag},
               machine="x86_64")
        for kind, flag in _FLAGS.items() if kind != "clocks"
    ),
    Attack("start a child by the newest call", CLONE3, fails_with(errno.ENOSYS), PRIVATE),
    *(
        Attack(f"enter a namespace of {kind}", ENTER, NOT_PERMITTED, PRIVATE, args={"kind": kind})
        for kind in ("net", "mnt", "ipc", "uts", "cgroup")
    ),
    Attack("make a device", CHARACTER_DEVICE, fails_with(errno.EPERM, errno.EACCES), PRIVATE),
    Attack("give a file capabilities", CAPABLE_FILE, NOT_PERMITTED, PRIVATE),
    Attack("take capabilities back", CAPABLE_AGAIN, NOT_PERMITTED, PRIVATE),
    Attack("take the filter off", FILTER_OFF, NOT_PERMITTED, PRIVATE),
    Attack("watch all files", "def attack(args): return call('fanotify_init', 0, 0)", NOT_PERMITTED),
    Attack("read the clock's adjustment", "def attack(args): return call('adjtimex', bytes(208)) >= 0", NOT_PERMITTED),
    Attack("set the clock", "def attack(args): import time; time.clock_settime(0, time.time()); return True",
           NOT_PERMITTED),
    Attack("switch accounting off", "def attack(args): return call('acct', None) == 0", NOT_PERMITTED, PRIVATE),
    Attack("move pages between nodes", "def attack(args): return call('move_pages', 0, 0, None, None, None, 0) == 0",
           NOT_PERMITTED),
    Attack("use raw packets", SOCKET, NOT_PERMITTED, PRIVATE, args={"family": 2, "type": 3, "protocol": 1}),
    Attack("use raw packets of IPv6", SOCKET, NOT_PERMITTED, PRIVATE, args={"family": 10, "type": 3, "protocol": 58}),
    Attack("use packets of the link", SOCKET, FAMILY, PRIVATE, args={"family": 17, "type": 3, "protocol": 768}),
    Attack("be told of the host's devices", DEVICE_EVENTS, NOT_PERMITTED, PRIVATE),
    Attack("talk to the hypervisor", SOCKET, FAMILY, PRIVATE, args={"family": 40, "type": 1, "protocol": 0}),
]  # fmt: skip


@cases(ATTACKS)
def test_an_attack_on_the_kernel_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    outcome = inside(stage, attack, ground)
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_on_the_kernel_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, ground)
    assert gains_something(outcome), outcome
