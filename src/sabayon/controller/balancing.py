"""The load balancer as the bus asks it: with a clock, and telling the log what is new."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sabayon.balancer.balancer import Balancer
from sabayon.balancer.instructions import Changed, Instruction, Job, Lost, Refused, SendTest, State
from sabayon.bus.base import ActivationMessage
from sabayon.bus.chooser import NOTHING, Orders
from sabayon.bus.heartbeat import Heartbeat
from sabayon.errors import Overloaded

logger = logging.getLogger("sabayon.controller")


class Balancing:
    """See the port `Chooser`. clock: seconds, never going back.

    on_kinds: called with all kinds that invokers have been able to run, when there are more. None is taken back: an
    invoker that goes may come back, and actions of its kinds are there all the time.
    """

    def __init__(
        self, balancer: Balancer, clock: Callable[[], float], on_kinds: Callable[[frozenset[str]], None]
    ) -> None:
        self._balancer = balancer
        self._clock = clock
        self._on_kinds = on_kinds
        self._kinds: frozenset[str] = frozenset()

    def choose(self, message: ActivationMessage, number: int, avoid: frozenset[str]) -> str:
        job = Job.of(message, avoid)._replace(id=str(number))
        choice = self._balancer.place(job)
        if isinstance(choice, Refused):
            raise Overloaded(choice.reason.value, choice.retry_after_s)
        return choice.invoker

    def ended(self, number: int, *, is_fault: bool, is_usable: bool) -> Orders:
        return _orders(self._balancer.finished(str(number), self._clock(), is_fault=is_fault, is_usable=is_usable))

    def heard(self, heartbeat: Heartbeat) -> Orders:
        if not heartbeat.kinds <= self._kinds:
            self._kinds |= heartbeat.kinds
            self._on_kinds(self._kinds)
        return _orders(self._balancer.heard(heartbeat, self._clock()))

    def heard_controller(self, name: str, *, is_leaving: bool) -> None:
        if is_leaving:
            self._balancer.controller_left(name)
        else:
            self._balancer.heard_controller(name, self._clock())

    def tested(self, invoker: str, number: int, *, is_good: bool) -> Orders:
        return _orders(self._balancer.tested(invoker, number, self._clock(), is_good=is_good))

    def was_deaf(self, seconds: float) -> None:
        self._balancer.was_deaf(seconds, self._clock())

    def tick(self) -> Orders:
        return _orders(self._balancer.tick(self._clock()))


def _orders(instructions: Iterable[Instruction]) -> Orders:
    lost: list[int] = []
    tests: list[tuple[str, int]] = []
    for instruction in instructions:
        match instruction:
            case Changed(invoker, state, why):
                level = logging.INFO if state in (State.UP, State.DRAINING) else logging.WARNING
                logger.log(level, "invoker %s is %s: it %s", invoker, state.value, why)
            case SendTest(invoker, number):
                tests.append((invoker, number))
            case Lost(_, jobs):
                lost += map(int, jobs)
    return Orders(tuple(lost), tuple(tests)) if lost or tests else NOTHING
