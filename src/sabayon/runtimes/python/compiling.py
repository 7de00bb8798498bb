"""Compiles the modules of an archive once for all processes that will import them. Standard library only."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import time
from collections.abc import Iterator
from typing import Final

COMPILE_S: Final = 5.0
"""Of processor time, so that a busy machine does not make for worse code. After that the rest is left to its users."""

_BY_TIME: Final = py_compile.PycInvalidationMode.TIMESTAMP
"""An action may rewrite a module before it imports it."""

_BACK_S: Final = 1
"""Compiled files hold whole seconds: what is rewritten in the one it was unpacked in must not look unchanged."""

_IS_BY_HASH: Final = 1
"""In the flags of a compiled file, which follow its magic number."""


def compile_modules(folder: str) -> None:
    """Compile each module below `folder` beside its source, the nearest first, as far as the time reaches."""
    deadline = time.process_time() + COMPILE_S
    for path in _modules(folder):
        if time.process_time() > deadline:
            return
        try:
            if not _came_compiled(path):
                _set_back(path)
                py_compile.compile(path, doraise=True, invalidation_mode=_BY_TIME)
        except Exception:  # whoever imports it is told what is wrong with it
            continue


def _modules(folder: str) -> Iterator[str]:
    """Breadth first: what lies near the top is what an action imports first."""
    level = [folder]
    while level:
        below = []
        for directory in level:
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif entry.name.endswith(".py"):
                    yield entry.path
        level = below


def _set_back(path: str) -> None:
    found = os.stat(path)
    os.utime(path, (found.st_atime - _BACK_S, found.st_mtime - _BACK_S))


def _came_compiled(path: str) -> bool:
    """Whether the archive holds a compiled form that is valid whatever the time of its source says."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:  # noqa: PTH123
            return bool(int.from_bytes(file.read(8)[4:], "little") & _IS_BY_HASH)
    except OSError:
        return False
