"""The containers of a pool, the memory they count for, and those that have room for one more job."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Job, Key

_NOT_KEPT: Final = KeptWarm()


@dataclass(slots=True, eq=False)
class Container:
    """One container. key is None for a stem cell, jobs is empty when it is idle.

    counted_mb: what it takes of the pool's memory now, at most the memory of its cell, which is its limit.
    concurrency: how many jobs it may hold at once. busy_since: if they can be several, since when it has had any.
    is_prewarmed: whether it was a stem cell. is_warm: whether a job has ended well in it.
    is_doomed: it gets no further job, and is forgotten with the end of its last one.
    """

    id: int
    cell: Cell
    counted_mb: int
    key: Key | None = None
    concurrency: int = 1
    jobs: set[str] = field(default_factory=set)
    busy_since: float = 0.0
    idle_since: float = 0.0
    kept_warm: KeptWarm = _NOT_KEPT
    is_prewarmed: bool = False
    is_warm: bool = False
    is_doomed: bool = False

    def fits(self, job: Job) -> bool:
        """Whether it is what `job` would be given if it were made for it. The key is another question."""
        cell = self.cell
        return cell.memory_mb == job.memory_mb and cell.egress == job.egress and self.concurrency == job.concurrency


class Inventory:
    """All containers of a pool. used_mb: their memory. busy_mb: by namespace, the limits of those with jobs."""

    def __init__(self) -> None:
        self.used_mb = 0
        self.busy_mb: dict[str, int] = {}
        self._containers: dict[int, Container] = {}
        self._shared: dict[Key, list[Container]] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._containers)

    def __getitem__(self, id: int) -> Container:
        return self._containers[id]

    def by_key(self) -> dict[tuple[str, str, int], frozenset[int]]:
        """The ids of those that have been given to an action and will get further jobs of it."""
        found: dict[tuple[str, str, int], set[int]] = {}
        for container in self._containers.values():
            if container.key is not None and not container.is_doomed:
                found.setdefault(container.key, set()).add(container.id)
        return {key: frozenset(ids) for key, ids in found.items()}

    def find(self, id: int) -> Container | None:
        """None for one that is not there any more."""
        return self._containers.get(id)

    def add(self, cell: Cell) -> Container:
        """A new container, which counts at its limit until it is known what it holds."""
        self._last_id += 1
        container = Container(self._last_id, cell, cell.memory_mb)
        self._containers[container.id] = container
        self.used_mb += cell.memory_mb
        return container

    def forget(self, container: Container) -> None:
        """It is not there any more."""
        del self._containers[container.id]
        self.used_mb -= container.counted_mb

    def count(self, container: Container, memory_mb: int) -> None:
        """From now on `container` takes that much of the pool's memory, at most its limit."""
        counted = min(max(1, memory_mb), container.cell.memory_mb)
        self.used_mb += counted - container.counted_mb
        container.counted_mb = counted

    def joinable(self, job: Job, busy_since: float = -math.inf) -> Container | None:
        """The busy container in which `job` runs best: a warm one, else one that was a stem cell, else a new one.

        Of equals the one that was shared first, so that the others run empty. None that is busy since before that time.
        """
        shared = self._shared.get(job.key, ())
        fitting = [container for container in shared if container.fits(job) and container.busy_since >= busy_since]
        return max(fitting, key=lambda c: (c.is_warm, c.is_prewarmed), default=None)

    def occupy(self, container: Container, job: Job, now: float) -> None:
        """Put `job` into `container`, which is idle, new or a stem cell, and counts at its limit from now on."""
        container.key = job.key
        container.concurrency = job.concurrency
        container.kept_warm = job.kept_warm
        container.jobs.add(job.id)
        memory_mb = container.cell.memory_mb
        self.used_mb += memory_mb - container.counted_mb
        container.counted_mb = memory_mb
        namespace = job.key.namespace
        self.busy_mb[namespace] = self.busy_mb.get(namespace, 0) + memory_mb
        if job.concurrency > 1:
            container.busy_since = now
            self._shared.setdefault(job.key, []).append(container)

    def join(self, container: Container, job: Job) -> None:
        """Put `job` beside the others in a joinable container. No memory is counted for it."""
        container.jobs.add(job.id)
        if len(container.jobs) == container.concurrency:
            self._unshare(container)

    def leave(self, container: Container, job_id: str, *, is_usable: bool) -> bool:
        """A job has ended. Returns whether it was the last one. A doomed container goes on until then."""
        jobs = container.jobs
        was_shared = not container.is_doomed and len(jobs) < container.concurrency
        jobs.remove(job_id)
        container.is_doomed = container.is_doomed or not is_usable
        is_shared = bool(jobs) and not container.is_doomed
        if was_shared and not is_shared:
            self._unshare(container)
        elif is_shared and not was_shared:
            assert container.key is not None
            self._shared.setdefault(container.key, []).append(container)
        if not jobs:
            self._count_idle(container)
        return not jobs

    def _count_idle(self, container: Container) -> None:
        assert container.key is not None
        namespace = container.key.namespace
        left = self.busy_mb[namespace] - container.cell.memory_mb
        if left:
            self.busy_mb[namespace] = left
        else:
            del self.busy_mb[namespace]

    def _unshare(self, container: Container) -> None:
        assert container.key is not None
        shared = self._shared[container.key]
        shared.remove(container)
        if not shared:
            del self._shared[container.key]
