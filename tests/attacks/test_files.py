"""Attempts to read or change files that are not the action's own."""

from __future__ import annotations

import errno
from typing import Any

from sabayon.sandbox.native import landlock
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

SYMLINK = """
def attack(args):
    link = (args["folder"] if os.path.isdir(args["folder"]) else "/tmp") + "/link"
    os.symlink(args["secret"], link)
    return contents(link)
"""

HARD_LINK = """
def attack(args):
    own = (args["folder"] if os.path.isdir(args["folder"]) else "/tmp") + "/hard"
    os.link(args["secret"], own)
    return contents(own)
"""

HANDLE = """
def attack(args):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.c_int()
    call("name_to_handle_at", -100, b"/", handle, ctypes.byref(mount), 0)
    root = os.open("/", os.O_RDONLY)
    return call("open_by_handle_at", root, handle, os.O_RDONLY)
"""

LEFT_OPEN = """
def attack(args):
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            os.close(os.open(args["secret"].lstrip("/"), os.O_RDONLY, dir_fd=fd))
            found.append(fd)
        except OSError:
            pass
    return found
"""

BIND = """
def attack(args):
    call("mount", b"/", b"/tmp", None, 4096, None)
    return os.listdir("/tmp")
"""

MOUNT = """
def attack(args):
    call("mount", b"none", b"/tmp", args["kind"].encode(), 0, None)
    return os.listdir("/tmp")
"""

REMOUNT = """
def attack(args):
    call("mount", b"none", b"/", None, 32 | 4096, None)
    return True
"""

UNMOUNT = """
def attack(args):
    call("umount2", b"/tmp", 2)
    return True
"""

OVERLAY = """
def attack(args):
    def overlay():
        call("unshare", 0x10000000 | 0x00020000)
        for name, text in (("uid_map", "0 0 1"), ("setgroups", "deny"), ("gid_map", "0 0 1")):
            with open("/proc/self/" + name, "w") as file: file.write(text)
        call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
        for name in ("upper", "work"):
            os.makedirs("/tmp/" + name, exist_ok=True)
        call("mount", b"overlay", b"/tmp", b"overlay", 0, b"lowerdir=/usr,upperdir=/tmp/upper,workdir=/tmp/work")
        return os.listdir("/tmp")
    return in_child(overlay)
"""

CHROOT = """
def attack(args):
    def leave():
        os.chdir("/")
        os.makedirs("/tmp/inner", exist_ok=True)
        call("chroot", b"/tmp/inner")
        for _ in range(64): os.chdir("..")
        call("chroot", b".")
        return os.listdir("/")
    return in_child(leave)
"""

PIVOT = """
def attack(args):
    call("mount", b"/usr", b"/usr", None, 4096, None) if not os.path.isdir("/action") else None
    call("pivot_root", b"/usr", b"/usr/lib")
    return True
"""

NEW_MOUNT = """
def attack(args):
    context = call("fsopen", b"tmpfs", 0)
    call("fsconfig", context, 6, None, None, 0)
    mounted = call("fsmount", context, 0, 0)
    call("move_mount", mounted, b"", -100, b"/tmp", 4)
    return True
"""

TERMINAL = """
def attack(args):
    import fcntl, termios
    terminal = os.open("/dev/tty", os.O_RDWR)
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
    return True
"""
A_TERMINAL = """
import fcntl, os, pty, termios
os.setsid()
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
"""

WATCH = """
def attack(args):
    watcher = call("inotify_init1", os.O_NONBLOCK)
    call("inotify_add_watch", watcher, b"/usr/bin", 0x20)
    open("/usr/bin/env", "rb").close()  # as any program on this host may
    return "env" in os.read(watcher, 4096).decode(errors="replace")
"""

BE_TOLD = """
def attack(args):
    import fcntl, signal
    told = []
    signal.signal(signal.SIGIO, lambda *any: told.append(True))
    fcntl.fcntl(os.open("/usr/bin", os.O_RDONLY), fcntl.F_NOTIFY, 1)
    contents("/usr/bin/env")
    return bool(told)
"""

LEASE = """
def attack(args):
    import fcntl
    return fcntl.fcntl(os.open("/usr/bin/env", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK) == 0
"""


CHOOSE_A_VICTIM = """
def attack(args):
    with open("/proc/self/oom_score_adj", "w") as file:
        return file.write("500")
"""


def _reads(path: str) -> str:
    return f"def attack(args): return contents({path})"


