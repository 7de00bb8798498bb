"""What the platform's processes have in common: how one is run, and the parts that more than one of them has."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import uvloop

from sabayon.bus.address import bus_address
from sabayon.bus.link import Link
from sabayon.bus.subjects import Subjects, check_name
from sabayon.entity.limits import MB
from sabayon.errors import OperatorError
from sabayon.invoker.stem_cells import stem_cells_of
from sabayon.sandbox.base import Egress, SandboxDriver, SandboxUnavailable
from sabayon.sandbox.native.driver import NativeDriver, ServeApi
from sabayon.settings import Settings, machine_memory_mb
from sabayon.stores import Store, open_store
from sabayon.telemetry import configure_logging

logger = logging.getLogger("sabayon")

BUS_PATIENCE_S: Final = 30.0
"""How long a process waits for the bus when it starts."""

OWN_API_S: Final = 30.0
"""How long the platform waits for an answer of its own API before it takes it for lost."""

GARBAGE_THRESHOLD: Final = 50_000
"""New objects that stay before the youngest are looked through; Python's 700 come with every other request."""

FILES_OF_A_CONTAINER: Final = 6
"""Five of its sandbox, and one for a connection to the API or while it is replaced."""

FILES_FOR_CLIENTS: Final = 2048

NICENESS: Final = -10
"""Of the platform; what it runs has that with which it was started, 0 at least."""


class Component(Protocol):
    """A process of the platform. ready_line: what it prints once it has started."""

    ready_line: str

    async def start(self, stack: AsyncExitStack) -> None:
        """Start all parts, leaving on `stack` how each is stopped. Raises OperatorError."""
        ...


Make = Callable[[Settings, "StopSignals", int], Component]


def run(settings: Settings, make: Make) -> int:
    """Run a component until it is told to stop; the exit code. Raises OperatorError when it cannot start."""
    configure_logging(settings.log_level)
    _allow_many_open_files()
    niceness = _go_before_actions()
    return uvloop.run(_serve(settings, make, niceness))


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


async def _serve(settings: Settings, make: Make, niceness: int) -> int:
    stop = StopSignals()
    async with AsyncExitStack() as stack:
        component = make(settings, stop, niceness)
        if await _finished_before(component.start(stack), stop.first):
            print(component.ready_line, flush=True)
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


class StopSignals:
    """SIGINT and SIGTERM: the first asks to stop, the second not to wait for what is running."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def start_driver(
    stack: AsyncExitStack, settings: Settings, serve_api: ServeApi, *, api_port: int, niceness: int
) -> SandboxDriver:
    """The sandbox driver that `settings` ask for, started. Raises OperatorError."""
    if settings.sandbox != "native":
        raise OperatorError(f"there is no sandbox {settings.sandbox!r}; choose native")
    limits = settings.system_limits()
    driver = NativeDriver(
        api_port=api_port,
        serve_api=serve_api,
        result_limit_bytes=max(limits.payload_bytes, limits.truncation_bytes),
        egress=Egress(settings.egress),
        dependency_sets=_folder(settings.dependency_sets),
        code_cache_bytes=settings.code_cache_mb * MB,
        niceness=niceness,
    )
    stack.push_async_callback(driver.aclose)
    try:
        await driver.start()
    except SandboxUnavailable as error:
        raise OperatorError(f"cannot isolate actions on this machine: {error}") from error
    if not any(kind.startswith("nodejs:") for kind in driver.kinds):
        logger.warning("Node.js actions cannot run: there is no `node` on the PATH of this process")
    return driver


def invoker_settings(settings: Settings, driver: SandboxDriver) -> dict[str, Any]:
    """What the invoker is told besides its driver and its store."""
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


async def open_shared_store(settings: Settings, name: str) -> Store:
    """The store that several processes share, for the one of that name. Raises OperatorError."""
    if not settings.store:
        raise OperatorError("the processes of a cluster share a store; give its address with --store postgresql://…")
    return await open_store(settings.store, settings.data_dir, is_alone=False, holder=name)


def bus_of(settings: Settings, name: str) -> tuple[Link, Subjects]:
    """The connection of `name` to the bus that `settings` ask for, not yet made. Raises OperatorError."""
    if not settings.bus:
        raise OperatorError("there is no bus; give its address with --bus nats://HOST:PORT")
    address = bus_address(settings.bus, tls_ca=settings.bus_tls_ca, credentials=settings.bus_credentials)
    return Link(address, name), Subjects(check_name(settings.installation, "installation"))


def host_name() -> str:
    """This host's, as the bus can take it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:50] or "host"


def collect_rarely() -> None:
    """What is here at the end of the start stays. Requests make no cycles of note, so looking for them can wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def api_address(sock: socket.socket) -> str:
    """The address that clients on this machine use."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def home() -> Path | None:
    """The home directory of who started this process, if it has one."""
    home = os.environ.get("HOME")
    return Path(home) if home else None


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000
