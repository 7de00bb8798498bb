"""The load balancer: placement and health put together, as a controller uses it. Pure, like both.

A controller feeds it what it hears (`heard`, `heard_controller`), asks it (`place`), tells it how things ended
(`finished`, `tested`) and that time passes (`tick`, twice a second); and carries out the instructions it gets back.
"""

from __future__ import annotations

from collections.abc import Iterable

from sabayon.balancer.controllers import Controllers
from sabayon.balancer.health import Health, News
from sabayon.balancer.instructions import Changed, Instruction, Job, Lost, Placed, Refused, State
from sabayon.balancer.placement import OVERCOMMIT, Placement
from sabayon.bus.heartbeat import Heartbeat


class Balancer:
    """What one controller knows of all invokers. controller: its name, another after each start.

    now: seconds of one clock that never goes back.
    """

    def __init__(self, controller: str, *, overcommit: float = OVERCOMMIT) -> None:
        self._placement = Placement(controller, overcommit=overcommit)
        self._health = Health()
        self._controllers = Controllers(controller)

    def __repr__(self) -> str:
        return f"<Balancer {self._placement!r}, {len(self._controllers)} controllers>"

    def states(self) -> dict[str, State]:
        """Of each invoker that has been heard of lately."""
        return self._health.states()

    def place(self, job: Job) -> Placed | Refused:
        """Who gets `job`. Its memory is taken until `finished`, or until the invoker is lost."""
        return self._placement.place(job)

    def finished(self, job_id: str, now: float, *, is_fault: bool = False, is_usable: bool = True) -> list[Instruction]:
        """A job has ended, or is given up. Nothing happens if it was lost, or has ended before.

        is_fault: by a fault of the platform's, or without an answer. is_usable: whether its container stays.
        """
        ended = self._placement.finished(job_id, is_usable=is_usable and not is_fault)
        if ended is None:
            return []
        return self._apply(self._health.reported(ended.invoker, ended.job.key.namespace, now, is_fault=is_fault))

    def heard(self, heartbeat: Heartbeat, now: float) -> list[Instruction]:
        """An invoker has given a sign of life."""
        if self._health.is_stale(heartbeat):
            return []
        instructions = self._apply(self._health.heard(heartbeat, now))
        if not self._health.is_down(heartbeat.invoker):
            self._placement.update(heartbeat)
        return instructions

    def tested(self, invoker: str, number: int, now: float, *, is_good: bool) -> list[Instruction]:
        """A test activation has ended."""
        return self._apply(self._health.tested(invoker, number, now, is_good=is_good))

    def heard_controller(self, controller: str, now: float) -> None:
        """Another controller has said that it is there."""
        self._controllers.heard(controller, now)
        self._divide()

    def controller_left(self, controller: str) -> None:
        """Another controller has said that it ends."""
        self._controllers.left(controller)
        self._divide()

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed."""
        self._controllers.tick(now)
        self._divide()
        return self._apply(self._health.tick(now))

    def was_deaf(self, seconds: float, now: float) -> None:
        """This controller could hear nobody for so long, because the bus was away: that is nobody's silence."""
        self._health.was_deaf(seconds, now)

    def _divide(self) -> None:
        self._placement.divide(len(self._controllers))

    def _apply(self, news: Iterable[News]) -> list[Instruction]:
        """Have placement know what is new. Returns what the controller must know or do."""
        instructions: list[Instruction] = []
        for each in news:
            instructions.append(each)
            if not isinstance(each, Changed):
                continue
            self._placement.set_open(each.invoker, each.state is State.UP)
            if each.state is State.DOWN:
                instructions.append(Lost(each.invoker, self._placement.remove(each.invoker)))
        return instructions
