"""The newer system calls for mounts: a mount as a descriptor, that is made in one namespace and attached in another.

Numbers and structs: open_tree(2), move_mount(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sabayon.sandbox.native import linux

READ_ONLY: Final = 0x1
_NOSUID: Final = 0x2
_NODEV: Final = 0x4
_MAPPED: Final = 0x100000

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""The same number on every architecture."""

_OPEN_TREE_CLONE: Final = 1
_MOVE_FROM_DESCRIPTOR: Final = 0x4
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_CLONE_VM: Final = 0x100
_WAIT_ALL: Final = 0x40000000
"""For a child whose end sends no signal, which the platform would take for one of its own processes'."""

_STACK_BYTES: Final = 16384

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(what: str, number: int, *arguments: int | bytes) -> int:
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def clone(path: str, attributes: int, owners: int) -> int:
    """A descriptor of a mount of what is mounted at `path`, attached nowhere; set-user bits and devices do not count.

    owners: a user namespace, see `owned_by`. Raises OSError.
    """
    tree = _call("open_tree", _OPEN_TREE, _AT_FDCWD, path.encode(), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        wanted = struct.pack("QQQQ", attributes | _NOSUID | _NODEV | _MAPPED, 0, 0, owners)
        _call("mount_setattr", _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, len(wanted))
    except OSError:
        os.close(tree)
        raise
    return tree


def attach(tree: int, path: str) -> None:
    """Mount a clone at `path` of this thread's mount namespace. Raises OSError."""
    _call("move_mount", _MOVE_MOUNT, tree, b"", _AT_FDCWD, path.encode(), _MOVE_FROM_DESCRIPTOR)


@contextmanager
def owned_by(uid: int, proc: int) -> Iterator[int]:
    """A user namespace that shows what belongs to root as the user and group `uid`. Raises OSError.

    proc: a descriptor of /proc. No process is left in the namespace: it is there to be read by `clone`. The child that
    is made for it ends at once, in memory that it shares with this process, of which nothing is copied therefore; until
    it is waited for, /proc knows its namespace.
    """
    stack = ctypes.create_string_buffer(_STACK_BYTES)
    top = ctypes.c_void_p((ctypes.addressof(stack) + _STACK_BYTES) & ~15)
    flags = ctypes.c_int(linux.CLONE_NEWUSER | _CLONE_VM)
    pid = int(_libc.clone(_libc._exit, top, flags, None))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"clone: {os.strerror(number)}")
    try:
        for name in ("uid_map", "gid_map"):
            _write(f"{pid}/{name}", f"0 {uid} 1", proc)
        descriptor = os.open(f"{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    finally:
        os.waitpid(pid, _WAIT_ALL)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(path: str, text: str, directory: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
