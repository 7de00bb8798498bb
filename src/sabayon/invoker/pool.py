"""The container pool: which container runs a job. Pure: events and the time in, instructions out.

A job takes, in this order: a warm container of its own (same namespace, action, revision),
a stem cell of its kind, memory and egress, a new container if memory is left, a new one in the
room of idle containers that are removed for it, longest idle first. Otherwise it waits:
first come first served within its namespace, namespaces in turn, so that none is served
late because another asks for much.

A container counts at its memory limit while it starts or runs, and at what it really holds
while it is idle, which is a small part of it: so one machine keeps many functions warm. To
run again it must get the rest, as a new one must get the whole.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Instruction, Job, Key, Pause, Remove, Run
from sabayon.sandbox.base import Egress

NAMESPACE_SHARE: Final = 0.8
"""Of all memory, how much the busy containers of one namespace may take: the rest stays within reach of others."""

_NOT_KEPT: Final = KeptWarm()

PATIENCE_S: Final = 2.0
"""A job that has waited longer for room keeps others from taking what becomes free."""


@dataclass(slots=True)
class Container:
    """One container. key is None for a stem cell, jobs is empty when it is idle.

    memory_mb: its limit. counted_mb: what it takes of the pool's memory now. is_doomed: it gets no further job.
    """

    id: int
    kind: str
    memory_mb: int
    counted_mb: int
    egress: Egress
    key: Key | None
    jobs: set[str]
    idle_since: float = 0.0
    kept_warm: KeptWarm = _NOT_KEPT
    is_paused: bool = False
    is_doomed: bool = False

    @property
    def cell(self) -> Cell:
        """What it was started as."""
        return Cell(self.kind, self.memory_mb, self.egress)


class Pool:
    """All containers of one invoker, and the jobs that wait."""

    def __init__(
        self,
        memory_mb: int,
        *,
        keep_alive_s: float = 600.0,
        pause_grace_s: float = 10.0,
        stem_cells: Iterable[tuple[Cell, int]] = (),
    ) -> None:
        self._memory_mb = memory_mb
        self._keep_alive_s = keep_alive_s
        self._pause_grace_s = pause_grace_s
        self._wanted_cells = dict(stem_cells)
        self._containers: dict[int, Container] = {}
        self._warm: dict[Key, list[int]] = {}
        self._busy: dict[Key, list[int]] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # longest idle first, stem cells not among them
        self._cells: dict[Cell, list[int]] = {}
        self._cell_count: dict[Cell, int] = {}  # those that are still starting included
        self._waiting: OrderedDict[str, deque[tuple[Job, float]]] = OrderedDict()
        self._busy_mb: dict[str, int] = {}
        self._used_mb = 0
        self._next_id = 0

    def __repr__(self) -> str:
        stem = sum(map(len, self._cells.values()))
        busy = sum(bool(c.jobs) for c in self._containers.values())
        text = f"busy {busy}, idle {len(self._idle)}, stem cells {stem}, waiting {self.waiting}"
        return f"<Pool {text}, {self._used_mb} of {self._memory_mb} MB>"

    @property
    def used_mb(self) -> int:
        """Memory of all containers: limits of those that start or run, what the others hold."""
        return self._used_mb

    @property
    def waiting(self) -> int:
        """Jobs without a container."""
        return sum(map(len, self._waiting.values()))

    @property
    def busy(self) -> int:
        """Containers with a job."""
        return sum(bool(c.jobs) for c in self._containers.values())

    def is_idle(self, container_id: int) -> bool:
        """Whether it is there and has no job."""
        container = self._containers.get(container_id)
        return container is not None and not container.jobs

    def start(self) -> list[Instruction]:
        """The first stem cells."""
        return list(self._refill())

    def submit(self, job: Job, now: float) -> list[Instruction]:
        """A job has arrived."""
        if not self._waiting and (placed := self._place(job)):  # nobody is overtaken: no need to queue
            return [*placed, *self._refill()]
        self._waiting.setdefault(job.key.namespace, deque()).append((job, now))
        return self._serve_waiting(now)

    def stop(self) -> list[Job]:
        """Make no more stem cells and forget all jobs that wait, which are these."""
        jobs = [job for queue in self._waiting.values() for job, _ in queue]
        self._waiting.clear()
        self._wanted_cells.clear()
        return jobs

    def finished(
        self, container_id: int, job_id: str, now: float, *, is_usable: bool, held_mb: int
    ) -> list[Instruction]:
        """A job has ended, and its container holds `held_mb` of memory.

        An unusable container gets no further job, and is forgotten when its last has ended; the shell destroys it by
        itself then.
        """
        container = self._containers[container_id]
        assert container.key is not None
        container.jobs.remove(job_id)
        container.is_doomed = container.is_doomed or not is_usable
        if container.jobs:
            return self._serve_waiting(now)
        busy = self._busy[container.key]
        busy.remove(container_id)
        if not busy:
            del self._busy[container.key]
        self._busy_mb[container.key.namespace] -= container.memory_mb
        if not self._busy_mb[container.key.namespace]:
            del self._busy_mb[container.key.namespace]
        if not container.is_doomed:
            container.idle_since = now
            self._count(container, held_mb)
            self._warm.setdefault(container.key, []).append(container_id)
            self._idle[container_id] = None
        else:
            self._forget(container)
        return self._serve_waiting(now)

    def ready(self, container_id: int, now: float, *, held_mb: int) -> list[Instruction]:
        """A stem cell has started, and holds `held_mb` of memory."""
        container = self._containers[container_id]
        self._count(container, held_mb)
        self._cells.setdefault(container.cell, []).append(container_id)
        return self._serve_waiting(now)

    def removed(self, container_id: int, now: float) -> list[Instruction]:
        """An idle container or a stem cell went away by itself. Not refilled at once: what failed may fail again."""
        container = self._containers.get(container_id)
        if container is None or container.jobs:
            return []
        self._unlist(container)
        self._forget(container)
        return self._serve_waiting(now, is_refilling=False)

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed: remove what idled too long, pause what idles, refill stem cells."""
        instructions: list[Instruction] = []
        for container_id in list(self._idle):
            container = self._containers[container_id]
            if now - container.idle_since >= self._lifetime_s(container):
                instructions.append(self._evict(container, "idle for too long"))
            elif now - container.idle_since >= self._pause_grace_s and not container.is_paused:
                container.is_paused = True
                instructions.append(Pause(container_id))
        return [*instructions, *self._serve_waiting(now)]

    def _lifetime_s(self, container: Container) -> float:
        """How long an idle container is kept: the last few of an action perhaps longer than others."""
        assert container.key is not None
        is_kept = len(self._warm[container.key]) <= container.kept_warm.count
        return self._keep_alive_s + (container.kept_warm.extra_s if is_kept else 0.0)

    def _serve_waiting(self, now: float, *, is_refilling: bool = True) -> list[Instruction]:
        """Give containers to waiting jobs, one namespace after the other, until nobody's first job can be placed."""
        instructions: list[Instruction] = []
        is_placed = True
        while is_placed and self._waiting:
            is_placed = False
            for namespace in list(self._waiting):
                queue = self._waiting[namespace]
                job, since = queue[0]
                placed = self._place(job)
                if placed is None:
                    if now - since > PATIENCE_S and not self._is_over_share(job):
                        return [*instructions, *self._refill()]
                    continue
                is_placed = True
                instructions += placed
                queue.popleft()
                del self._waiting[namespace]
                if queue:
                    self._waiting[namespace] = queue  # to the end: the others come first
        return [*instructions, *(self._refill() if is_refilling else ())]

    def _place(self, job: Job) -> list[Instruction] | None:
        """A container for `job`, or None when it has to wait."""
        if shared := self._shared_one(job):
            shared.jobs.add(job.id)
            return [Run(shared.id, job, False)]
        if self._is_over_share(job):
            return None
        if container := self._warm_one(job) or self._cell_for(job):
            removed = self._make_room(container.memory_mb - container.counted_mb, container)
            if removed is not None:
                self._unlist(container)
                if container.key is None:
                    self._count_cell(container, -1)
                self._occupy(container, job)
                return [*removed, Run(container.id, job, False)]
        removed = self._make_room(job.memory_mb)
        if removed is None:
            return None
        container = self._add(Cell(job.kind, job.memory_mb, job.egress))
        self._occupy(container, job)
        return [*removed, Run(container.id, job, True)]

    def _shared_one(self, job: Job) -> Container | None:
        """A container with jobs of the same action in it that can take another one."""
        if job.concurrency == 1:
            return None
        for container in map(self._containers.__getitem__, self._busy.get(job.key, ())):
            is_same = (container.memory_mb, container.egress) == (job.memory_mb, job.egress)
            if is_same and not container.is_doomed and len(container.jobs) < job.concurrency:
                return container
        return None

    def _is_over_share(self, job: Job) -> bool:
        busy = self._busy_mb.get(job.key.namespace, 0)
        return busy > 0 and busy + job.memory_mb > self._memory_mb * NAMESPACE_SHARE

    def _warm_one(self, job: Job) -> Container | None:
        """The warm container that was used last: its caches are warmest, and the others may grow old."""
        warm = self._warm.get(job.key)
        if not warm:
            return None
        container = self._containers[warm[-1]]
        return container if (container.memory_mb, container.egress) == (job.memory_mb, job.egress) else None

    def _cell_for(self, job: Job) -> Container | None:
        """The stem cell that has waited longest."""
        cells = self._cells.get(Cell(job.kind, job.memory_mb, job.egress))
        return self._containers[cells[0]] if cells else None

    def _make_room(self, memory_mb: int, spared: Container | None = None) -> list[Remove] | None:
        """Removals after which `memory_mb` is free; None, and nothing is removed, when there cannot be enough."""
        missing = self._used_mb + memory_mb - self._memory_mb
        if missing <= 0:
            return []
        victims: list[Container] = []
        for container in self._evictable():
            if missing <= 0:
                break
            if container is not spared:
                victims.append(container)
                missing -= container.counted_mb
        if missing > 0:
            return None
        return [self._evict(container, "its memory is needed") for container in victims]

    def _evictable(self) -> Iterator[Container]:
        """Idle containers, longest idle first, then stem cells."""
        yield from (self._containers[id] for id in list(self._idle))
        yield from (self._containers[id] for ids in list(self._cells.values()) for id in list(ids))

    def _evict(self, container: Container, reason: str) -> Remove:
        self._unlist(container)
        self._forget(container)
        return Remove(container.id, reason)

    def _add(self, cell: Cell) -> Container:
        self._next_id += 1
        container = Container(self._next_id, cell.kind, cell.memory_mb, cell.memory_mb, cell.egress, None, set())
        self._containers[container.id] = container
        self._used_mb += cell.memory_mb
        return container

    def _occupy(self, container: Container, job: Job) -> None:
        container.key = job.key
        container.jobs.add(job.id)
        self._busy.setdefault(job.key, []).append(container.id)
        container.kept_warm = job.kept_warm
        container.is_paused = False
        self._count(container, container.memory_mb)
        namespace = job.key.namespace
        self._busy_mb[namespace] = self._busy_mb.get(namespace, 0) + container.memory_mb

    def _unlist(self, container: Container) -> None:
        """Take an idle container or stem cell out of what jobs can be given."""
        self._idle.pop(container.id, None)
        if container.key is None:
            cells = self._cells.get(container.cell, [])
            if container.id in cells:
                cells.remove(container.id)
        else:
            warm = self._warm[container.key]
            warm.remove(container.id)
            if not warm:
                del self._warm[container.key]

    def _count_cell(self, container: Container, change: int) -> None:
        self._cell_count[container.cell] = self._cell_count.get(container.cell, 0) + change

    def _forget(self, container: Container) -> None:
        if container.key is None:
            self._count_cell(container, -1)
        del self._containers[container.id]
        self._used_mb -= container.counted_mb

    def _count(self, container: Container, memory_mb: int) -> None:
        """From now on `container` takes that much of the pool's memory, at most its limit."""
        counted = min(max(1, memory_mb), container.memory_mb)
        self._used_mb += counted - container.counted_mb
        container.counted_mb = counted

    def _refill(self) -> Iterator[Create]:
        """Stem cells that are wanted and fit without removing anything."""
        for cell, wanted in self._wanted_cells.items():
            for _ in range(wanted - self._cell_count.get(cell, 0)):
                if self._used_mb + cell.memory_mb > self._memory_mb or self._waiting:
                    return
                container = self._add(cell)
                self._count_cell(container, 1)
                yield Create(container.id, *cell)
