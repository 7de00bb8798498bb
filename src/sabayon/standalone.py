"""Everything in one process: the store, the in-memory bus, the native sandbox, timers.

Parts start in the order of `_start` and stop in the reverse, each after what depends on it:

1. data directory, then socket: cheap to refuse, nothing to undo; who starts twice is told of the other process
2. store: what all others read and write
3. sandbox driver, then invoker: nothing may be accepted before it can run
4. HTTP server: from here on requests come in
5. unfinished work of an earlier run, the catalog, timers: clients of what is up by now
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from sabayon import data_directory
from sabayon.assembly import (
    OWN_API_S,
    StopSignals,
    api_address,
    collect_rarely,
    home,
    invoker_settings,
    now_ms,
    run,
    start_driver,
)
from sabayon.bootstrap import ensure_namespaces
from sabayon.bus.memory import MemoryBus
from sabayon.catalog.install import install_catalog
from sabayon.client import Client
from sabayon.controller.app import create_app
from sabayon.controller.deliverer import Deliverer
from sabayon.controller.pruning import prune_for_ever
from sabayon.controller.services import Services
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.settling import Settler
from sabayon.entity.manifest import manifest_of
from sabayon.invoker.worker import Invoker
from sabayon.provider.alarms.app import AlarmsProvider, Policy
from sabayon.sandbox.base import SandboxDriver
from sabayon.serving import HttpServer, Router, bind
from sabayon.settings import Settings
from sabayon.store.retention import retention
from sabayon.stores import open_store

logger = logging.getLogger("sabayon")

_LAST_ANSWERS_S: Final = 1.0
"""After a second signal, for answers whose activations have just been ended."""


def serve(settings: Settings) -> int:
    """Run the platform until it is told to stop; the exit code. Raises OperatorError when it cannot start."""
    return run(settings, Standalone)


class Standalone:
    """The assembly: the one place that knows every concrete driver."""

    def __init__(self, settings: Settings, stop: StopSignals, niceness: int) -> None:
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
        store = await open_store(settings.store, settings.data_dir, is_alone=True)
        stack.push_async_callback(store.aclose)
        await stack.enter_async_context(retention(store.activations, settings.activation_retention))
        if not data_directory.has_room(settings.data_dir):
            logger.warning("there is no room on the disk of %s: changes will be refused", settings.data_dir)
        guest, system = await ensure_namespaces(store.identities, settings.guest_key)
        api_host = api_address(sock)
        properties = data_directory.write_wskprops(settings.data_dir, api_host, guest.auth_key, home())

        router = Router()
        server = HttpServer(router, drain_s=settings.drain_s + 2)
        driver = await start_driver(
            stack, settings, server.listen, api_port=sock.getsockname()[1], niceness=self._niceness
        )
        agenda = Agenda()
        settler = Settler(store.activations, store.journal, agenda, now_ms)
        invoker = Invoker(driver, store.artifacts, settler, **invoker_settings(settings, driver))
        stack.push_async_callback(invoker.aclose)
        await invoker.start()

        services = Services(
            artifacts=store.artifacts,
            activations=store.activations,
            journal=store.journal,
            dead_letters=store.dead_letters,
            keys=store.keys,
            identities=store.identities,
            bus=MemoryBus(invoker.accept, invoker.cancel),
            settler=settler,
            agenda=agenda,
            manifest=manifest_of(driver.kinds),
            limits=settings.system_limits(),
            now_ms=now_ms,
            is_execute_only=settings.shared_packages_execute_only,
            most_in_flight=settings.accepted_in_flight,
        )
        router.mount("", create_app(services, is_access_logged=settings.access_log))
        client = Client(api_host, system.auth_key, is_direct=True, timeout_s=OWN_API_S)
        policy = Policy(settings.alarms_seconds, settings.alarms_spread_s, settings.alarms_strict)
        provider = AlarmsProvider(store.ledger("alarms"), client, policy=policy)
        router.mount("/provider/alarms/", provider.app)
        deliverer = Deliverer(services)
        await deliverer.start()
        stack.push_async_callback(self._drain, server, invoker, services)
        stack.push_async_callback(deliverer.aclose)
        await server.start(sock)
        pruning = asyncio.create_task(prune_for_ever(store.keys, now_ms), name="key pruning")
        stack.callback(pruning.cancel)
        await asyncio.to_thread(install_catalog, client)
        stack.push_async_callback(provider.aclose)
        await provider.start()
        self.ready_line = _ready_line(api_host, driver, properties)
        collect_rarely()

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


def _ready_line(api_host: str, driver: SandboxDriver, properties: Path) -> str:
    usage = "wsk is ready to use" if properties.name == ".wskprops" else f"for wsk: export WSK_CONFIG_FILE={properties}"
    kinds = ", ".join(sorted(driver.kinds)) or "none"
    isolation = f"isolation: {driver.level} · egress: {driver.egress}"
    return f"Sabayon is ready at {api_host} · {isolation} · runtimes: {kinds} · {usage}"
