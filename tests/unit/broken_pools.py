"""Pools that break one promise each, or of which one part does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

import pytest

from sabayon.invoker.instructions import Cell, Instruction, Job, Pause, Remove, Run
from sabayon.invoker.inventory import Container, Inventory
from sabayon.invoker.keepalive import Idle
from sabayon.invoker.pool import Pool
from sabayon.invoker.prewarm import Prewarm, _Class
from sabayon.invoker.waiting import PATIENCE_S, Place, Queues

BROKEN: Final[list[Any]] = []


def noticed(text: str) -> Callable[[type], type]:
    """Marks a pool, or a part of one, that breaks a promise, with how that is noticed first."""

    def mark(kind: type) -> type:
        BROKEN.append(pytest.param(kind, text, id=kind.__name__))
        return kind

    return mark


@noticed("memory is counted wrongly")
class CountsIdleOnesForNothing(Pool):
    def finished(self, container_id: int, job_id: str, now: float, *, is_usable: bool, held_mb: int) -> Any:
        return super().finished(container_id, job_id, now, is_usable=is_usable, held_mb=0)


@noticed("memory is counted wrongly")
class CountsMemoryForEachJob(Pool):
    def _join(self, container: Container, job: Job) -> list[Instruction]:
        self._inventory.used_mb += job.memory_mb
        return super()._join(container, job)


@noticed("too much memory after Run")
class MakesNoRoom(Pool):
    def _make_room(self, memory_mb: int) -> list[Instruction]:
        return []


@noticed("too much memory after Create")
class MakesStemCellsWithoutRoom(Pool):
    def _refill(self) -> list[Instruction]:
        self._plenty_mb = 10 * self._memory_mb
        return super()._refill()


@noticed("is removed, and has a job")
class EvictsWhoIsBusy(Pool):
    def tick(self, now: float) -> list[Instruction]:
        busy = [Remove(id, "why not") for id in self._inventory._containers if self._inventory[id].jobs]
        return [*super().tick(now), *busy[:1]]


@noticed("is paused and not idle")
class PausesWhoIsBusy(Pool):
    def tick(self, now: float) -> list[Instruction]:
        busy = [Pause(id) for id in self._inventory._containers if self._inventory[id].jobs]
        return [*super().tick(now), *busy[:1]]


@noticed("has too many jobs")
class HandsOutTwice(Pool):
    """Whoever comes is sent where somebody else is."""

    def submit(self, job: Job, now: float) -> list[Instruction]:
        busy = [id for id in self._inventory._containers if self._inventory[id].jobs]
        instructions = super().submit(job, now)
        return [i._replace(container=busy[0], is_new=False) if busy and isinstance(i, Run) else i for i in instructions]


@noticed("does not wait")
class RunsTwice(Pool):
    def submit(self, job: Job, now: float) -> list[Instruction]:
        instructions = super().submit(job, now)
        return [*instructions, *instructions]


@noticed("waiting jobs are counted wrongly")
class DropsWhatMustWait(Pool):
    def submit(self, job: Job, now: float) -> list[Instruction]:
        return self._place(job, now) or []


@noticed("has too many jobs")
class OverfillsSlots(Inventory):
    """Gives one job too many to a container that has another one."""

    def join(self, container: Container, job: Job) -> None:
        if len(container.jobs) < container.concurrency:
            container.jobs.add(job.id)
        else:
            super().join(container, job)


@noticed("though there is a slot")
class NeverJoins(Inventory):
    def joinable(self, job: Job, busy_since: float = -math.inf) -> Container | None:
        return None


@noticed("is not its action's")
class SharesAmongNamespaces(Idle):
    def find(self, job: Job) -> Container | None:
        same = (c for c in self if c.key and c.key.action == job.key.action and c.fits(job))
        return next(same, None)


@noticed("could have had an idle container")
class ForgetsWhatIsWarm(Idle):
    def find(self, job: Job) -> Container | None:
        return None


@noticed("memory is counted wrongly|cannot be used")
class UsesTheUnusable(Pool):
    def finished(self, container_id: int, job_id: str, now: float, *, is_usable: bool, held_mb: int) -> Any:
        return super().finished(container_id, job_id, now, is_usable=True, held_mb=held_mb)


@noticed("cannot be used")
class JoinsTheDoomed(Inventory):
    """What cannot be used again goes on being shared until it is empty."""

    def __init__(self) -> None:
        super().__init__()
        self._bad: set[int] = set()

    def leave(self, container: Container, job_id: str, *, is_usable: bool) -> bool:
        if not is_usable:
            self._bad.add(container.id)
        is_last = super().leave(container, job_id, is_usable=True)
        container.is_doomed = is_last and container.id in self._bad
        return is_last


@noticed("waiting jobs are counted wrongly")
class KeepsWhatIsWithdrawn(Queues):
    def withdraw(self, job_id: str) -> bool:
        return True


@noticed("memory is counted wrongly|cannot be used|busy containers are counted wrongly")
class ReusesWhatIsAbandoned(Pool):
    def abandoned(self, container_id: int, job_id: str, now: float) -> list[Instruction]:
        return super().finished(container_id, job_id, now, is_usable=True, held_mb=3)


@noticed("though there is room")
class ServesNobodyAfterAWithdrawal(Pool):
    def withdraw(self, job_id: str, now: float) -> list[Instruction] | None:
        return [] if self._waiting.withdraw(job_id) else None


@noticed("was here before")
class ServesTheLastFirst(Queues):
    def add(self, job: Job, now: float) -> None:
        super().add(job, now)
        self._queues[job.key.namespace].move_to_end(job.id, last=False)


@noticed("is passed over again")
class ServesOneNamespaceFirst(Queues):
    def _end_turn(self, namespace: str) -> None:
        pass


@noticed("though there is room")
class ServesNobodyBehindTheFirst(Queues):
    def _take_turns(self, place: Place, now: float) -> list[Instruction]:
        return super()._take_turns(lambda job, _: place(job, now), now + 10 * PATIENCE_S)


@noticed("waits for ever")
class HasNoPatience(Queues):
    """Lets small jobs pass a large one for ever."""

    def _is_patient(self, job: Job, since: float, now: float) -> bool:
        return False


@noticed("is kept busy by")
class KeepsSlotsOpen(Queues):
    """Lets jobs join a container for ever that others need the memory of."""

    def is_patient_besides(self, namespace: str, now: float) -> bool:
        return False


@noticed("though there is a slot")
class HoldsSlotsBack(Queues):
    """Has those that need no memory wait for their turn."""

    def _find_slots(self, join: Place, now: float) -> list[Instruction]:
        return []


@noticed("was here before")
class GivesSlotsToTheLast(Queues):
    def add(self, job: Job, now: float) -> None:
        super().add(job, now)
        if job.concurrency > 1:
            self._sharing[job.key].rotate(1)

    def _take(self, job: Job) -> None:
        if job.concurrency > 1:
            self._sharing[job.key].remove(job)
            self._sharing[job.key].appendleft(job)
        super()._take(job)


@noticed("though there is room")
class ServesOnlyWhoComes(Pool):
    """What becomes free is left alone until the next job comes."""

    def finished(self, container_id: int, job_id: str, now: float, *, is_usable: bool, held_mb: int) -> Any:
        waiting, self._waiting = self._waiting, Queues(self._is_over_share)
        super().finished(container_id, job_id, now, is_usable=is_usable, held_mb=held_mb)
        self._waiting = waiting
        return []


@noticed("has more than its share")
class KnowsNoShare(Pool):
    def _is_over_share(self, job: Job) -> bool:
        return False


@noticed("though there is room")
class NeverEvicts(Pool):
    def _can_take_memory(self, job: Job) -> bool:
        return self.used_mb + job.memory_mb <= self._memory_mb and not self._is_over_share(job)


@noticed("though there is room")
class SparesStemCells(Pool):
    """Lets jobs wait for what stem cells hold."""

    def _can_take_memory(self, job: Job) -> bool:
        removable = self._idle.memory_mb
        return self.used_mb - removable + job.memory_mb <= self._memory_mb and not self._is_over_share(job)


@noticed("another idles for longer")
class EvictsTheNewest(Idle):
    def __iter__(self) -> Iterator[Container]:
        return reversed(list(super().__iter__()))


@noticed("should have gone first")
class SparesWhatStarts(Prewarm):
    def starting(self) -> Iterator[Container]:
        return iter(())

    def ready(self) -> Iterator[Container]:
        return chain(super().ready(), super().starting())


@noticed("more is removed than has to be")
class EvictsAll(Pool):
    def _make_room(self, memory_mb: int) -> list[Instruction]:
        removed = super()._make_room(memory_mb)
        return [*removed, *super()._make_room(self._memory_mb)] if removed else []


@noticed("idles for ever")
class KeepsForEver(Idle):
    def _lifetime_s(self, container: Container) -> float:
        return math.inf


@noticed("is not paused")
class NeverPauses(Idle):
    def age(self, now: float) -> tuple[list[Container], list[Container]]:
        return super().age(now)[0], []


@noticed("too many stem cells")
class MakesOneStemCellMore(Prewarm):
    def missing(self) -> list[Cell]:
        return [*super().missing(), *list(self._classes)[:1]]


@noticed("too many classes are learned")
class LearnsWithoutEnd(Prewarm):
    def cold_start(self, cell: Cell) -> None:
        for number in range(1, 9):
            learned = cell._replace(memory_mb=8 * number)
            if template := self._templates.get(cell.kind):
                self._classes.setdefault(learned, _Class(template._replace(cell=learned, minimum=1), 1, False))


@noticed("could have had a stem cell")
class ForgetsWhatIsReady(Prewarm):
    def find(self, cell: Cell) -> Container | None:
        return None


@noticed("is not what .* wants")
class TakesAnyStemCell(Prewarm):
    def find(self, cell: Cell) -> Container | None:
        return next((container for ready in self._ready.values() for container in ready.values()), None)


@noticed("a stem cell is made while somebody waits")
class RefillsBeforeItServes(Pool):
    def _refill(self) -> list[Instruction]:
        waiting, self._waiting = self._waiting, Queues(self._is_over_share)
        created = super()._refill()
        self._waiting = waiting
        return created


PARTS: Final[Any] = {Queues: "_waiting", Idle: "_idle", Inventory: "_inventory", Prewarm: "_prewarm"}
"""Where a pool has them."""


def maker(kind: Any) -> Callable[..., Pool]:
    """Makes pools of this kind, or of the usual one with a part of this kind."""
    if issubclass(kind, Pool):
        return kind
    base = next(base for base in PARTS if issubclass(kind, base))

    def make(memory_mb: int, *, keep_alive_s: float, pause_grace_s: float, stem_cells: Any) -> Pool:
        pool = Pool(memory_mb, keep_alive_s=keep_alive_s, pause_grace_s=pause_grace_s, stem_cells=stem_cells)
        arguments = {
            Idle: (keep_alive_s, pause_grace_s),
            Prewarm: (stem_cells,),
            Queues: (pool._is_over_share,),
        }.get(base, ())
        setattr(pool, PARTS[base], kind(*arguments))
        return pool

    return make
