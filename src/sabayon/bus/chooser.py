"""What a bus between machines needs of the controller: who chooses invokers, and how what went wrong ends."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from sabayon.bus.base import ActivationMessage
from sabayon.bus.heartbeat import Heartbeat
from sabayon.entity.activation import Activation


class Orders(NamedTuple):
    """What follows from an event. lost: numbers of what invokers had that are down. tests: to be sent, as (invoker,
    number)."""

    lost: tuple[int, ...] = ()
    tests: tuple[tuple[str, int], ...] = ()


NOTHING = Orders()


class Chooser(Protocol):
    """The load balancer, with a clock. A number names one sending of an activation."""

    def choose(self, message: ActivationMessage, number: int, avoid: frozenset[str]) -> str:
        """The invoker that gets `message`, whose memory is taken until `ended` or lost. Raises Overloaded.

        avoid: invokers that must not get it.
        """
        ...

    def ended(self, number: int, *, is_fault: bool, is_usable: bool) -> Orders:
        """It has ended, or is given up. is_fault: by a fault of the platform's. is_usable: whether its container is."""
        ...

    def heard(self, heartbeat: Heartbeat) -> Orders:
        """An invoker has given a sign of life."""
        ...

    def heard_controller(self, name: str, *, is_leaving: bool) -> None:
        """A controller, this one perhaps, is there, or ends."""
        ...

    def tested(self, invoker: str, number: int, *, is_good: bool) -> Orders:
        """A test has ended."""
        ...

    def was_deaf(self, seconds: float) -> None:
        """Nobody could be heard for so long."""
        ...

    def tick(self) -> Orders:
        """Time has passed; twice a second."""
        ...


class Fate(StrEnum):
    """Why no invoker brings an activation to its end.

    LOST: its invoker is down, and it may have begun. NOWHERE: no invoker took it for too long. CANCELLED: before any
    had it.
    """

    LOST = "lost"
    NOWHERE = "nowhere"
    CANCELLED = "cancelled"


class Endings(Protocol):
    """Ends what no invoker does."""

    async def end(self, message: ActivationMessage, fate: Fate) -> Activation | None:
        """The activation, its record stored; None if a lost one is to be sent again. Raises nothing."""
        ...
