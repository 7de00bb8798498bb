"""The provider as a whole."""

from __future__ import annotations

from sabayon.client import Client
from sabayon.provider.alarms.api import AlarmsApi
from sabayon.provider.alarms.clock import SystemClock
from sabayon.provider.alarms.engine import Engine, Ledger
from sabayon.provider.alarms.platform import RestPlatform


class AlarmsProvider:
    """Timers over a ledger. `app` is served below `/provider/alarms`."""

    def __init__(self, ledger: Ledger, client: Client) -> None:
        clock = SystemClock()
        self._platform = RestPlatform(client)
        self._engine = Engine(ledger, self._platform, clock)
        self.app = AlarmsApi(self._engine, self._platform, clock)

    async def start(self) -> None:
        """Begin to fire. The REST API must be served already."""
        await self._engine.start()

    async def aclose(self) -> None:
        await self._engine.aclose()
        self._platform.close()
