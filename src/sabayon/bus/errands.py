"""What a controller has dispatched and not seen the end of. Pure: events and the time in, what follows out.

Each *errand* is one activation. It waits for an invoker, is sent, is held by the invoker, and is over. A message, or
the answer to one, may be lost at any time, so nothing is concluded from silence: the invoker is asked, again and
again, until it answers or is down. What it has never seen it will not take any more, and has certainly not begun.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sabayon.bus.base import ActivationMessage

ACK_S: Final = 1.0
"""How long an invoker may take to say that it has a message, and how often it is asked after that."""

ASK_S: Final = 5.0
"""How often it is asked about what it has: the end may have been lost on the way."""

WAIT_S: Final = 60.0
MOST_SENDINGS: Final = 64
"""How long, and how often, an invoker is looked for for what is in no journal. One that has died, and is not known to
have, is tried twice a second."""


class State(StrEnum):
    """Where an errand is."""

    WAITING = "waiting"
    SENT = "sent"
    HELD = "held"
    OVER = "over"


@dataclass(slots=True, eq=False)
class Errand:
    """One activation on its way.

    number, invoker: of the last sending. since: when it came into its state, or was last asked about. sendings: how
    often it was sent. avoid: invokers that did not take it.
    """

    message: ActivationMessage
    since: float
    state: State = State.WAITING
    number: int = 0
    invoker: str = ""
    sendings: int = 0
    avoid: frozenset[str] = frozenset()

    @property
    def is_promised(self) -> bool:
        """Whether somebody has been told that it will run, or it is a part of what is under way: it is not refused."""
        return self.message.is_journaled or self.message.cause is not None

    def is_hopeless(self, now: float) -> bool:
        """Whether it has waited, or been sent, so often that its end is better than more of that."""
        if self.message.is_journaled or self.state is not State.WAITING:
            return False
        return now - self.since >= WAIT_S or self.sendings >= MOST_SENDINGS


class Errands:
    """All errands of one controller."""

    def __init__(self) -> None:
        self._numbers = 0
        self._waiting: OrderedDict[Errand, None] = OrderedDict()
        self._out: dict[int, Errand] = {}
        self._settled: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._out)

    @property
    def waiting(self) -> int:
        """How many have no invoker."""
        return len(self._waiting)

    def next_number(self) -> int:
        """A number that no sending has had."""
        self._numbers += 1
        return self._numbers

    def all(self) -> Iterator[Errand]:
        """Each of them."""
        yield from list(self._waiting)
        yield from list(self._out.values())

    def find_waiting(self, namespace: str, activation_id: str) -> Errand | None:
        """One that no invoker has, by its activation."""
        for errand in self._waiting:
            message = errand.message
            if message.activation_id == activation_id and message.identity.namespace == namespace:
                return errand
        return None

    def first_waiting(self) -> Errand | None:
        """The one that has waited for longest."""
        return next(iter(self._waiting), None)

    def wait(self, errand: Errand, now: float) -> None:
        """It has no invoker, and needs one."""
        self._out.pop(errand.number, None)
        errand.state, errand.since = State.WAITING, now
        self._waiting[errand] = None

    def sent(self, errand: Errand, number: int, invoker: str, now: float) -> None:
        """It is on the way to `invoker`."""
        self._waiting.pop(errand, None)
        errand.state, errand.since = State.SENT, now
        errand.number, errand.invoker = number, invoker
        errand.sendings += 1
        self._out[number] = errand

    def held(self, numbers: Iterable[int], now: float) -> None:
        """Their invoker has them, and they may have begun."""
        for number in numbers:
            if errand := self._out.get(number):
                errand.state, errand.since = State.HELD, now

    def at(self, invoker: str) -> list[int]:
        """The sendings to `invoker` that are not over."""
        return [number for number, errand in self._out.items() if errand.invoker == invoker]

    def is_held(self, number: int) -> bool:
        """Whether it may have begun at its invoker, which has said that it has it."""
        errand = self._out.get(number)
        return errand is not None and errand.state is State.HELD

    def take(self, number: int, *, is_settled: bool = False) -> Errand | None:
        """The errand of a sending that is over, which is out no more; None if that is known already.

        is_settled: its invoker is waiting to hear that its end is known.
        """
        errand = self._out.pop(number, None)
        if errand is not None and is_settled:
            self._settled.setdefault(errand.invoker, []).append(number)
        return errand

    def end(self, errand: Errand) -> None:
        """It is over."""
        self._waiting.pop(errand, None)
        self._out.pop(errand.number, None)
        errand.state = State.OVER

    def refused(self, number: int, now: float) -> Errand | None:
        """It has not begun at its invoker, and will not: it waits for another one. None if that sending is over."""
        errand = self._out.get(number)
        if errand is not None:
            errand.avoid |= {errand.invoker}
            self.wait(errand, now)
        return errand

    def hopeless(self, now: float) -> list[Errand]:
        """Those that wait in vain."""
        return [errand for errand in self._waiting if errand.is_hopeless(now)]

    def questions(self, now: float, *, of_all: bool = False) -> dict[str, list[int]]:
        """What is to be asked now, by invoker. of_all: answers may be lost, so no matter how long ago it was sent."""
        found: dict[str, list[int]] = {}
        for number, errand in self._out.items():
            if of_all or now - errand.since >= (ACK_S if errand.state is State.SENT else ASK_S):
                errand.since = now
                found.setdefault(errand.invoker, []).append(number)
        return found

    def settled(self) -> dict[str, list[int]]:
        """What to tell the invokers, once."""
        settled, self._settled = self._settled, {}
        return settled
