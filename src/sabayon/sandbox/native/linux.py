"""System calls that Python 3.11 does not offer, through the C library. Numbers and structs: see their manual pages."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import Any, Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
LAST_CAPABILITY: Final = 63

_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE: Final = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "ppc64le": 120}
"""The number of clone(2), by machine."""

_CAPABILITY_HEADER: Final = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
_NO_CAPABILITIES: Final = (ctypes.c_uint32 * 6)()

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)
"""The same, called without letting go of the interpreter's lock."""

# Looked up here, in the zygote, instead of in every process that comes out of it.
for _name in ("unshare", "setns", "mount", "prctl", "capset", "signal", "syscall"):
    getattr(_libc, _name)
for _name in ("syscall", "PyOS_BeforeFork", "PyOS_AfterFork_Child", "PyOS_AfterFork_Parent"):
    getattr(_python, _name)


def _call(what: str, function: Any, *args: Any) -> int:
    result = int(function(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def kernel_version() -> tuple[int, ...]:
    """Of the running kernel, two numbers."""
    return tuple(int("".join(filter(str.isdigit, part))) for part in os.uname().release.split(".")[:2])


class Forker:
    """fork(2) with a child that starts in new namespaces.

    It spares the second fork that unshare(2) needs before a process is in a new pid namespace. The C library does not
    learn of it, which is safe where a process has one thread, and is pid 1 in its pid namespace as its child will be:
    what the library remembers of the thread stays true.
    """

    def __init__(self, namespaces: int) -> None:
        """Raises OSError."""
        number = _CLONE.get(os.uname().machine)
        if number is None:
            raise OSError(errno.ENOSYS, f"clone: its number on {os.uname().machine} is not known")
        flags = ctypes.c_ulong(namespaces | int(signal.SIGCHLD))
        self._arguments = (ctypes.c_long(number), flags, None, None, None, None)

    def fork(self) -> int:
        """The child's pid; 0 in the child. Raises OSError."""
        _python.PyOS_BeforeFork()
        pid: int = _python.syscall(*self._arguments)
        if pid == 0:
            _python.PyOS_AfterFork_Child()
            return 0
        number = ctypes.get_errno()
        _python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(number, f"clone: {os.strerror(number)}")
        return pid


def system_call(number: int, *args: Any) -> int:
    """One that the C library has no function for; negative when it failed."""
    return int(_libc.syscall(ctypes.c_long(number), *args))


def checked_call(what: str, number: int, *args: Any) -> int:
    """The same. Raises OSError that names what failed."""
    return _call(what, _libc.syscall, ctypes.c_long(number), *args)


def unshare(flags: int) -> None:
    """Move this process, or for network namespaces this thread, into new namespaces. Raises OSError."""
    _call("unshare", _libc.unshare, flags)


def setns(descriptor: int, kind: int) -> None:
    """Move this thread into the namespace of that kind. Raises OSError."""
    _call("setns", _libc.setns, descriptor, kind)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2). Raises OSError that names the target."""
    arguments = (source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags))
    _call(f"mount {target}", _libc.mount, *arguments, data.encode() if data else None)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2). Raises OSError."""
    _call(f"unmount {target}", _libc.umount2, target.encode(), flags)


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and move the old one to `old`. Raises OSError."""
    _call("pivot_root", _libc.pivot_root, new.encode(), old.encode())


def prctl(option: int, argument: int = 0) -> None:
    """prctl(2) with one argument. Raises OSError."""
    zero = ctypes.c_ulong(0)
    _call("prctl", _libc.prctl, option, ctypes.c_ulong(argument), zero, zero, zero)


def ignore_children(*, is_ignoring: bool) -> None:
    """Whether children that end are forgotten at once, instead of being kept until they are waited for.

    Behind Python's back, for which the signal has its default handler all the time.
    """
    _libc.signal(signal.SIGCHLD, ctypes.c_void_p(1 if is_ignoring else 0))


def set_hostname(name: str) -> None:
    """The host name in this UTS namespace. Raises OSError."""
    encoded = name.encode()
    _call("sethostname", _libc.sethostname, encoded, len(encoded))


def empty_bounding_set() -> None:
    """From now on no program that is executed gains a capability; those there are stay. Raises OSError."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last one this kernel knows


def empty_ambient_set() -> None:
    """Programs executed from now on inherit no capability. Raises OSError."""
    _call("prctl", _libc.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def rest_capabilities(*, are_resting: bool) -> None:
    """Have this process's capabilities take no effect, or effect again. None is inherited. Raises OSError."""
    sets = (ctypes.c_uint32 * 6)()
    _call("capget", _libc.capget, _CAPABILITY_HEADER, sets)
    for low in (0, 3):  # effective, permitted and inheritable; twice, for 64 of them
        sets[low] = 0 if are_resting else sets[low + 1]
        sets[low + 2] = 0
    _call("capset", _libc.capset, _CAPABILITY_HEADER, sets)


def clear_capability_sets() -> None:
    """Empty this process's own sets; with an empty bounding set nothing can fill them again."""
    _call("capset", _libc.capset, _CAPABILITY_HEADER, _NO_CAPABILITIES)