_INTERPRETER = fails_with(errno.EROFS, errno.EACCES, errno.EPERM)

ATTACKS = [
    Attack("read a file of the host", _reads("args['secret']"), NOT_THERE),
    Attack("read it through the root of this process", _reads("'/proc/self/root' + args['secret']"), NOT_THERE),
    Attack("read it through the root of pid 1", _reads("'/proc/1/root' + args['secret']"), NOT_THERE, PRIVATE),
    Attack("read it above the working directory", _reads("'/proc/self/cwd' + '/..' * 40 + args['secret']"), NOT_THERE),
    Attack("read it through a thread's root", _reads("'/proc/thread-self/root' + args['secret']"), NOT_THERE),
    Attack(
        "read it through a process of the host", _reads("f\"/proc/{args['pid']}/root{args['secret']}\""), NOT_THERE
    ),
    Attack("follow a symbolic link to it", SYMLINK, NOT_THERE),
    Attack("make a hard link to it", HARD_LINK, NOT_THERE),
    Attack("list the folder it is in", "def attack(args): return os.listdir(args['folder'])", NOT_THERE),
    Attack("create a file beside it", "def attack(args): return os.open(args['folder'] + '/new', 65)", NOT_THERE),
    Attack("open a file by its handle", HANDLE, NOT_PERMITTED),
    Attack("use a folder that was left open", LEFT_OPEN, gains_nothing, setup="import os; os.open('/', os.O_RDONLY)"),
    Attack("bind the root elsewhere", BIND, NOT_PERMITTED, PRIVATE),
    Attack("mount processes", MOUNT, NOT_PERMITTED, PRIVATE, args={"kind": "proc"}),
    Attack("mount control groups", MOUNT, NOT_PERMITTED, PRIVATE, args={"kind": "cgroup2"}),
    Attack("mount the kernel's objects", MOUNT, NOT_PERMITTED, PRIVATE, args={"kind": "sysfs"}),
    Attack("make the root writable", REMOUNT, NOT_PERMITTED, PRIVATE),
    Attack("take away a mount to see what is below", UNMOUNT, NOT_PERMITTED, PRIVATE),
    Attack("overlay a folder in a user namespace", OVERLAY, NOT_PERMITTED, PRIVATE),
    Attack("leave a root by a root", CHROOT, NOT_PERMITTED, PRIVATE),
    Attack("change the root", PIVOT, NOT_PERMITTED, PRIVATE),
    Attack("copy the mounts", "def attack(args): return call('open_tree', -100, b'/', 1)", NOT_PERMITTED, PRIVATE),
    Attack("mount by the newer calls", NEW_MOUNT, NOT_PERMITTED, PRIVATE),
    Attack("open the interpreter's library to write", "def attack(args): return os.open(os.__file__, 1)", _INTERPRETER),
    Attack(
        "change the rights of the library", "def attack(args): os.chmod(os.__file__, 0o644); return 1", _INTERPRETER,
    ),
    Attack("read the kernel's timers", _reads("'/proc/timer_list'"), gains_nothing),
    Attack("read the kernel's symbols", _reads("'/proc/kallsyms'"), gains_nothing),
    Attack("list devices", "def attack(args): return os.listdir('/sys/class')", NOT_THERE),
    Attack("watch which programs of the host are started", WATCH, NOT_PERMITTED),
    Attack("be told of what is read in a folder of the host", BE_TOLD, NOT_PERMITTED),
    Attack("be asked before others write a file of the host", LEASE, NOT_PERMITTED),
    Attack("type on the terminal of the host", TERMINAL, fails_with(errno.ENXIO), setup=A_TERMINAL),
    Attack(
        "give a file away to root",
        "def attack(args): open('/tmp/x', 'w').close(); os.chown('/tmp/x', 0, 0); os.chmod('/tmp/x', 0o4755); return 1",
        NOT_PERMITTED, PRIVATE, only_as_root=True,
    ),
    Attack("read which devices interrupt the processors", _reads("'/proc/interrupts'"), gains_nothing),
]  # fmt: skip
if landlock.version() >= landlock.LEAST:
    ATTACKS.append(Attack("choose whom the kernel kills for memory", CHOOSE_A_VICTIM, fails_with(errno.EACCES)))


@cases(ATTACKS)
def test_an_attack_on_files_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    outcome = inside(stage, attack, ground)
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_on_files_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, ground)
    assert gains_something(outcome), outcome
