"""`sabayon invoker`: runs actions on one host of several, as controllers ask for it over the bus.

Parts start in the order of `start` and stop in the reverse: store, sandbox driver, invoker, bus. When it is told to
stop it says so, hands back what has not begun, lets the rest end, and leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from sabayon import data_directory
from sabayon.assembly import (
    BUS_PATIENCE_S,
    StopSignals,
    bus_of,
    collect_rarely,
    host_name,
    invoker_settings,
    now_ms,
    open_shared_store,
    start_driver,
)
from sabayon.bus.intake import Intake
from sabayon.bus.subjects import check_name
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.settling import Settler
from sabayon.invoker.worker import Invoker
from sabayon.relay import Relay, upstream
from sabayon.settings import Settings
from sabayon.stores import Store

logger = logging.getLogger("sabayon")

API_PORT: Final = 3233
"""Where actions find the API, on their own loopback."""


class InvokerHost:
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
        self._niceness = niceness
        self._open_store = open_store
        self.ready_line = ""

    async def start(self, stack: AsyncExitStack) -> None:
        """See `Component`."""
        settings = self._settings
        name = check_name(settings.name, "name") if settings.name else host_name()
        relay = Relay(upstream(settings.api) if settings.api else None)
        link, subjects = bus_of(settings, name)
        stack.enter_context(data_directory.held(settings.data_dir))
        store = await self._open_store(settings, name)
        stack.push_async_callback(store.aclose)
        driver = await start_driver(stack, settings, relay.listen, api_port=API_PORT, niceness=self._niceness)
        # Controllers look into the journal for what is to be tried again; nobody waits for it here.
        settler = Settler(store.activations, store.journal, Agenda(), now_ms)
        invoker = Invoker(driver, store.artifacts, settler, **invoker_settings(settings, driver))
        await invoker.start()
        stack.push_async_callback(link.aclose)
        intake = Intake(link, subjects, name, invoker, started_ms=now_ms())
        stack.push_async_callback(self._leave, invoker, intake)
        await link.start(BUS_PATIENCE_S)
        await intake.start()
        kinds = ", ".join(sorted(driver.kinds)) or "none"
        isolation = f"isolation: {driver.level} · egress: {driver.egress}"
        self.ready_line = f"Sabayon's invoker {name} is ready · {isolation} · runtimes: {kinds}"
        collect_rarely()

    async def _leave(self, invoker: Invoker, intake: Intake) -> None:
        """Hand back, finish, leave; a second signal does not wait for what runs."""
        drain = asyncio.create_task(intake.drain(self._settings.drain_s))
        hurry = asyncio.create_task(self._stop.second.wait())
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, hurry):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await invoker.aclose()
        await intake.aclose()
