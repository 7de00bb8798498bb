"""One authenticated request on its way through a handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sabayon.controller.entitlement import Entitlement
from sabayon.controller.http import Request
from sabayon.controller.services import Services
from sabayon.controller.throttle import Throttle
from sabayon.entity.identity import Identity
from sabayon.entity.limits import EffectiveLimits


class Slot:
    """A place among the invocations in flight. Whoever holds it gives it back; twice is once."""

    __slots__ = ("_give_back", "_is_taken")

    def __init__(self, give_back: Callable[[], None] | None) -> None:
        self._give_back = give_back
        self._is_taken = False

    def take(self) -> Callable[[], None]:
        """Become its holder, who gives it back by calling the result."""
        self._is_taken = True
        return self._release

    def release(self) -> None:
        """Give it back unless somebody has taken it."""
        if not self._is_taken:
            self._release()

    def _release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class Call(NamedTuple):
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
