"""The native driver, platform side: zygotes, and the sandboxes that come out of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from sabayon.deadlines import Deadlines
from sabayon.runtimes.manifest import Interpreter, find_interpreters
from sabayon.sandbox.base import DependenciesUnusable, Egress, SandboxSpec, SandboxUnavailable
from sabayon.sandbox.native import landlock, linux, seccomp
from sabayon.sandbox.native.cgroups import Cgroups, Group, find_hierarchies
from sabayon.sandbox.native.code import CodeCache, open_cache
from sabayon.sandbox.native.dependencies import WHERE, DependencySet, SetZygotes
from sabayon.sandbox.native.egress import Ways
from sabayon.sandbox.native.handles import Start, Started
from sabayon.sandbox.native.keeper import ZygoteKeeper
from sabayon.sandbox.native.sandbox import NativeSandbox, remove

logger = logging.getLogger("sabayon.sandbox")

MB: Final = 1024 * 1024
FIRST_UID: Final = 200_000
UIDS: Final = 50_000
PROCESSES: Final = 128
"""Threads count too: Node.js needs a dozen."""

BUILDER_SHARES: Final = 512
"""Of the processor, as many as the smallest action has by default: nobody needs to wait for a builder."""

PER_NAMESPACE_COUNTS: Final = (5, 14)
"""Before this kernel RLIMIT_NPROC counts all that the user runs on the machine, which is no measure of a sandbox."""

_NO_WAY_OUT: Final = "actions reach nothing but the platform's API, a way out cannot be made: %s"

ServeApi = Callable[[socket.socket], Callable[[], None]]
"""Serve the platform's API on a listening socket; calling the result stops it and closes the socket."""


