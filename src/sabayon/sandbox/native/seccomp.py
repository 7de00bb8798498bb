"""System calls that no action has business with, refused by a seccomp filter.

A deny-list: what can reach the kernel's rarely used corners, other processes' memory,
new namespaces or the machine as a whole fails with EPERM (clone3 with ENOSYS, so that
the C library falls back to clone, whose flags a filter can read). Sockets are of a few families only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from typing import Final

from sabayon.sandbox.native import linux

_X86_64: Final = {
    "ptrace": 101, "syslog": 103, "personality": 135, "ustat": 136, "sysfs": 139, "vhangup": 153, "modify_ldt": 154,
    "sync": 162, "syncfs": 306,
    "pivot_root": 155, "_sysctl": 156, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172,
    "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "lookup_dcookie": 212,
    "clock_settime": 227,
    "mbind": 237, "set_mempolicy": 238, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "inotify_init": 253, "inotify_add_watch": 254,
    "migrate_pages": 256, "unshare": 272, "move_pages": 279, "vmsplice": 278, "perf_event_open": 298,
    "inotify_init1": 294, "fanotify_init": 300,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
}  # fmt: skip
_AARCH64: Final = {
    "inotify_init1": 26, "inotify_add_watch": 27, "sync": 81, "syncfs": 267,
    "pivot_root": 41, "mount": 40, "umount2": 39, "chroot": 51, "quotactl": 60, "vmsplice": 75, "acct": 89,
    "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112,
    "syslog": 116, "ptrace": 117, "reboot": 142, "sethostname": 161, "setdomainname": 162, "settimeofday": 170,
    "adjtimex": 171, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225, "mbind": 235,
    "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241, "fanotify_init": 262,
    "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270,
    "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
}  # fmt: skip
_NAMESPACE_FLAGS: Final = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWCGROUP
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
)
_MAP_HUGETLB, _SHM_HUGETLB, _MFD_HUGETLB = 0x40000, 0o4000, 4
"""Huge pages come from a pool of the host's, and no memory limit counts them."""

_Bits = tuple[int, int, int]
"""A system call, the position of an argument, and the bits that it may not have."""

_X86_64_BITS: Final[list[_Bits]] = [
    (56, 0, _NAMESPACE_FLAGS),
    (9, 3, _MAP_HUGETLB),
    (29, 2, _SHM_HUGETLB),
    (319, 1, _MFD_HUGETLB),
]
_AARCH64_BITS: Final[list[_Bits]] = [
    (220, 0, _NAMESPACE_FLAGS),
    (222, 3, _MAP_HUGETLB),
    (194, 2, _SHM_HUGETLB),
    (279, 1, _MFD_HUGETLB),
]
"""clone, mmap, shmget, memfd_create."""

_MACHINES: Final = {
    "x86_64": (0xC000003E, _X86_64, _X86_64_BITS, 41, 72),
    "aarch64": (0xC00000B7, _AARCH64, _AARCH64_BITS, 198, 25),
}
"""AUDIT_ARCH, what is refused, what is refused by its arguments, and the numbers of socket and fcntl."""

_CLONE3: Final = 435
_FAMILIES: Final = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
"""Sockets that end in the sandbox's network namespace. Others, such as AF_VSOCK, know no namespaces."""

_NETLINK_ROUTE: Final = 0
"""The one protocol of AF_NETLINK that is allowed. Others tell of the host, NETLINK_KOBJECT_UEVENT of its devices."""

_REFUSED_COMMANDS: Final = (fcntl.F_SETLEASE, fcntl.F_NOTIFY)
"""Of fcntl. These and inotify tell what others do with a file, in whatever sandbox or outside: they watch the inode."""

# Classic BPF: struct seccomp_data is {int nr; u32 arch; u64 instruction_pointer; u64 args[6]}.
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32_BIT: Final = 0x40000000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_INSTRUCTION_BYTES: Final = 8


def program() -> bytes:
    """The filter for this machine's architecture; empty where it is not known."""
    known = _MACHINES.get(os.uname().machine)
    if known is None:
        return b""
    architecture, denied, by_bits, open_socket, control_file = known
    steps = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_ABOVE, _X32_BIT, 0, 1),
        _instruction(_RETURN, _KILL),
        _instruction(_JUMP_EQUAL, _CLONE3, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number, argument, bits in by_bits:
        steps += _when(number, [_load(argument), _instruction(_JUMP_ANY_BIT, bits, 0, 1), _REFUSE])
    steps += _when(open_socket, _sockets())
    steps += _when(control_file, [_load(1), *_refuse_each(_REFUSED_COMMANDS)])
    for number in sorted(denied.values()):
        steps += [_instruction(_JUMP_EQUAL, number, 0, 1), _REFUSE]
    return b"".join([*steps, _instruction(_RETURN, _ALLOW)])


def _when(number: int, steps: list[bytes]) -> list[bytes]:
    """For one system call: `steps`, and past their end it is allowed."""
    allow = _instruction(_RETURN, _ALLOW)
    return [_instruction(_JUMP_EQUAL, number, 0, len(steps) + 1), *steps, allow]


def _sockets() -> list[bytes]:
    end = len(_FAMILIES) + 3
    return [
        _load(0),
        *(_instruction(_JUMP_EQUAL, family, end - n, 0) for n, family in enumerate(_FAMILIES)),
        _instruction(_JUMP_EQUAL, socket.AF_NETLINK, 0, 2),
        _load(2),
        _instruction(_JUMP_EQUAL, _NETLINK_ROUTE, 1, 0),
        _REFUSE,
    ]


def _refuse_each(values: tuple[int, ...]) -> list[bytes]:
    return [step for value in values for step in (_instruction(_JUMP_EQUAL, value, 0, 1), _REFUSE)]


def _load(argument: int) -> bytes:
    """The lower half, which is all the kernel reads of the arguments that are looked at here."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * argument)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


_REFUSE: Final = _instruction(_RETURN, _ERRNO | errno.EPERM)


class Filter:
    """A program laid out as the kernel wants it, so that installing it is one call."""

    def __init__(self, program: bytes) -> None:
        self._instructions = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxP", len(program) // _INSTRUCTION_BYTES, ctypes.addressof(self._instructions))
        self._header = ctypes.create_string_buffer(header, len(header)) if program else None
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def install(self) -> None:
        """Apply it to this process and all it will start; needs no_new_privs. Raises OSError."""
        if self._header is None:
            return
        zero = ctypes.c_ulong(0)
        if self._prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), self._header, zero, zero):
            number = ctypes.get_errno()
            raise OSError(number, f"seccomp: {os.strerror(number)}")
