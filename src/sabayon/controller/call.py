"""One authenticated request on its way through a handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sabayon.controller.entitlement import Entitlement
from sabayon.controller.http import Request
from sabayon.controller.services import Services
from sabayon.controller.throttle import Throttle
from sabayon.entity.identity import Identity
from sabayon.entity.limits import EffectiveLimits


class Slot:
    """A place among the invocations in flight. Whoever holds it gives it back exactly once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def take(self) -> Callable[[], None]:
        """Become its holder: the result gives it back, and does nothing when called again."""
        held = Slot(self._give_back or _nothing)
        self._give_back = None
        return held.release

    def release(self) -> None:
        """Give it back unless somebody has taken it, or it was given back before."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler works with.

    identity: the caller, limits: those in force for the caller's namespace.
    namespace: from the path, `_` resolved. parts: the segments after the collection, valid names:
    `()`, `(name,)` or `(package, name)`. slot: for invocations, the place among those in flight.
    """

    request: Request
    identity: Identity
    limits: EffectiveLimits
    namespace: str
    services: Services
    entitlement: Entitlement
    throttle: Throttle
    parts: tuple[str, ...]
    slot: Slot
