"""What a platform could leave behind on its machine, told by the platform's process id."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
INPUT = {"x86_64": {"0", "232", "281"}, "aarch64": {"22", "63"}}[os.uname().machine]
"""The numbers of read, epoll_wait and epoll_pwait, by which launchers wait for what to do."""


class Watch:
    """Follows one platform: its processes while it runs, to find them again when it is gone.

    Other platforms may run on the machine at the same time; they are not looked at.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: set[tuple[int, str]] = set()
        self._mounts = set(mounts())

    def look(self) -> None:
        """Remember the platform's present processes: those it holds, and what descends from them."""
        running = list(processes())
        parents = {pid: parent for pid, parent, _ in running}
        own = held_processes(self._pid) | {self._pid}
        for pid, _, started in running:
            ancestor = pid
            while ancestor in parents and ancestor not in own:
                ancestor = parents[ancestor]
            if ancestor in own:
                self._known.add((pid, started))

    @property
    def seen(self) -> int:
        """How many processes the platform was seen to have."""
        return len(self._known)

    def leftovers(self) -> set[str]:
        """Processes, mounts, control groups, network interfaces and tables of rules that are still there.

        Network namespaces end with their processes.
        """
        alive = {f"process {pid}" for pid, _, started in processes() if (pid, started) in self._known}
        groups = {f"cgroup {path}" for path in cgroups() if f"sabayon-{self._pid}-" in path}
        traces = {name for name in network() if f"sabayon-{self._pid}-" in name or f"sby{self._pid}-" in name}
        return alive | groups | traces | {f"mount {line}" for line in mounts() - self._mounts}


def footprint(pid: int, *folders: Path) -> Counter[str]:
    """What a platform takes of its machine while it runs, counted by kind.

    Of the descriptors those of the platform and its zygotes; of the files those in `folders`.
    """
    zygotes = zygotes_of(pid)
    return Counter(
        {
            "zygote": len(zygotes),
            "sandbox": len(sandboxes_of(pid)),
            "cgroup": sum(f"sabayon-{pid}-" in path for path in cgroups()),
            "interface or table": sum(f"sabayon-{pid}-" in name or f"sby{pid}-" in name for name in network()),
            **Counter(f"descriptor of {kind}" for process in (pid, *zygotes) for kind in _descriptors(process)),
            **{f"file {path}": 1 for folder in folders for path in folder.rglob("*")},
        }
    )


def _descriptors(pid: int) -> Iterator[str]:
    """What each descriptor of a process is open on, without the numbers that tell sockets and the like apart."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield re.sub(r"\d+", "N", str(entry.readlink()))


def zygotes_of(pid: int) -> set[int]:
    """The zygotes of a platform, each the first process of a pid namespace."""
    return {held for held, depth in _held(pid) if depth == 2}


def sandboxes_of(pid: int, zygote: int | None = None) -> set[int]:
    """The first processes of a platform's sandboxes, whose pid namespaces are inside of their zygotes'.

    zygote: only of those that end with it.
    """
    found = {held for held, depth in _held(pid) if depth == 3}
    return found if zygote is None else {own for own, parent, _ in processes() if own in found and parent == zygote}


def waits_for_input(pid: int) -> bool:
    """Whether a process waits for something to read, as a launcher does that has nothing to run; also if suspended."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in INPUT
    except OSError:
        return False


def _held(pid: int) -> Iterator[tuple[int, int]]:
    """Each process that a process holds by a descriptor, and how many pid namespaces deep it is."""
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found = dict(line.split(":", 1) for line in entry.read_text().splitlines() if ":" in line)
            if "NSpid" in found and int(found["Pid"]) > 0:
                yield int(found["Pid"]), len(found["NSpid"].split())


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def shared_memory() -> set[str]:
    """Files in the host's shared memory."""
    return {str(path) for path in Path("/dev/shm").rglob("*")}


def processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, start time) of each process that has not ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield int(entry.name), int(fields[1]), fields[19]


def held_processes(pid: int) -> set[int]:
    """The processes that a process holds by a descriptor; zygotes and sandboxes are no children of the platform."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found.update(int(line[4:]) for line in entry.read_text().splitlines() if line.startswith("Pid:"))
    return found


def mounts() -> set[str]:
    """Mounts of this mount namespace."""
    return set(Path("/proc/self/mounts").read_text().splitlines())


def network() -> set[str]:
    """Interfaces, and tables of rules where there is a tool that tells them."""
    found = {f"interface {name}" for _, name in socket.if_nameindex()}
    if tool := shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        listed = subprocess.run([tool, "list", "tables"], capture_output=True, text=True, check=False).stdout
        found |= set(listed.splitlines())
    return found


def cgroups() -> Iterator[str]:
    """Control groups of any hierarchy that a platform has made, and those inside of them."""
    for directory, names, _ in os.walk(GROUPS):
        yield from (path for name in names if "/sabayon-" in (path := f"{directory}/{name}"))
