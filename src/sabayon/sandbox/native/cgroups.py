"""Control groups, version 1, 2 or both side by side: one group per sandbox, below one per platform process.

A platform's group is named `sabayon-PID-STARTTIME-NUMBER`, so that the next platform can
tell whether its owner still lives; the number tells drivers of one process apart. Files
and meanings: the kernel's cgroup documentation.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sabayon.sandbox.native.thaw import Thawer

CONTROLLERS: Final = ("memory", "pids", "cpu", "freezer")
_OPTIONAL: Final = ("io",)
"""Of the second version, used where it is there and not missed where it is not: few kernels weigh disks."""

_PREFIX: Final = "sabayon-"
_INDISPENSABLE: Final = ("memory.limit_in_bytes", "memory.max", "pids.max")
"""What a group must not be without. Kernels without swap accounting, or older ones, lack some of the other files."""

_REMOVAL_S: Final = 2.0
_numbers = itertools.count(1)


class Hierarchy(NamedTuple):
    """One mounted hierarchy. `controllers`: those of ours that it carries. `base`: the directory to make groups in."""

    base: Path
    version: int
    controllers: frozenset[str]


def find_hierarchies(mounts: str, own_groups: str, read: Callable[[Path], str] | None = None) -> list[Hierarchy]:
    """The usable hierarchies of this host.

    mounts: the text of /proc/self/mounts. own_groups: that of /proc/self/cgroup. read: reads the files of version 2.
    """
    found: list[Hierarchy] = []
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            carried = frozenset(options.split(",")) & frozenset(CONTROLLERS)
            if carried and not any(carried <= h.controllers for h in found):
                found.append(Hierarchy(_unescaped(point), 1, carried))
        elif kind == "cgroup2":
            base = _second_version_base(_unescaped(point), own_groups, read or _read)
            available = (read or _read)(base / "cgroup.controllers").split()
            carried = frozenset(available) & frozenset((*CONTROLLERS, *_OPTIONAL))
            if carried - frozenset(_OPTIONAL):
                found.append(Hierarchy(base, 2, carried | {"freezer"}))
    return found


def _unescaped(point: str) -> Path:
    """A mount point as it is: the table writes blanks and backslashes as three octal digits."""
    return Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point))


def _second_version_base(mount: Path, own_groups: str, read: Callable[[Path], str]) -> Path:
    """The group this process was put in by its service manager, if it is alone there; else the root of the mount.

    A service's group is its own to divide (`Delegate=yes`), one shared with other processes is not.
    """
    own = next((line[3:] for line in own_groups.splitlines() if line.startswith("0::")), "/")
    base = mount / own.lstrip("/")
    is_alone = read(base / "cgroup.procs").split() == [str(os.getpid())]
    return base if own != "/" and is_alone else mount


class Cgroups:
    """The groups of one platform process."""

    def __init__(self, hierarchies: list[Hierarchy]) -> None:
        self._hierarchies = hierarchies
        self._name = f"{_PREFIX}{os.getpid()}-{start_time(os.getpid())}-{next(_numbers)}"
        self._left: list[Path] = []
        self._thawers: list[Thawer] = []

    @property
    def missing(self) -> list[str]:
        """Controllers that no hierarchy carries."""
        return [c for c in CONTROLLERS if not any(c in h.controllers for h in self._hierarchies)]

    def start(self) -> None:
        """Sweep what dead platforms left, and make this one's parent groups. Raises OSError."""
        self.sweep()
        self.make()
        freezers = (h for h in self._hierarchies if h.version == 1 and "freezer" in h.controllers)
        self._thawers = [Thawer(freezer.base / self._name) for freezer in freezers]

    def make(self) -> None:
        """Make the parent groups alone. Raises OSError."""
        for hierarchy in self._hierarchies:
            parent = hierarchy.base / self._name
            parent.mkdir(exist_ok=True)
            if hierarchy.version == 2:
                self._delegate(hierarchy, parent)

    def _delegate(self, hierarchy: Hierarchy, parent: Path) -> None:
        """Let the controllers work below; for that no process may be in the groups between, this one included."""
        enabled = " ".join(f"+{c}" for c in sorted(hierarchy.controllers - {"freezer"}))
        is_root_group = not (hierarchy.base / "cgroup.type").exists()
        if not is_root_group and str(os.getpid()) in _read(hierarchy.base / "cgroup.procs").split():
            aside = parent / "platform"
            aside.mkdir(exist_ok=True)
            _write(aside / "cgroup.procs", "0")
            self._left.append(hierarchy.base)
        for path in (hierarchy.base, parent):
            if enabled:
                _write(path / "cgroup.subtree_control", enabled)

    def create(self, name: str, *, memory_bytes: int, processes: int, cpu_shares: int) -> Group:
        """A group with its limits set. cpu_shares: weight relative to 1024. Raises OSError."""
        group = Group([(hierarchy, hierarchy.base / self._name / name) for hierarchy in self._hierarchies])
        try:
            group.make()
            group.limit(memory_bytes, processes, cpu_shares)
        except OSError:
            group.try_remove()
            raise
        return group

    def sweep(self) -> None:
        """Kill and remove the groups of platforms that are gone."""
        for hierarchy in self._hierarchies:
            for parent in hierarchy.base.glob(f"{_PREFIX}*-*-*"):
                pid, started, _ = parent.name.removeprefix(_PREFIX).split("-", 2)
                if pid.isdigit() and start_time(int(pid)) != started:
                    _remove_tree(parent)

    def close(self) -> None:
        """Kill and remove all groups of this platform, which goes back to where it was."""
        for base in self._left:
            self._return_to(base)
        for hierarchy in self._hierarchies:
            _remove_tree(hierarchy.base / self._name)
        for thawer in self._thawers:
            thawer.close()

    def _return_to(self, base: Path) -> None:
        """A group with processes of its own cannot hand out controllers, so that is taken back first."""
        enabled = _read(base / "cgroup.subtree_control").split()
        for path in (base / self._name, base):
            with contextlib.suppress(OSError):
                _write(path / "cgroup.subtree_control", " ".join(f"-{c}" for c in enabled))
        with contextlib.suppress(OSError):
            _write(base / "cgroup.procs", "0")


