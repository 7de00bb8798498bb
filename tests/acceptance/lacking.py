"""A Python that lacks a feature of the machine: `python -m tests.acceptance.lacking STEP… -- ARGUMENTS`.

Each step is a name, or a name and a value after a colon; they are taken in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from sabayon.sandbox.native import linux, netadmin, seccomp

EVERYWHERE = {"pidfd_open": 434, "mount_setattr": 442, "landlock_create_ruleset": 444}
MACHINES = {
    "x86_64": {"unshare": 272, "prctl": 157, "clock_adjtime": 305, **EVERYWHERE},
    "aarch64": {"unshare": 97, "prctl": 167, "clock_adjtime": 266, **EVERYWHERE},
}
NAMESPACES = {
    "user": linux.CLONE_NEWUSER,
    "mount": linux.CLONE_NEWNS,
    "pid": linux.CLONE_NEWPID,
    "network": linux.CLONE_NEWNET,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
    "cgroup": linux.CLONE_NEWCGROUP,
}
PR_SET_SECCOMP = 22
UNAME26 = 0x0020000
IS_EQUAL, HAS_ANY_BIT, IS_AT_LEAST = 0x15, 0x45, 0x35
LOAD, RETURN, ALLOW, FAIL = 0x20, 0x06, 0x7FFF0000, 0x00050000
FIRST_ARGUMENT = 16


def refuse(call: str, error: int, condition: int = IS_AT_LEAST, operand: int = 0) -> None:
    """Let a system call fail, if its first argument is of a kind."""
    number = MACHINES[os.uname().machine][call]
    steps = [
        (LOAD, 0, 0, 0),
        (IS_EQUAL, 0, 3, number),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (condition, 0, 1, operand),
        (RETURN, 0, 0, FAIL | error),
        (RETURN, 0, 0, ALLOW),
    ]
    seccomp.Filter(b"".join(struct.pack("HBBI", *step) for step in steps)).install()


def personality(kind: int) -> None:
    """What programs that are executed from now on see of the kernel."""
    ctypes.CDLL(None).personality(ctypes.c_ulong(kind))


def cgroup_mounts() -> list[tuple[str, str, str]]:
    """Mount point, type and options of each."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(point, kind, options) for _, point, kind, options, *_ in rows if kind in ("cgroup", "cgroup2")]


def own_mounts() -> None:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)


def no_cgroups(_: str) -> None:
    own_mounts()
    for point, _, _ in reversed(cgroup_mounts()):
        linux.unmount(point)


def no_controller(name: str) -> None:
    own_mounts()
    for point, kind, options in cgroup_mounts():
        if kind == "cgroup" and name in options.split(","):
            linux.unmount(point)


def read_only_cgroups(_: str) -> None:
    own_mounts()
    for point, _, _ in cgroup_mounts():
        linux.mount("none", point, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)


def no_tool(name: str) -> None:
    """Nothing to execute where programs of the system are."""
    own_mounts()
    for folder in netadmin.SYSTEM_PATH.split(":"):
        if (program := Path(folder, name)).exists():
            linux.mount("/dev/null", str(program), None, linux.MS_BIND)


def read_only(directory: str) -> None:
    own_mounts()
    linux.mount(directory, directory, None, linux.MS_BIND)
    linux.mount("none", directory, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)


def memory_group(group: str) -> None:
    """The group is all that is seen of the hierarchy it is in, as it is in a container."""
    own_mounts()
    point = next(point for point, *_ in cgroup_mounts() if Path(group).is_relative_to(point))
    linux.mount(group, point, None, linux.MS_BIND)


def in_memory(directory: str, size_mb: int = 16) -> None:
    """A small file system on `directory`."""
    own_mounts()
    linux.mount("tmpfs", directory, "tmpfs", 0, f"size={size_mb}m,mode=0700")


def full(directory: str) -> None:
    """The same without room."""
    in_memory(directory)
    with contextlib.suppress(OSError), Path(directory, "filling").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def nearly_full(directory: str) -> None:
    """The same with the files that were there, and room for 128 KB."""
    files = {path.name: path.read_bytes() for path in Path(directory).iterdir()}
    in_memory(directory)
    for name, content in files.items():
        Path(directory, name).write_bytes(content)
    free = shutil.disk_usage(directory).free
    Path(directory, "filling").write_bytes(bytes(free - 128 * 1024))


def become(user: str) -> None:
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))


STEPS: dict[str, Callable[[str], None]] = {
    "no-cgroups": no_cgroups,
    "no-controller": no_controller,
    "read-only-cgroups": read_only_cgroups,
    "no-namespace": lambda name: refuse("unshare", errno.EPERM, HAS_ANY_BIT, NAMESPACES[name]),
    "no-seccomp": lambda _: refuse("prctl", errno.EINVAL, IS_EQUAL, PR_SET_SECCOMP),
    "no-pidfd": lambda _: refuse("pidfd_open", errno.ENOSYS),
    "no-mount-attributes": lambda _: refuse("mount_setattr", errno.ENOSYS),
    "no-landlock": lambda _: refuse("landlock_create_ruleset", errno.ENOSYS),
    "no-tool": no_tool,
    "no-clock-state": lambda _: refuse("clock_adjtime", errno.EPERM),
    "old-release": lambda _: personality(UNAME26),
    "read-only": read_only,
    "memory-group": memory_group,
    "open-files": lambda most: resource.setrlimit(resource.RLIMIT_NOFILE, (int(most), int(most))),
    "in-memory": in_memory,
    "too-small": lambda directory: in_memory(directory, size_mb=8),
    "full": full,
    "nearly-full": nearly_full,
    "as-user": become,
}


if __name__ == "__main__":
    end = sys.argv.index("--")
    for step in sys.argv[1:end]:
        name, _, value = step.partition(":")
        STEPS[name](value)
    os.execv(sys.executable, [sys.executable, *sys.argv[end + 1 :]])
