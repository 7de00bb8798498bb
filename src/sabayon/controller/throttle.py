"""How often and how much at once: counted per namespace, in calendar minutes."""

from __future__ import annotations

from sabayon import messages
from sabayon.entity.identity import Identity
from sabayon.entity.limits import EffectiveLimits
from sabayon.errors import Rejection

MINUTE_MS = 60_000


class Minute:
    """Calls of each namespace in one calendar minute. Refused ones count too."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def check(self, identity: Identity, allowed: int, now_ms: int) -> None:
        """Count a call. Raises Rejection 429 when there are more than `allowed` in its minute."""
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        count = self._counts[identity.uuid] = self._counts.get(identity.uuid, 0) + 1
        if count > allowed:
            raise Rejection(429, messages.rate_exceeded(count, allowed))


class Throttle:
    """The counters of all namespaces of this controller, by the uuid of their key."""

    def __init__(self) -> None:
        self._invocations = Minute()
        self._fires = Minute()
        self._in_flight: dict[str, int] = {}

    def check_invocation(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count an invocation and take a place among those in flight. Raises Rejection 429, having taken none."""
        self.count_invocation(identity, limits, now_ms)
        self.take_place(identity, limits)

    def count_invocation(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count a request to invoke, which may turn out to be one that was made before. Raises Rejection 429."""
        self._invocations.check(identity, limits.invocations_per_minute, now_ms)

    def take_place(self, identity: Identity, limits: EffectiveLimits) -> None:
        """Take a place among the invocations in flight. Raises Rejection 429, having taken none."""
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
        self._fires.check(identity, limits.fires_per_minute, now_ms)

    def in_flight(self, identity: Identity) -> int:
        """Invocations that hold a place."""
        return self._in_flight.get(identity.uuid, 0)