class Group:
    """One sandbox's group in every hierarchy."""

    def __init__(self, paths: list[tuple[Hierarchy, Path]]) -> None:
        self._paths = paths

    def __repr__(self) -> str:
        return f"<Group {', '.join(str(path) for _, path in self._paths)}>"

    def make(self) -> None:
        """Make the directories. Raises OSError."""
        for _, path in self._paths:
            path.mkdir()

    def limit(self, memory_bytes: int, processes: int, cpu_shares: int) -> None:
        """Set the hard limits. Memory includes swap where the kernel accounts for it. Raises OSError."""
        for hierarchy, path in self._paths:
            for file, value in _limits(hierarchy, memory_bytes, processes, cpu_shares):
                with contextlib.suppress(*(() if file in _INDISPENSABLE else (FileNotFoundError,))):
                    _write(path / file, str(value))

    def open_joins(self) -> list[int]:
        """Descriptors to write `0` to, from a process of one thread, for joining. Raises OSError."""
        with contextlib.ExitStack() as opened:
            joins = []
            for hierarchy, path in self._paths:
                # A thread that moves itself need not wait, as a whole process does (some 10 ms), until no other forks.
                file = "tasks" if hierarchy.version == 1 else "cgroup.procs"
                joins.append(os.open(path / file, os.O_WRONLY | os.O_CLOEXEC))
                opened.callback(os.close, joins[-1])
            opened.pop_all()
            return joins

    def memory_bytes(self) -> int | None:
        """What is charged to the group now, None where no controller counts it."""
        for hierarchy, path in self._paths:
            if "memory" in hierarchy.controllers:
                file = "memory.usage_in_bytes" if hierarchy.version == 1 else "memory.current"
                text = _read(path / file)
                return int(text) if text else None
        return None

    def was_out_of_memory(self) -> bool:
        """Whether the kernel killed something in here for the memory limit."""
        for hierarchy, path in self._paths:
            if "memory" in hierarchy.controllers:
                file = "memory.oom_control" if hierarchy.version == 1 else "memory.events"
                return any(
                    line.startswith("oom_kill ") and line != "oom_kill 0" for line in _read(path / file).splitlines()
                )
        return False

    def freeze(self, *, is_frozen: bool) -> None:
        """Stop or continue every process. Raises OSError."""
        for hierarchy, path in self._paths:
            if "freezer" in hierarchy.controllers:
                if hierarchy.version == 1:
                    _write(path / "freezer.state", "FROZEN" if is_frozen else "THAWED")
                else:
                    _write(path / "cgroup.freeze", "1" if is_frozen else "0")

    def try_remove(self) -> bool:
        """Remove the group; False while processes are still ending in it."""
        for _, path in self._paths:
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno == errno.EBUSY:
                    return False
                raise
        return True


def _limits(hierarchy: Hierarchy, memory: int, processes: int, shares: int) -> Iterator[tuple[str, int]]:
    is_first = hierarchy.version == 1
    if "memory" in hierarchy.controllers:
        names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if is_first else ("memory.max",)
        yield from ((name, memory) for name in names)
        if not is_first:
            yield ("memory.swap.max", 0)
            yield ("memory.oom.group", 1)
    if "pids" in hierarchy.controllers:
        yield ("pids.max", processes)
    weight = min(10000, max(1, shares * 100 // 1024))
    if "cpu" in hierarchy.controllers:
        yield ("cpu.shares", max(2, shares)) if is_first else ("cpu.weight", weight)
    if "io" in hierarchy.controllers:
        yield ("io.weight", weight)


def _remove_tree(parent: Path) -> None:
    """Kill everything below `parent` and remove it; gives up on a group that does not get empty in time."""
    deadline = time.monotonic() + _REMOVAL_S
    while parent.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(parent, topdown=False):
            with contextlib.suppress(FileNotFoundError, OSError):
                _thaw_and_kill(Path(directory))
                os.rmdir(directory)
        time.sleep(0.01)


def _thaw_and_kill(path: Path) -> None:
    with contextlib.suppress(OSError):
        _write(path / "freezer.state", "THAWED")
    with contextlib.suppress(OSError):
        _write(path / "cgroup.freeze", "0")
    for pid in map(int, _read(path / "cgroup.procs").split()):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def start_time(pid: int) -> str:
    """When a process was started: field 22 of /proc/PID/stat; empty when there is no such process."""
    text = _read(Path(f"/proc/{pid}/stat"))
    return text.rpartition(")")[2].split()[19] if text else ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
