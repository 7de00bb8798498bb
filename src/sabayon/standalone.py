"""Everything in one process: SQLite, the in-memory bus, the native sandbox, timers.

Parts start in the order of `_start` and stop in the reverse, each after what depends on it:

1. data directory, then socket: cheap to refuse, nothing to undo; who starts twice is told of the other process
2. store: what all others read and write
3. sandbox driver, then invoker: nothing may be accepted before it can run
4. HTTP server: from here on requests come in
5. unfinished work of an earlier run, the catalog, timers: clients of what is up by now
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from sabayon import data_directory
from sabayon.bootstrap import ensure_namespaces
from sabayon.bus.memory import MemoryBus
from sabayon.catalog.install import install_catalog
from sabayon.client import Client
from sabayon.controller.app import create_app
from sabayon.controller.journal import recover
from sabayon.controller.services import Services
from sabayon.entity.limits import MB
from sabayon.entity.manifest import manifest_of
from sabayon.errors import OperatorError
from sabayon.invoker.stem_cells import stem_cells_of
from sabayon.invoker.worker import Invoker
from sabayon.provider.alarms.app import AlarmsProvider, Policy
from sabayon.sandbox.base import Egress, SandboxDriver, SandboxUnavailable
from sabayon.sandbox.native.driver import NativeDriver
from sabayon.serving import ASGIApp, HttpServer, bind
from sabayon.settings import Settings, machine_memory_mb
from sabayon.store.sqlite import SqliteStore
from sabayon.telemetry import configure_logging

logger = logging.getLogger("sabayon")

GARBAGE_THRESHOLD: Final = 50_000
"""New objects that stay before the youngest are looked through; Python's 700 come with every other request."""

FILES_OF_A_CONTAINER: Final = 6
"""Five of its sandbox, and one for a connection to the API or while it is replaced."""

FILES_FOR_CLIENTS: Final = 2048

NICENESS: Final = -10
"""Of the platform; what it runs has that with which it was started, 0 at least."""

_OWN_API_S: Final = 30.0
"""How long the platform waits for an answer of its own API before it takes it for lost."""

_LAST_ANSWERS_S: Final = 1.0
"""After a second signal, for answers whose activations have just been ended."""


def serve(settings: Settings) -> int:
    """Run the platform until it is told to stop; the exit code. Raises OperatorError when it cannot start."""
    configure_logging(settings.log_level)
    _allow_many_open_files()
    niceness = _go_before_actions()
    return uvloop.run(_serve(settings, niceness))


def _allow_many_open_files() -> None:
    """The usual bound is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _most_containers() -> int:
    """How many the open files of this process suffice for, with some left for clients."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (limit - min(FILES_FOR_CLIENTS, limit // 2)) // FILES_OF_A_CONTAINER)


def _go_before_actions() -> int:
    """The one process that serves everybody must not wait for its turn behind what one action computes.

    The niceness that is left for actions. Without the right to go before them, the kernel treats all alike.
    """
    found = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(NICENESS, found))
    return max(0, found)


async def _serve(settings: Settings, niceness: int) -> int:
    stop = _StopSignals()
    async with AsyncExitStack() as stack:
        platform = Standalone(settings, stop, niceness)
        if await _finished_before(platform.start(stack), stop.first):
            print(platform.ready_line, flush=True)
            await stop.first.wait()
            logger.info("stopping: running activations have %g s to finish", settings.drain_s)
    return 0


def _folder(setting: str) -> Path | None:
    return Path(setting).expanduser().absolute() if setting else None


async def _finished_before(work: Coroutine[Any, Any, None], event: asyncio.Event) -> bool:
    """Whether `work` was done before `event` was set; if not, it has been cancelled. Raises what `work` raises."""
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    working.cancel()
    try:
        await working
    except asyncio.CancelledError:
        return False
    return True


