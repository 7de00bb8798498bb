"""How often and how much at once: counted per namespace, in calendar minutes.

Several controllers count for themselves, each up to its share: requests come to them in about equal numbers, and a
count that all share would be a question to the network in each request.
"""

from __future__ import annotations

from collections.abc import Callable

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
            next_minute_s = -(-(MINUTE_MS - now_ms % MINUTE_MS) // 1000)
            raise Rejection(429, messages.rate_exceeded(count, allowed), retry_after_s=next_minute_s)


def share(limit: int, controllers: int) -> int:
    """Of a limit, what one of so many controllers allows: at least 1, unless nothing is allowed at all."""
    return min(limit, max(1, limit // controllers))


class Throttle:
    """The counters of all namespaces of this controller, by the uuid of their key.

    controllers: how many there are now, this one included.
    """

    def __init__(self, controllers: Callable[[], int] = lambda: 1) -> None:
        self._controllers = controllers
        self._invocations = Minute()
        self._fires = Minute()
        self._in_flight: dict[str, int] = {}

    def check_invocation(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count an invocation and take a place among those in flight. Raises Rejection 429, having taken none."""
        self.count_invocation(identity, limits, now_ms)
        self.take_place(identity, limits)

    def count_invocation(self, identity: Identity, limits: EffectiveLimits, now_ms: int) -> None:
        """Count a request to invoke, which may turn out to be one that was made before. Raises Rejection 429."""
        self._invocations.check(identity, self._share(limits.invocations_per_minute), now_ms)

    def take_place(self, identity: Identity, limits: EffectiveLimits) -> None:
        """Take a place among the invocations in flight. Raises Rejection 429, having taken none."""
        in_flight = self._in_flight.get(identity.uuid, 0)
        allowed = self._share(limits.concurrent_invocations)
        if in_flight >= allowed:
            text = messages.concurrency_exceeded(in_flight, allowed)
            raise Rejection(429, text, retry_after_s=1)
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
        self._fires.check(identity, self._share(limits.fires_per_minute), now_ms)

    def in_flight(self, identity: Identity) -> int:
        """Invocations that hold a place."""
        return self._in_flight.get(identity.uuid, 0)

    def _share(self, limit: int) -> int:
        return share(limit, self._controllers())