class NativeDriver:
    """See the port. Needs root for all of it; as an ordinary user it does what user namespaces allow.

    api_port: where the platform's API appears on each sandbox's loopback.
    result_limit_bytes: how much of a reply is kept.
    egress: the most that sandboxes may reach; it comes down to nothing where this host cannot give it.
    dependency_sets: the folder of the sets, see `dependencies`.
    code_cache_bytes: for archives that sandboxes share; with 0, and where this host cannot share, each has its own.
    niceness: what sandboxes have of it at least, whatever this process has.
    """

    def __init__(
        self,
        *,
        api_port: int,
        serve_api: ServeApi,
        result_limit_bytes: int,
        egress: Egress = Egress.NONE,
        dependency_sets: Path | None = None,
        code_cache_bytes: int = 0,
        niceness: int = 0,
        interpreters: Mapping[str, Interpreter] | None = None,
    ) -> None:
        self._interpreters = dict(find_interpreters() if interpreters is None else interpreters)
        self._api_port = api_port
        self._serve_api = serve_api
        self._result_limit = result_limit_bytes
        self._egress = egress
        self._code_cache_bytes = code_cache_bytes
        self._niceness = niceness
        self._codes: CodeCache | None = None
        self._is_root = os.geteuid() == 0
        self._ways: Ways | None = None
        self._cgroups: Cgroups | None = None
        self._keepers: dict[str, ZygoteKeeper] = {}
        self._sets = SetZygotes(dependency_sets, self._keeper_of_set)
        self._sandboxes: dict[str, NativeSandbox] = {}
        self._numbers = itertools.count(1)
        self._taken_uids: set[int] = set()
        self._uids = (FIRST_UID + number % UIDS for number in itertools.count())
        self._missing: list[str] = []
        self._counts_processes = False
        self._is_closed = False

    @property
    def level(self) -> str:
        """As whom, and what is missing of the full isolation."""
        name = "root" if self._is_root else "unprivileged user namespaces"
        return f"{name} (without {', '.join(self._missing)})" if self._missing else name

    @property
    def egress(self) -> Egress:
        return self._ways.level if self._ways else Egress.NONE

    @property
    def kinds(self) -> Mapping[str, str]:
        return {kind: f"{i.path} {i.version}" for kind, i in self._interpreters.items()}

    async def start(self) -> None:
        """Sweep, make the cgroups and the way out, start a zygote per kind. Raises SandboxUnavailable."""
        self._deadlines = Deadlines()
        self._start_cgroups()
        await self._start_ways()
        if self._is_root and self._code_cache_bytes:
            self._codes = await open_cache(self._code_cache_bytes, self._create_builder)
        for kind, interpreter in self._interpreters.items():
            self._keepers[kind] = self._keeper(interpreter)
        results = await asyncio.gather(*(k.start() for k in self._keepers.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                await self.aclose()
                raise result

    def _keeper(self, interpreter: Interpreter, dependencies: Mapping[str, Any] | None = None) -> ZygoteKeeper:
        ways = self._ways
        assert ways is not None
        return ZygoteKeeper(
            interpreter,
            user_namespace=ways.user_namespace,
            resolv_conf=ways.resolv_conf,
            niceness=self._niceness,
            environment=self._environment(),
            dependencies=dependencies,
        )

    def _keeper_of_set(self, kind: str, chosen: DependencySet) -> ZygoteKeeper:
        interpreter = self._interpreters[kind]
        return self._keeper(
            interpreter._replace(binds=(*interpreter.binds, (str(chosen.path), WHERE))),
            {"where": WHERE, "modules": chosen.modules, "is_chosen": chosen.is_chosen},
        )

    def _start_cgroups(self) -> None:
        self._missing = [] if seccomp.program() else ["a system call filter for this processor"]
        self._missing += [] if landlock.version() >= landlock.LEAST else ["Landlock"]
        if not self._is_root:
            self._missing += ["memory and process limits by cgroups", "a user of its own for each sandbox"]
            self._counts_processes = linux.kernel_version() >= PER_NAMESPACE_COUNTS
            return
        cgroups = Cgroups(
            find_hierarchies(Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text())
        )
        try:
            cgroups.start()
        except OSError as error:
            raise SandboxUnavailable(f"cgroups cannot be used, so no limit would hold: {error}") from error
        self._missing += [f"the {controller} cgroup" for controller in cgroups.missing]
        self._counts_processes = "pids" in cgroups.missing  # of a sandbox's own user there are no others
        self._cgroups = cgroups

    async def _start_ways(self) -> None:
        self._ways = Ways(self._egress, api_port=self._api_port)
        try:
            await self._ways.start()
        except SandboxUnavailable as error:
            if self._egress is Egress.NONE:
                raise
            logger.warning(_NO_WAY_OUT, error)
            self._ways = Ways(Egress.NONE, api_port=self._api_port)
            await self._ways.start()

    async def create(self, spec: SandboxSpec) -> NativeSandbox:
        """A running sandbox without code. Raises SandboxUnavailable, DependenciesUnusable."""
        keeper = self._keepers.get(spec.kind)
        if keeper is None or self._is_closed:
            raise SandboxUnavailable(f"this host cannot start {spec.kind}")
        if not spec.dependencies:
            return await self._create(spec, keeper, lambda: None)
        if self._interpreters[spec.kind].argv:
            raise DependenciesUnusable("Dependency sets are for actions in Python.")
        zygote = await self._sets.take(spec.kind, spec.dependencies)
        return await self._create(spec, zygote.keeper, partial(self._sets.give_back, zygote))

    async def _create_builder(self, spec: SandboxSpec) -> NativeSandbox:
        keeper = self._keepers.get(spec.kind)
        if keeper is None or self._is_closed:
            raise SandboxUnavailable("the driver is closed")
        return await self._create(spec, keeper, lambda: None, BUILDER_SHARES)

    async def _create(
        self, spec: SandboxSpec, keeper: ZygoteKeeper, release: Callable[[], None], cpu_shares: int = 0
    ) -> NativeSandbox:
        """release: called once, when the sandbox has ended or could not be made. cpu_shares: 0 for as its memory."""
        name = f"{os.getpid()}-{next(self._numbers)}"
        uid = next(uid for uid in self._uids if uid not in self._taken_uids)
        self._taken_uids.add(uid)
        group = None
        try:
            group = self._group(name, spec.memory_mb, cpu_shares or max(64, spec.memory_mb * 4))
            started = await self._begun(keeper, self._start(spec, uid), self.egress.narrowed(spec.egress), group)
        except BaseException:
            self._taken_uids.discard(uid)
            release()
            if group:
                await asyncio.shield(asyncio.ensure_future(remove(group)))
            raise

        def gone() -> None:
            del self._sandboxes[name]
            self._taken_uids.discard(uid)
            release()

        stop_api = self._serve_api(started.listener)
        sandbox = NativeSandbox(
            name,
            uid=uid,
            started=started,
            group=group,
            result_limit_bytes=self._result_limit,
            deadlines=self._deadlines,
            stop_api=stop_api,
            on_destroyed=gone,
            kind=spec.kind,
            codes=self._codes,
        )
        self._sandboxes[name] = sandbox
        try:
            await sandbox.boot()
        except BaseException:
            await sandbox.destroy("it could not be started")
            raise
        return sandbox

    async def _begun(self, keeper: ZygoteKeeper, start: Start, egress: Egress, group: Group | None) -> Started:
        assert self._ways is not None
        prepared = await self._ways.take(egress)
        try:
            joins = _joins(group)
        except SandboxUnavailable:
            prepared.close()
            raise
        return await keeper.begin(start, joins, prepared)

    def _group(self, name: str, memory_mb: int, cpu_shares: int) -> Group | None:
        if self._cgroups is None:
            return None
        try:
            return self._cgroups.create(name, memory_bytes=memory_mb * MB, processes=PROCESSES, cpu_shares=cpu_shares)
        except OSError as error:
            raise SandboxUnavailable(f"cannot make a cgroup: {error}") from error

    def _start(self, spec: SandboxSpec, uid: int) -> Start:
        is_python = not self._interpreters[spec.kind].argv
        has_memory_group = self._cgroups is not None and "memory" not in self._cgroups.missing
        return Start(
            uid=uid if self._is_root else 0,
            gid=uid if self._is_root else 0,
            tmp_bytes=spec.memory_mb * MB // 2,
            address_space_bytes=spec.memory_mb * MB * 2 if is_python and not has_memory_group else 0,
            processes=PROCESSES if self._counts_processes else 0,
        )

    def _environment(self) -> dict[str, str]:
        """What all sandboxes begin with."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "__OW_API_HOST": f"http://127.0.0.1:{self._api_port}",
        }

    async def aclose(self) -> None:
        """Destroy all sandboxes, end the zygotes, remove the cgroups and the way out."""
        self._is_closed = True
        await asyncio.gather(*(s.destroy("the platform stops") for s in list(self._sandboxes.values())))
        for keeper in self._keepers.values():
            await keeper.aclose()
        await self._sets.aclose()
        if self._codes is not None:
            await self._codes.aclose()
        if self._cgroups is not None:
            await asyncio.to_thread(self._cgroups.close)
        if self._ways is not None:
            await self._ways.aclose()


def _joins(group: Group | None) -> list[int]:
    """Raises SandboxUnavailable."""
    try:
        return group.open_joins() if group else []
    except OSError as error:
        raise SandboxUnavailable(f"cannot open a cgroup: {error}") from error
