"""The provider as a whole."""

from __future__ import annotations

from sabayon.provider.alarms.api import AlarmsApi
from sabayon.provider.alarms.clock import Clock, SystemClock
from sabayon.provider.alarms.engine import Engine, Ledger
from sabayon.provider.alarms.platform import RestClient, RestPlatform
from sabayon.provider.alarms.validation import Policy

__all__ = ["AlarmsProvider", "Policy"]


class AlarmsProvider:
    """Timers over a ledger. `app` is served below `/provider/alarms`. client: with no key of its own."""

    def __init__(
        self, ledger: Ledger, client: RestClient, clock: Clock | None = None, policy: Policy | None = None
    ) -> None:
        clock = clock or SystemClock()
        self._platform = RestPlatform(client, clock)
        self._engine = Engine(ledger, self._platform, clock)
        self.app = AlarmsApi(self._engine, self._platform, clock, policy or Policy())

    async def start(self) -> None:
        """Begin to fire. The REST API must be served already."""
        await self._engine.start()

    async def aclose(self) -> None:
        await self._engine.aclose()
        self._platform.close()
