"""`sabayon controller`: the API on one host of several. Actions run where invokers are, which the bus leads to.

Controllers are equal, and hold nothing that a restart loses: what lasts is in the store that all share. Parts start in
the order of `start` and stop in the reverse:

1. socket, store: cheap to refuse
2. bus: nothing may be accepted before somebody can be asked to run it, and found to be well
3. what waits in the journal, of earlier runs and of controllers that are no more
4. HTTP server: from here on requests come in
5. the catalog, once invokers have said what they can run; timers, which one controller at a time fires
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
    OWN_API_S,
    StopSignals,
    api_address,
    bus_of,
    collect_rarely,
    home,
    host_name,
    now_ms,
    open_shared_store,
)
from sabayon.balancer.balancer import Balancer
from sabayon.balancer.instructions import State
from sabayon.bootstrap import ensure_namespaces
from sabayon.bus.nats import NatsBus
from sabayon.catalog.install import install_catalog
from sabayon.client import Client
from sabayon.controller.app import create_app
from sabayon.controller.balancing import Balancing
from sabayon.controller.deliverer import Deliverer
from sabayon.controller.pruning import prune_for_ever
from sabayon.controller.services import Services
from sabayon.controller.unfinished import Unfinished
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.settling import Settler
from sabayon.entity.manifest import Manifest
from sabayon.provider.alarms.app import Policy, SharedAlarmsProvider
from sabayon.serving import HttpServer, Router, bind
from sabayon.settings import Settings
from sabayon.store.retention import retention
from sabayon.stores import Store

logger = logging.getLogger("sabayon")

_LOOK_S: Final = 1.0
"""How often the journal is looked into: invokers and other controllers put work into it and do not say so."""

_HEARD_S: Final = 1.5
_TESTED_S: Final = 4.0
"""After joining the bus: for the heartbeats of invokers, each second if not at once, and for their tests."""

_FAREWELL_S: Final = 2.0
"""For connections that clients keep: each is closed with its next answer, and those without one after this time."""
_CATALOG_RETRY_S: Final = 10.0

_LAST_ANSWERS_S: Final = 1.0
"""After a second signal, for answers that are on their way."""


class Controller:
    """A component. open_store: gives the store, for a process of that name, which closes it."""

    def __init__(
        self,
        settings: Settings,
        stop: StopSignals,
        niceness: int,
        open_store: Callable[[Settings, str], Awaitable[Store]] = open_shared_store,
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
        name = f"{host_name()}-{secrets.token_hex(4)}"
        link, subjects = bus_of(settings, name)
        store = await self._open_store(settings, name)
        stack.push_async_callback(store.aclose)
        await stack.enter_async_context(retention(store.activations, settings.activation_retention))
        guest, system = await ensure_namespaces(store.identities, settings.guest_key)
        self.api_host = api_address(sock)
        data_directory.write_wskprops(settings.data_dir, self.api_host, guest.auth_key, home())

        stack.push_async_callback(link.aclose)
        agenda = Agenda(_LOOK_S)
        settler = Settler(store.activations, store.journal, agenda, now_ms)
        kinds = _Kinds()
        balancer = Balancer(name)
        chooser = Balancing(balancer, time.monotonic, kinds.learn)
        bus = NatsBus(link, subjects, name, chooser, Unfinished(settler, now_ms))
        stack.push_async_callback(bus.aclose)
        await link.start(BUS_PATIENCE_S)
        await bus.start()
        await _acquainted(balancer)

        services = Services(
            artifacts=store.artifacts,
            activations=store.activations,
            journal=store.journal,
            dead_letters=store.dead_letters,
            keys=store.keys,
            identities=store.identities,
            bus=bus,
            settler=settler,
            agenda=agenda,
            manifest=kinds.manifest,
            limits=settings.system_limits(),
            now_ms=now_ms,
            is_execute_only=settings.shared_packages_execute_only,
            most_in_flight=settings.accepted_in_flight,
        )
        client = Client(self.api_host, system.auth_key, is_direct=True, timeout_s=OWN_API_S)
        provider = self._provider(store, client, bus)
        router = Router()
        router.mount(
            "", create_app(services, is_access_logged=settings.access_log, controllers=lambda: bus.controllers)
        )
        router.mount("/provider/alarms/", provider.app)
        server = HttpServer(router, drain_s=settings.drain_s + 2)
        deliverer = Deliverer(services, bus.others)
        await deliverer.start()
        stack.push_async_callback(self._drain, server, services, settler)
        stack.push_async_callback(deliverer.aclose)
        await server.start(sock)
        await _start_clients(stack, store, client, provider, kinds.are_known)
        self.ready_line = f"Sabayon's controller {name} is ready at {self.api_host} · bus: {settings.installation}"
        collect_rarely()

    def _provider(self, store: Store, client: Client, bus: NatsBus) -> SharedAlarmsProvider:
        settings = self._settings
        policy = Policy(settings.alarms_seconds, settings.alarms_spread_s, settings.alarms_strict)
        ledger, lease = store.ledger("alarms"), store.lease()
        return SharedAlarmsProvider(ledger, lease, client, policy=policy, is_able=lambda: not bus.is_away)

    async def _drain(self, server: HttpServer, services: Services, settler: Settler) -> None:
        """Stop accepting; wait for what is under way, unless a second signal says otherwise."""
        hurry = asyncio.create_task(self._stop.second.wait())
        drain = asyncio.create_task(self._finish(server, services, settler))
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        settler.give_up()
        closing = asyncio.create_task(server.aclose())
        if hurry.done():
            await asyncio.wait((closing,), timeout=_LAST_ANSWERS_S)
            server.abandon()
        for task in (drain, hurry):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await closing

    async def _finish(self, server: HttpServer, services: Services, settler: Settler) -> None:
        """What clients send until they have found out that this controller leaves is accepted, and finished."""
        await server.retire(_FAREWELL_S)
        settler.give_up()
        await services.running.drain(self._settings.drain_s)


async def _acquainted(balancer: Balancer) -> None:
    """Until the invokers that are there can be given work, or it is clear that none is: they say so when asked.

    Who sends requests here takes a controller that listens for one that can run them.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (passed_s := loop.time() - began) < _TESTED_S:
        states = balancer.states().values()
        if (states and all(state is not State.UNHEALTHY for state in states)) or (not states and passed_s > _HEARD_S):
            return
        await asyncio.sleep(0.01)


class _Kinds:
    """What invokers can run, and whether that is known yet."""

    def __init__(self) -> None:
        self.manifest = Manifest({})
        self.are_known = asyncio.Event()

    def learn(self, kinds: frozenset[str]) -> None:
        self.manifest.learn(kinds)
        self.are_known.set()


async def _start_clients(
    stack: AsyncExitStack, store: Store, client: Client, provider: SharedAlarmsProvider, has_kinds: asyncio.Event
) -> None:
    """What goes on beside the requests, and needs them to be served."""
    for name, work in (
        ("key pruning", prune_for_ever(store.keys, now_ms)),
        ("catalog", _install_catalog(client, has_kinds)),
    ):
        stack.callback(asyncio.create_task(work, name=name).cancel)
    stack.push_async_callback(provider.aclose)
    await provider.start()


async def _install_catalog(client: Client, has_kinds: asyncio.Event) -> None:
    """Before an invoker has said what it can run, no action can be made."""
    await has_kinds.wait()
    while True:
        if await asyncio.to_thread(install_catalog, client):
            return
        await asyncio.sleep(_CATALOG_RETRY_S)
