"""Dependency sets: folders of packages that an action can have in reach, imported already when it starts.

The operator keeps one folder of sets. Each folder in it is a set, named by it, filled by
`pip install --target FOLDER/NAME …`; a file `preload.txt` in it may name the modules to
import, one a line. Every set has a zygote of its own, started when it is first asked for.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from sabayon.sandbox.base import DependenciesUnusable
from sabayon.sandbox.native.keeper import ZygoteKeeper

logger = logging.getLogger("sabayon.sandbox")

WHERE: Final = "/dependencies"
"""Where an action sees its set."""

PRELOAD: Final = "preload.txt"
IDLE_S: Final = 600.0
"""How long the zygote of a set that nobody uses is kept."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FAILURE_S: Final = 5.0
"""How long it is not tried again what could not be imported."""


class DependencySet(NamedTuple):
    """path: never of a symbolic link. modules: to import; it may not fail where `is_chosen`.

    stamp: another one when the set has changed.
    """

    name: str
    path: Path
    modules: tuple[str, ...]
    is_chosen: bool
    stamp: tuple[int, ...]


def find_set(folder: Path | None, name: str) -> DependencySet:
    """The set of that name as it is now. Raises DependenciesUnusable."""
    if folder is None:
        raise DependenciesUnusable(f"There is no dependency set '{name}': this platform has none.")
    try:
        if _NAME.fullmatch(name) and (folder / name).is_dir():
            return _read_set(name, (folder / name).resolve())
        known = ", ".join(sorted(p.name for p in _entries(folder) if p.is_dir() and _NAME.fullmatch(p.name))) or "none"
    except (OSError, UnicodeDecodeError) as error:
        raise DependenciesUnusable(f"The dependency set '{name}' cannot be read: {error}") from error
    raise DependenciesUnusable(f"There is no dependency set '{name}'. Those of this platform: {known}.")


def _read_set(name: str, path: Path) -> DependencySet:
    """Raises OSError, UnicodeDecodeError."""
    preload = path / PRELOAD
    if not preload.exists():
        return DependencySet(name, path, tuple(sorted(_top_level(path))), False, _stamp(path))
    lines = preload.read_text().splitlines()
    chosen = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    return DependencySet(name, path, chosen, True, _stamp(path, preload))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _stamp(*paths: Path) -> tuple[int, ...]:
    return tuple(number for at in map(Path.stat, paths) for number in (at.st_dev, at.st_ino, at.st_mtime_ns))


def _top_level(folder: Path) -> set[str]:
    """The packages and modules in it, but for those whose name says that they are nobody else's business."""
    found = set()
    for entry in _entries(folder):
        name = entry.name.partition(".")[0]
        is_module = entry.suffix in (".py", ".so") or (entry / "__init__.py").exists()
        if is_module and name.isidentifier() and not name.startswith("_"):
            found.add(name)
    return found


class SetZygote:
    """The zygote of a set, and how many sandboxes that came out of it live: with it they would end."""

    def __init__(self, keeper: ZygoteKeeper, stamp: tuple[int, ...]) -> None:
        self.keeper = keeper
        self.stamp = stamp
        self.living = 0
        self.ending: asyncio.TimerHandle | None = None


class SetZygotes:
    """Zygotes by kind and set.

    make: a keeper for a kind and a set, not started.
    """

    def __init__(
        self, folder: Path | None, make: Callable[[str, DependencySet], ZygoteKeeper], *, idle_s: float = IDLE_S
    ) -> None:
        self._folder = folder
        self._make = make
        self._idle_s = idle_s
        self._current: dict[tuple[str, str], SetZygote] = {}
        self._all: set[SetZygote] = set()
        self._failures: dict[tuple[str, str, tuple[int, ...]], tuple[float, DependenciesUnusable]] = {}
        """By kind, name and stamp: until when it is not tried again, and what it failed with."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, kind: str, name: str) -> SetZygote:
        """That of the set as it is now, running; to be given back. Raises DependenciesUnusable, SandboxUnavailable."""
        now = asyncio.get_running_loop().time()
        wanted = find_set(self._folder, name)
        self._failures = {key: kept for key, kept in self._failures.items() if now < kept[0]}
        if failed := self._failures.get((kind, name, wanted.stamp)):
            raise failed[1]
        zygote = self._current.get((kind, name))
        if zygote is None or zygote.stamp != wanted.stamp:
            if zygote is not None:
                logger.info("the dependency set %s has changed: new containers get it as it is now", name)
                self._end_when_unused(zygote, 0.0)
            zygote = SetZygote(self._make(kind, wanted), wanted.stamp)
            self._current[kind, name] = zygote
            self._all.add(zygote)
        self._hold(zygote)
        try:
            await zygote.keeper.start()
        except BaseException as error:
            if isinstance(error, DependenciesUnusable):
                until = asyncio.get_running_loop().time() + _FAILURE_S
                self._failures[kind, name, wanted.stamp] = until, error
            self.give_back(zygote)
            raise
        return zygote

    def _hold(self, zygote: SetZygote) -> None:
        zygote.living += 1
        if zygote.ending is not None:
            zygote.ending.cancel()
            zygote.ending = None

    def give_back(self, zygote: SetZygote) -> None:
        """A sandbox of it has ended, or was none."""
        zygote.living -= 1
        self._end_when_unused(zygote, self._idle_s if zygote in self._current.values() else 0.0)

    def _end_when_unused(self, zygote: SetZygote, after_s: float) -> None:
        if not zygote.living:
            zygote.ending = asyncio.get_running_loop().call_later(after_s, self._end, zygote)

    def _end(self, zygote: SetZygote) -> None:
        self._current = {key: kept for key, kept in self._current.items() if kept is not zygote}
        self._all.discard(zygote)
        task = asyncio.get_running_loop().create_task(zygote.keeper.aclose(), name="end the zygote of a set")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End them all."""
        for zygote in list(self._all):
            if zygote.ending is not None:
                zygote.ending.cancel()
            self._end(zygote)
        if self._tasks:
            await asyncio.wait(self._tasks)
