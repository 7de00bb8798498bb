"""`sabayon controller`: the API on one host of several. Actions run where invokers are, which the bus leads to.

Controllers are equal, and hold nothing that a restart loses: what lasts is in the store that all share. Parts start in
the order of `start` and stop in the reverse:

1. socket, store: cheap to refuse
2. bus: nothing may be accepted before somebody can be asked to run it
3. HTTP server: from here on requests come in
4. unfinished work of an earlier run
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from sabayon import data_directory
from sabayon.assembly import (
    BUS_PATIENCE_S,
    StopSignals,
    Store,
    api_address,
    bus_of,
    collect_rarely,
    home,
    host_name,
    now_ms,
    open_store,
)
from sabayon.balancer.balancer import Balancer
from sabayon.bootstrap import ensure_namespaces
from sabayon.bus.nats import NatsBus
from sabayon.controller.app import create_app
from sabayon.controller.balancing import Balancing
from sabayon.controller.ending import Ending
from sabayon.controller.journal import recover
from sabayon.controller.services import Services
from sabayon.entity.manifest import Manifest
from sabayon.serving import HttpServer, bind
from sabayon.settings import Settings

logger = logging.getLogger("sabayon")

_LAST_ANSWERS_S: Final = 1.0
"""After a second signal, for answers that are on their way."""


class Controller:
    """A component. open_store: gives the store, which the component closes."""

    def __init__(
        self,
        settings: Settings,
        stop: StopSignals,
        niceness: int,
        open_store: Callable[[Settings], Awaitable[Store]] = open_store,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._open_store = open_store
        self.ready_line = ""
        self.api_host = ""

    async def start(self, stack: AsyncExitStack) -> None:
        """See `Component`."""
        settings = self._settings
        stack.enter_context(data_directory.held(settings.data_dir))
        sock = bind(settings.host, settings.port)
        stack.callback(sock.close)
        store = await self._open_store(settings)
        stack.push_async_callback(store.aclose)
        guest, _ = await ensure_namespaces(store.identities, settings.guest_key)
        self.api_host = api_address(sock)
        data_directory.write_wskprops(settings.data_dir, self.api_host, guest.auth_key, home())

        name = f"{host_name()}-{secrets.token_hex(4)}"
        link, subjects = bus_of(settings, name)
        stack.push_async_callback(link.aclose)
        manifest = Manifest({})
        chooser = Balancing(Balancer(name), time.monotonic, manifest.learn)
        bus = NatsBus(link, subjects, name, chooser, Ending(store.activations, now_ms))
        stack.push_async_callback(bus.aclose)
        await link.start(BUS_PATIENCE_S)
        await bus.start()

        services = Services(
            artifacts=store.artifacts,
            activations=store.activations,
            journal=store.journal,
            identities=store.identities,
            bus=bus,
            manifest=manifest,
            limits=settings.system_limits(),
            now_ms=now_ms,
            is_execute_only=settings.shared_packages_execute_only,
        )
        server = HttpServer(create_app(services, is_access_logged=settings.access_log), drain_s=settings.drain_s + 2)
        stack.push_async_callback(self._drain, server, services)
        await server.start(sock)
        await recover(services)
        self.ready_line = f"Sabayon's controller {name} is ready at {self.api_host} · bus: {settings.installation}"
        collect_rarely()

    async def _drain(self, server: HttpServer, services: Services) -> None:
        """Stop accepting; wait for what is under way, unless a second signal says otherwise."""
        closing = asyncio.create_task(server.aclose())
        drain = asyncio.create_task(services.running.drain(self._settings.drain_s))
        hurry = asyncio.create_task(self._stop.second.wait())
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        if hurry.done():
            await asyncio.wait((closing,), timeout=_LAST_ANSWERS_S)
            server.abandon()
        for task in (drain, hurry):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await closing
