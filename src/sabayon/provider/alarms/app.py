"""The provider as a whole."""

from __future__ import annotations

from collections.abc import Callable

from sabayon.provider.alarms.api import AlarmsApi
from sabayon.provider.alarms.clock import Clock, SystemClock
from sabayon.provider.alarms.engine import Engine, Ledger
from sabayon.provider.alarms.platform import RestClient, RestPlatform
from sabayon.provider.alarms.sharing import Lease, SharedTimers
from sabayon.provider.alarms.validation import Policy

__all__ = ["AlarmsProvider", "Policy", "SharedAlarmsProvider"]


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


class SharedAlarmsProvider:
    """One of several over the same ledger, of which the one with `lease` fires.

    is_able: whether this one can fire now. Else as `AlarmsProvider`.
    """

    def __init__(
        self, ledger: Ledger, lease: Lease, client: RestClient, *, policy: Policy, is_able: Callable[[], bool]
    ) -> None:
        clock = SystemClock()
        platform = self._platform = RestPlatform(client, clock)
        self._timers = SharedTimers(ledger, lease, lambda: Engine(ledger, platform, clock), is_able)
        self.app = AlarmsApi(self._timers, platform, clock, policy)

    async def start(self) -> None:
        """Begin to fire, when it is this one's turn. The REST API must be served already."""
        await self._timers.start()

    async def aclose(self) -> None:
        await self._timers.aclose()
        self._platform.close()
