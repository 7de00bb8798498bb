"""The container pool: which container runs a job. Pure: events and the time in, instructions out.

A job takes, in this order: a warm container of its own (same namespace, action, revision) that has others of its jobs
and a slot left; an idle one; one with a slot left that is being initialised, or made; a stem cell of its kind, memory
and egress; a new container if memory is left; a new one in the room of others that are removed for it: stem cells that
still start, then idle containers, longest idle first, then stem cells. Otherwise it waits: `waiting` says for whom.
Who waits for memory holds up nobody that finds a slot, unless the container has to run empty (`UNBROKEN_S`).

A container counts at its memory limit while it starts or has jobs, however many they are, and at what it really holds
while it is idle, which is a small part of it: so one machine keeps many functions warm. To
run again it must get the rest, as a new one must get the whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from sabayon.invoker.instructions import Cell, Create, Instruction, Job, Key, Pause, Remove, Run
from sabayon.invoker.inventory import Container, Inventory
from sabayon.invoker.keepalive import Idle
from sabayon.invoker.prewarm import Prewarm
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.waiting import Queues

NAMESPACE_SHARE: Final = 0.8
"""Of all memory, how much the busy containers of one namespace may take: the rest stays within reach of others."""

MOST_CONTAINERS: Final = 1_000_000
"""Where nothing else than memory bounds them."""

HEADROOM: Final = 1 / 16
"""Of all memory, how much is kept free if removing paused containers does it: then a cold start removes none."""

UNBROKEN_S: Final = 10.0
"""A container that has had jobs without a break for longer gets none beside them while a job of another namespace has
waited for too long: it is left to run empty, so that its memory comes free."""

REMEMBERED_FAILURES: Final = 1000
"""How many actions are known at most that get no stem cells."""


class Pool:
    """All containers of one invoker, and the jobs that wait."""

    def __init__(
        self,
        memory_mb: int,
        *,
        most_containers: int = MOST_CONTAINERS,
        keep_alive_s: float = 600.0,
        pause_grace_s: float = 10.0,
        stem_cells: Iterable[StemCells] = (),
    ) -> None:
        self._memory_mb = memory_mb
        self._most_containers = most_containers
        self._plenty_mb = int(memory_mb * (1 - HEADROOM))
        self._inventory = Inventory()
        self._idle = Idle(keep_alive_s, pause_grace_s)
        self._prewarm = Prewarm(stem_cells)
        self._waiting = Queues(self._is_over_share)
        self._failing: OrderedDict[Key, None] = OrderedDict()

    def __repr__(self) -> str:
        stem_cells = len(list(self._prewarm.ready()))
        text = f"busy {self.busy}, idle {len(self._idle)}, stem cells {stem_cells}, waiting {self.waiting}"
        return f"<Pool {text}, {self.used_mb} of {self._memory_mb} MB>"

    @property
    def used_mb(self) -> int:
        """Memory of all containers: limits of those that start or run, what the others hold."""
        return self._inventory.used_mb

    @property
    def waiting(self) -> int:
        """Jobs without a container."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Containers with jobs."""
        return len(self._inventory) - len(self._idle) - len(self._prewarm)

    def containers(self) -> dict[tuple[str, str, int], frozenset[int]]:
        """The ids of the containers of each action, with and without jobs."""
        return self._inventory.by_key()

    def is_idle(self, container_id: int) -> bool:
        """Whether it is there and has no job."""
        container = self._inventory.find(container_id)
        return container is not None and not container.jobs

    def start(self) -> list[Instruction]:
        """The first stem cells."""
        return self._refill()

    def submit(self, job: Job, now: float) -> list[Instruction]:
        """A job has arrived."""
        if self._waiting:
            self._waiting.add(job, now)
            return self._serve_waiting(now)
        placed = self._place(job, now)  # nobody is overtaken: no need to queue
        if placed is None:
            self._waiting.add(job, now)
            return []
        return placed

    def stop(self) -> list[Job]:
        """Make no more stem cells and forget all jobs that wait, which are these."""
        self._prewarm.stop()
        return self._waiting.clear()

    def finished(
        self, container_id: int, job_id: str, now: float, *, is_usable: bool, held_mb: int
    ) -> list[Instruction]:
        """A job has ended, and its container holds `held_mb` of memory.

        An unusable container gets no further job, and is forgotten when the last of its jobs has ended; the shell
        destroys it by itself.
        """
        inventory = self._inventory
        container = inventory[container_id]
        assert container.key is not None
        if not is_usable:
            self._remember_failure(container)
        else:
            container.is_warm = True
            if self._failing:
                self._failing.pop(container.key, None)
        if inventory.leave(container, job_id, is_usable=is_usable):
            if container.is_doomed:
                inventory.forget(container)
            else:
                inventory.count(container, held_mb)
                self._idle.add(container, now)
        return self._serve_waiting(now) if self._waiting else []

    def withdraw(self, job_id: str, now: float) -> list[Instruction] | None:
        """A job that waits is not wanted any more, which may let others pass; None when it does not wait."""
        return self._serve_waiting(now) if self._waiting.withdraw(job_id) else None

    def abandoned(self, container_id: int, job_id: str, now: float) -> list[Instruction]:
        """A job in a container is not wanted any more, and may go on in there for all that is known.

        The container gets no further job; what else is in it ends as it would have. When nothing else is, the container
        is forgotten, and the shell destroys it by itself. This says nothing about the action.
        """
        container = self._inventory[container_id]
        if self._inventory.leave(container, job_id, is_usable=False):
            self._inventory.forget(container)
        return self._serve_waiting(now)

    def ready(self, container_id: int, now: float, *, held_mb: int) -> list[Instruction]:
        """A stem cell has started, and holds `held_mb` of memory."""
        if container := self._inventory.find(container_id):
            self._inventory.count(container, held_mb)
            self._prewarm.started(container, now)
        return self._serve_waiting(now)

    def removed(self, container_id: int, now: float) -> list[Instruction]:
        """An idle container or a stem cell went away by itself. Not refilled at once: what failed may fail again."""
        container = self._inventory.find(container_id)
        if container is None or container.jobs:
            return []
        if container.key is None:
            self._prewarm.lost(container)
        else:
            self._idle.remove(container)
        self._inventory.forget(container)
        return self._serve_waiting(now)

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed: remove what idled too long, pause what idles, bring stem cells to their number."""
        expired, paused = self._idle.age(now)
        instructions: list[Instruction] = [
            *self._forget(expired, "idle for too long"),
            *(Pause(container.id) for container in paused),
            *self._forget(self._prewarm.check(now), "one stem cell too many"),
            *self._serve_waiting(now),
        ]
        if not self._waiting:
            scarce = self._idle.give_up(self.used_mb - self._plenty_mb)
            instructions += self._forget(scarce, "little memory is left")
        return [*instructions, *self._refill()]

    def _serve_waiting(self, now: float) -> list[Instruction]:
        return self._waiting.serve(self._place, self._place_beside, now)

    def _place(self, job: Job, now: float) -> list[Instruction] | None:
        """A container for `job`, or None when it has to wait."""
        shared = self._joinable(job, now) if job.concurrency > 1 else None
        if shared and shared.is_warm:
            return self._join(shared, job)
        if self._can_take_memory(job):
            if warm := self._idle.find(job):
                return self._reuse(warm, job, now)
            return self._join(shared, job) if shared else self._start_cold(job, now)
        return self._join(shared, job) if shared else None

    def _place_beside(self, job: Job, now: float) -> list[Instruction] | None:
        """A slot for `job` in a busy container, or None when there is none."""
        shared = self._joinable(job, now)
        return self._join(shared, job) if shared else None

    def _joinable(self, job: Job, now: float) -> Container | None:
        """The busy container that `job` may join; none that is left to run empty for others."""
        shared = self._inventory.joinable(job)
        if shared and self._waiting.is_patient_besides(job.key.namespace, now):
            return self._inventory.joinable(job, now - UNBROKEN_S)
        return shared

    def _can_take_memory(self, job: Job) -> bool:
        """Whether a container of its own for `job` fits, without all that has no job, and its namespace may have it."""
        if self.busy >= self._most_containers:
            return False
        removable = self._idle.memory_mb + self._prewarm.memory_mb
        is_there = self._inventory.used_mb - removable + job.memory_mb <= self._memory_mb
        return is_there and not self._is_over_share(job)

    def _is_over_share(self, job: Job) -> bool:
        busy = self._inventory.busy_mb.get(job.key.namespace, 0)
        return busy > 0 and busy + job.memory_mb > self._memory_mb * NAMESPACE_SHARE

    def _join(self, container: Container, job: Job) -> list[Instruction]:
        self._inventory.join(container, job)
        return [Run(container.id, job, False)]

    def _reuse(self, container: Container, job: Job, now: float) -> list[Instruction]:
        """Run `job` in its own idle container, which gets the rest of its memory back."""
        self._idle.remove(container)
        removed = self._make_room(job.memory_mb - container.counted_mb)
        self._inventory.occupy(container, job, now)
        return [*removed, Run(container.id, job, False)]

    def _start_cold(self, job: Job, now: float) -> list[Instruction]:
        """Run `job` in a stem cell or in a new container.

        An action whose last container came to nothing gets a new one, and no stem cell is made for it: those are for
        actions that work.
        """
        cell = Cell(job.kind, job.memory_mb, job.egress)
        if job.key in self._failing:
            return self._start_new(cell, job, now)
        stem_cell = self._prewarm.find(cell)
        if stem_cell is None:
            self._prewarm.cold_start(cell)
            return self._start_new(cell, job, now)
        self._prewarm.take(stem_cell)
        removed = self._make_room(job.memory_mb - stem_cell.counted_mb)
        self._inventory.occupy(stem_cell, job, now)
        stem_cell.is_prewarmed = True
        return [*removed, Run(stem_cell.id, job, False), *self._refill()]

    def _start_new(self, cell: Cell, job: Job, now: float) -> list[Instruction]:
        removed = [*self._make_room(job.memory_mb), *self._make_place()]
        container = self._inventory.add(cell)
        self._inventory.occupy(container, job, now)
        return [*removed, Run(container.id, job, True)]

    def _make_room(self, memory_mb: int) -> list[Instruction]:
        """Removals after which `memory_mb` is free. It is known that there can be enough.

        Stem cells that still start go first: they count at their limit, and must cost no warm container.
        """
        missing = self._inventory.used_mb + memory_mb - self._memory_mb
        if missing <= 0:
            return []
        victims: list[Container] = []
        for container in self._removable():
            victims.append(container)
            missing -= container.counted_mb
            if missing <= 0:
                break
        return self._evict(victims, "its memory is needed")

    def _make_place(self) -> list[Instruction]:
        """A removal, if there are as many containers as may be. It is known that one of them has no job."""
        if len(self._inventory) < self._most_containers:
            return []
        return self._evict([next(self._removable())], "its place is needed")

    def _removable(self) -> Iterator[Container]:
        """Containers without jobs, in the order in which they make way."""
        return chain(self._prewarm.starting(), self._idle, self._prewarm.ready())

    def _evict(self, victims: list[Container], reason: str) -> list[Instruction]:
        for victim in victims:
            (self._prewarm if victim.key is None else self._idle).remove(victim)
        return self._forget(victims, reason)

    def _forget(self, containers: Iterable[Container], reason: str) -> list[Instruction]:
        """Remove containers that are in no list any more."""
        instructions: list[Instruction] = []
        for container in containers:
            self._inventory.forget(container)
            instructions.append(Remove(container.id, reason))
        return instructions

    def _remember_failure(self, container: Container) -> None:
        """That no job has ended well in `container`, so that its action gets no stem cell until one does."""
        assert container.key is not None
        if not container.is_warm:
            self._failing[container.key] = None
            self._failing.move_to_end(container.key)
            if len(self._failing) > REMEMBERED_FAILURES:
                self._failing.popitem(last=False)

    def _refill(self) -> list[Instruction]:
        """Stem cells that are missing, while memory is plenty and nobody waits for it."""
        instructions: list[Instruction] = []
        for cell in self._prewarm.missing() if not self._waiting else ():
            is_full = len(self._inventory) >= self._most_containers
            if is_full or self._inventory.used_mb + cell.memory_mb > self._plenty_mb:
                continue
            container = self._inventory.add(cell)
            self._prewarm.add(container)
            instructions.append(Create(container.id, *cell))
        return instructions
