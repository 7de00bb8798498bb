"""Asks the machine. What would change it is tried in a process of its own, or undone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from sabayon.doctor import calls
from sabayon.doctor.data import data_directory
from sabayon.doctor.facts import Cgroups, Clock, Facts, Kernel, Memory, Seccomp
from sabayon.errors import OperatorError
from sabayon.runtimes.manifest import Interpreter, find_interpreters
from sabayon.sandbox.base import Egress, SandboxUnavailable
from sabayon.sandbox.native import cgroups, landlock, linux, seccomp
from sabayon.sandbox.native.egress import started_plumbing
from sabayon.sandbox.native.keeper import ZygoteKeeper
from sabayon.sandbox.native.trees import Trees
from sabayon.serving import bind
from sabayon.settings import Settings, machine_memory_mb

MB: Final = 1024 * 1024
_NAMESPACES: Final = {
    "mount": linux.CLONE_NEWNS,
    "pid": linux.CLONE_NEWPID,
    "network": linux.CLONE_NEWNET,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
    "cgroup": linux.CLONE_NEWCGROUP,
}
_TRIAL_BYTES: Final = 16 * MB
_TRIAL_PROCESSES: Final = 4
_TRIAL_SHARES: Final = 256


def examine(settings: Settings) -> Facts:
    """All facts about this machine, for a platform with these settings and this user."""
    is_root = os.geteuid() == 0
    started = time.time() - time.monotonic()
    interpreters = find_interpreters()
    store, store_error = _store(settings.store)
    return Facts(
        is_root=is_root,
        kernel=_kernel(),
        namespaces=_namespaces(is_root=is_root),
        cgroups=_cgroups(is_root=is_root),
        seccomp=_seccomp(),
        landlock=landlock.version(),
        interpreters={kind: f"{i.path} {i.version}" for kind, i in interpreters.items()},
        zygotes=_zygotes(interpreters),
        memory=_memory(settings),
        data=data_directory(settings.data_dir),
        egress=settings.egress,
        egress_error=_egress_error(Egress(settings.egress)),
        sharing_error=asyncio.run(_sharing_error()) if is_root else "",
        store=store,
        store_error=store_error,
        open_files=_open_files(),
        address=f"{settings.host}:{settings.port}",
        address_error=_address_error(settings),
        clock=Clock(
            wall_s=time.time(),
            jump_s=time.time() - time.monotonic() - started,
            is_synchronised=calls.is_clock_synchronised(),
        ),
    )


def _store(url: str) -> tuple[str, str]:
    """What answers there, and why it cannot be used."""
    if not url:
        return "", ""
    from sabayon.store.postgres import server_of

    try:
        return asyncio.run(server_of(url)), ""
    except OperatorError as error:
        return "", str(error)


def _kernel() -> Kernel:
    name = platform.uname()
    return Kernel(
        system=name.system,
        release=name.release,
        machine=name.machine,
        pidfd_error=calls.refusal(lambda: os.pidfd_open(os.getpid())),
    )


def _namespaces(*, is_root: bool) -> Mapping[str, str]:
    """As the zygote makes them: an ordinary user's inside of a user namespace."""
    outer = 0 if is_root else linux.CLONE_NEWUSER

    def enter(flag: int) -> None:
        if outer:
            linux.unshare(outer)
        linux.unshare(flag)

    found = {name: calls.refusal(partial(enter, flag)) for name, flag in _NAMESPACES.items()}
    return {"user": calls.refusal(lambda: linux.unshare(linux.CLONE_NEWUSER)), **found}


def _cgroups(*, is_root: bool) -> Cgroups:
    mounts = Path("/proc/self/mounts").read_text()
    kinds = {line.split(" ")[2] for line in mounts.splitlines()}
    hierarchies = cgroups.find_hierarchies(mounts, Path("/proc/self/cgroup").read_text())
    return Cgroups(
        versions=frozenset(number for kind, number in (("cgroup", 1), ("cgroup2", 2)) if kind in kinds),
        controllers=frozenset[str]().union(*(hierarchy.controllers for hierarchy in hierarchies)),
        error=_cgroup_error(hierarchies) if is_root else "",
    )


def _cgroup_error(hierarchies: list[cgroups.Hierarchy]) -> str:
    """Make and remove a group with limits.

    Not in a child: groups of version 2 can only be divided by a process that is alone in its own.
    """
    own = cgroups.Cgroups(hierarchies)
    try:
        own.make()
        own.create("trial", memory_bytes=_TRIAL_BYTES, processes=_TRIAL_PROCESSES, cpu_shares=_TRIAL_SHARES)
    except OSError as error:
        return str(error)
    finally:
        own.close()
    return ""


def _egress_error(egress: Egress) -> str:
    """Make a way out and remove it."""
    if egress is Egress.NONE:
        return ""
    try:
        with started_plumbing(egress) as plumbing:
            for prepared in plumbing.prepare(egress, 1):
                prepared.close()
    except (OSError, SandboxUnavailable) as error:
        return str(error)
    return ""


async def _sharing_error() -> str:
    """Make what sandboxes are shown shared code with, and remove it."""
    trees = Trees()
    try:
        await trees.start()
    except OSError as error:
        return str(error)
    await trees.aclose()
    return ""


def _seccomp() -> Seccomp:
    program = seccomp.program()

    def install() -> None:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.Filter(program).install()

    return Seccomp(is_known=bool(program), error=calls.refusal(install))


def _zygotes(interpreters: Mapping[str, Interpreter]) -> Mapping[str, str]:
    """Start each and end it: nothing less tells whether their file system can be put together."""
    try:
        with started_plumbing(Egress.NONE) as plumbing:
            return {
                kind: asyncio.run(_zygote_error(ZygoteKeeper(interpreter, user_namespace=plumbing.user_namespace)))
                for kind, interpreter in interpreters.items()
            }
    except SandboxUnavailable as error:
        return dict.fromkeys(interpreters, str(error))


async def _zygote_error(keeper: ZygoteKeeper) -> str:
    try:
        await keeper.start()
    except SandboxUnavailable as error:
        return str(error)
    finally:
        await keeper.aclose()
    return ""


def _memory(settings: Settings) -> Memory:
    lines = Path("/proc/meminfo").read_text().splitlines()
    available_kb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return Memory(
        total_mb=machine_memory_mb(),
        available_mb=available_kb // 1024,
        group_mb=_group_mb(),
        pool_mb=settings.pool_memory_mb or machine_memory_mb() // 2,
        min_mb=settings.min_memory_mb,
        default_mb=settings.default_memory_mb,
        max_mb=settings.max_memory_mb,
    )


def _group_mb() -> int | None:
    """The least limit from where sandboxes have their groups upwards, as far as it can be seen from here."""
    hierarchies = cgroups.find_hierarchies(Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text())
    limits = []
    for hierarchy in (hierarchy for hierarchy in hierarchies if "memory" in hierarchy.controllers):
        name = "memory.limit_in_bytes" if hierarchy.version == 1 else "memory.max"
        for group in (hierarchy.base, *hierarchy.base.parents):
            with contextlib.suppress(OSError):
                text = (group / name).read_text().strip()
                limits += [int(text) // MB] if text != "max" else []
    least = min(limits, default=machine_memory_mb())
    return least if least < machine_memory_mb() else None


def _open_files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return int(Path("/proc/sys/fs/nr_open").read_text()) if hard == resource.RLIM_INFINITY else hard


def _address_error(settings: Settings) -> str:
    try:
        bind(settings.host, settings.port).close()
    except OperatorError as error:
        return str(error)
    return ""
