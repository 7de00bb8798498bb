"""How often and how much at once: counted per namespace, in calendar minutes."""

from __future__ import annotations

from dataclasses import dataclass

from sabayon import messages
from sabayon.entity.identity import Identity
from sabayon.entity.limits import EffectiveLimits
from sabayon.errors import Rejection

MINUTE_MS = 60_000


@dataclass(slots=True)
class Window:
    """Calls in one calendar minute. Refused ones count too."""

    minute: int = 0
    count: int = 0

    def add(self, now_ms: int) -> int:
        """Count a call; how many there are in its minute now."""
        minute = now_ms // MINUTE_MS
        if minute != self.minute:
            self.minute, self.count = minute, 0
        self.count += 1
        return self.count


class Throttle:
    """The counters of all namespaces of this controller, by the uuid of their key."""

    def __init__(self) -> None:
        self._invocations: dict[str, Window] = {}
        self._fires: dict[str, Window] = {}
        self._in_flight: dict[str, int] = {}

    def check_invocation(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count an invocation and take a place among those in flight. Raises Rejection 429, having taken none."""
        _check_rate(self._invocations, identity, limits.invocations_per_minute, now_ms)
        in_flight = self._in_flight.get(identity.uuid, 0)
        if in_flight >= limits.concurrent_invocations:
            raise Rejection(429, messages.concurrency_exceeded(in_flight, limits.concurrent_invocations))
        self._in_flight[identity.uuid] = in_flight + 1

    def release(self, identity: Identity) -> None:
        """Give a place back."""
        left = self._in_flight.get(identity.uuid, 0) - 1
        if left > 0:
            self._in_flight[identity.uuid] = left
        else:
            self._in_flight.pop(identity.uuid, None)

    def check_fire(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count a trigger fire. Raises Rejection 429."""
        _check_rate(self._fires, identity, limits.fires_per_minute, now_ms)

    def in_flight(self, identity: Identity) -> int:
        """Invocations that hold a place."""
        return self._in_flight.get(identity.uuid, 0)


def _check_rate(windows: dict[str, Window], identity: Identity, allowed: int, now_ms: int) -> None:
    window = windows.get(identity.uuid)
    if window is None:
        window = windows[identity.uuid] = Window()
    count = window.add(now_ms)
    if count > allowed:
        raise Rejection(429, messages.rate_exceeded(count, allowed))
