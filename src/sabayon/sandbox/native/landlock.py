"""Landlock: a second wall behind the prepared root, which holds also where a mount is not what it should be.

A domain that is entered for good by a process and all it starts: it reads and executes
what it sees, and writes nowhere but in its own memory file systems and to devices. Where
the kernel knows it, nameless sockets and signals end at the domain as well. Needs no
privilege. Numbers and structs: landlock(7) and the kernel's userspace-api documentation.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from sabayon.sandbox.native import linux

LEAST: Final = 2
"""The first version that does not forbid to move files between folders altogether."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1
_BENEATH: Final = 1
_QUIET: Final = 1
"""From version 7: what it denies is not written to the audit log, which would be the action's to fill."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_RIGHTS: Final = {2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that are known from that version on; with 3 came TRUNCATE, with 5 IOCTL_DEV."""

_SCOPES: Final = 0b11
"""From version 6: abstract sockets and signals."""

_RULESET: Final = struct.Struct("=QQQ")
_PATH: Final = struct.Struct("=Qi")


def version() -> int:
    """Of the kernel's interface; 0 without it."""
    return max(0, linux.system_call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))


class Domain:
    """What sandboxes may do, laid out once. writable: folders in which they may do as they like."""

    def __init__(self, writable: tuple[str, ...]) -> None:
        known = version()
        self.is_there = known >= LEAST
        rights = max((bits for since, bits in _RIGHTS.items() if since <= known), default=0)
        attributes = _RULESET.pack(rights, 0, _SCOPES if known >= 6 else 0)
        self._size = ctypes.c_size_t(_RULESET.size if known >= 6 else 8)
        self._attributes = ctypes.create_string_buffer(attributes, len(attributes))
        self._flags = _QUIET if known >= 7 else 0
        devices = rights & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK)
        self._rules = [
            ("/", rights & (_EXECUTE | _READ_FILE | _READ_DIR)),
            ("/dev", devices & (_WRITE_FILE | 1 << 14 | 1 << 15)),
            *((path, rights & ~(_MAKE_CHAR | _MAKE_BLOCK)) for path in writable),
        ]

    def enter(self) -> None:
        """From now on, for good; needs no_new_privs. Nothing where the kernel has none. Raises OSError."""
        if not self.is_there:
            return
        ruleset = linux.checked_call("landlock", _CREATE_RULESET, self._attributes, self._size, 0)
        for path, rights in self._rules:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            linux.checked_call("landlock", _ADD_RULE, ruleset, _BENEATH, _PATH.pack(rights, beneath), 0)
            os.close(beneath)
        linux.checked_call("landlock", _RESTRICT_SELF, ruleset, self._flags)
        os.close(ruleset)