class _StopSignals:
    """SIGINT and SIGTERM: the first asks to stop, the second not to wait for what is running."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


class Standalone:
    """The assembly: the one place that knows every concrete driver."""

    def __init__(self, settings: Settings, stop: _StopSignals, niceness: int) -> None:
        self._settings = settings
        self._niceness = niceness
        self._stop = stop
        self.ready_line = ""

    async def start(self, stack: AsyncExitStack) -> None:
        """Start all parts, leaving on `stack` how each is stopped. Raises OperatorError."""
        settings = self._settings
        stack.enter_context(data_directory.held(settings.data_dir))
        sock = bind(settings.host, settings.port)
        stack.callback(sock.close)
        store = await SqliteStore.open(settings.data_dir / data_directory.DATABASE)
        stack.push_async_callback(store.aclose)
        if not data_directory.has_room(settings.data_dir):
            logger.warning("there is no room on the disk of %s: changes will be refused", settings.data_dir)
        guest, system = await ensure_namespaces(store.identities, settings.guest_key)
        api_host = _api_host(sock)
        properties = data_directory.write_wskprops(settings.data_dir, api_host, guest.auth_key, _home())

        router = _Router()
        server = HttpServer(router, drain_s=settings.drain_s + 2)
        driver = await self._start_driver(stack, server, sock.getsockname()[1])
        invoker = Invoker(driver, store.artifacts, store.activations, **self._invoker_settings(driver))
        stack.push_async_callback(invoker.aclose)
        await invoker.start()

        services = Services(
            artifacts=store.artifacts,
            activations=store.activations,
            journal=store.journal,
            identities=store.identities,
            bus=MemoryBus(invoker.accept, invoker.cancel),
            manifest=manifest_of(driver.kinds),
            limits=settings.system_limits(),
            now_ms=_now_ms,
            is_execute_only=settings.shared_packages_execute_only,
        )
        router.mount("", create_app(services, is_access_logged=settings.access_log))
        client = Client(api_host, system.auth_key, is_direct=True, timeout_s=_OWN_API_S)
        policy = Policy(settings.alarms_seconds, settings.alarms_spread_s, settings.alarms_strict)
        provider = AlarmsProvider(store.ledger("alarms"), client, policy=policy)
        router.mount("/provider/alarms/", provider.app)
        stack.push_async_callback(self._drain, server, invoker, services)
        await server.start(sock)
        await recover(services)
        await asyncio.to_thread(install_catalog, client)
        stack.push_async_callback(provider.aclose)
        await provider.start()
        self.ready_line = _ready_line(api_host, driver, properties)
        _collect_rarely()

    async def _start_driver(self, stack: AsyncExitStack, server: HttpServer, port: int) -> SandboxDriver:
        settings = self._settings
        if settings.sandbox != "native":
            raise OperatorError(f"there is no sandbox {settings.sandbox!r}; choose native")
        limits = settings.system_limits()
        driver = NativeDriver(
            api_port=port,
            serve_api=server.listen,
            result_limit_bytes=max(limits.payload_bytes, limits.truncation_bytes),
            egress=Egress(settings.egress),
            dependency_sets=_folder(settings.dependency_sets),
            code_cache_bytes=settings.code_cache_mb * MB,
            niceness=self._niceness,
        )
        stack.push_async_callback(driver.aclose)
        try:
            await driver.start()
        except SandboxUnavailable as error:
            raise OperatorError(f"cannot isolate actions on this machine: {error}") from error
        if not any(kind.startswith("nodejs:") for kind in driver.kinds):
            logger.warning("Node.js actions cannot run: there is no `node` on the PATH of this process")
        return driver

    def _invoker_settings(self, driver: SandboxDriver) -> dict[str, Any]:
        settings = self._settings
        return {
            "memory_mb": settings.pool_memory_mb or machine_memory_mb() // 2,
            "keep_alive_s": settings.keep_alive_s,
            "pause_grace_s": settings.pause_grace_s,
            "stem_cells": stem_cells_of(
                settings.stem_cell_classes,
                settings.stem_cells,
                driver.kinds,
                settings.system_limits().memory_mb,
                driver.egress,
            ),
            "limits": settings.system_limits(),
            "most_containers": _most_containers(),
        }

    async def _drain(self, server: HttpServer, invoker: Invoker, services: Services) -> None:
        """Stop accepting; give running activations their time, unless a second signal says otherwise."""
        closing = asyncio.create_task(server.aclose())
        drain = asyncio.create_task(self._finish(invoker, services))
        hurry = asyncio.create_task(self._stop.second.wait())
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        is_hurried = hurry.done()
        for task in (drain, hurry):
            task.cancel()
        await invoker.aclose()
        await services.running.drain()
        if is_hurried:
            await asyncio.wait((closing,), timeout=_LAST_ANSWERS_S)
            server.abandon()
        await closing

    async def _finish(self, invoker: Invoker, services: Services) -> None:
        """Sequences first: between two of their components the invoker has nothing to do."""
        deadline = time.monotonic() + self._settings.drain_s
        invoker.give_up_records()
        await services.running.drain(self._settings.drain_s)
        await invoker.drain(max(0.0, deadline - time.monotonic()))


class _Router:
    """Sends a request to the application mounted at the longest matching prefix."""

    def __init__(self) -> None:
        self._mounts: list[tuple[str, ASGIApp]] = []

    def mount(self, prefix: str, app: ASGIApp) -> None:
        self._mounts.append((prefix, app))
        self._mounts.sort(key=lambda mount: -len(mount[0]))

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        path: str = scope["path"]
        for prefix, app in self._mounts:
            if path.startswith(prefix):
                return app(scope, receive, send)
        raise NotImplementedError(f"nothing is mounted at {path}")


def _collect_rarely() -> None:
    """What is here at the end of the start stays. Requests make no cycles of note, so looking for them can wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def _api_host(sock: socket.socket) -> str:
    """The address that clients on this machine use."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def _home() -> Path | None:
    home = os.environ.get("HOME")
    return Path(home) if home else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _ready_line(api_host: str, driver: SandboxDriver, properties: Path) -> str:
    usage = "wsk is ready to use" if properties.name == ".wskprops" else f"for wsk: export WSK_CONFIG_FILE={properties}"
    kinds = ", ".join(sorted(driver.kinds)) or "none"
    isolation = f"isolation: {driver.level} · egress: {driver.egress}"
    return f"Sabayon is ready at {api_host} · {isolation} · runtimes: {kinds} · {usage}"
