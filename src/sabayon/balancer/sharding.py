"""The memory of one invoker as one controller counts it: its shard.

Each of N controllers owns an Nth of each invoker's memory and gives it away without asking the others. So controllers
that know nothing of each other never promise the same memory twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sabayon.balancer.instructions import Job, Key
from sabayon.bus.heartbeat import Containers

NO_BUCKET: Final = -1


@dataclass(slots=True, eq=False)
class Slots:
    """The containers of one action at one invoker.

    jobs: this controller's there. busy: how many containers it counts them for, the fewest that can hold them, each at
    the action's memory limit. containers: how many are known to be there, with and without jobs.
    """

    concurrency: int = 1
    jobs: int = 0
    busy: int = 0
    containers: int = 0

    @property
    def has_slot(self) -> bool:
        """Whether one more job fits beside those that are there."""
        return self.jobs < self.busy * self.concurrency

    @property
    def has_idle(self) -> bool:
        """Whether a warm container is there that has no job, so far as is known."""
        return self.containers > self.busy


class Shard:
    """What of one invoker belongs to this controller.

    taken_mb: memory of its jobs there. others_mb: of the other controllers' jobs, by the invoker's last word.
    share_mb: what it may take while there is room. limit_mb: what it may take at all, the rest of which are jobs that
    wait for memory at the invoker. One job may always be there, if the invoker has the memory for it: a share may be
    smaller than an action.
    """

    __slots__ = (
        *("id", "memory_mb", "kinds", "is_open", "bucket", "overcommit"),
        *("share_mb", "limit_mb", "taken_mb", "others_mb", "jobs", "slots"),
    )

    def __init__(self, id: str, memory_mb: int, kinds: frozenset[str]) -> None:
        self.id = id
        self.memory_mb = memory_mb
        self.kinds = kinds
        self.is_open = False
        self.bucket = NO_BUCKET
        self.overcommit = 1.0
        self.share_mb = self.limit_mb = memory_mb
        self.taken_mb = self.others_mb = 0
        self.jobs: dict[str, Job] = {}
        self.slots: dict[Key, Slots] = {}

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Shard {self.id} {state}, {self.taken_mb} of {self.share_mb} MB, others {self.others_mb} MB>"

    def divide(self, controllers: int, overcommit: float) -> None:
        """From now on that many controllers share it, and each may take `overcommit` times its share."""
        self.overcommit = overcommit
        self.share_mb = max(1, self.memory_mb // controllers)
        self.limit_mb = int(self.share_mb * overcommit)

    @property
    def load(self) -> float:
        """1 is full: of this controller's share, or of the whole invoker, whichever is fuller."""
        return max(self.taken_mb / self.share_mb, (self.taken_mb + self.others_mb) / self.memory_mb)

    def has_room(self, memory_mb: int) -> bool:
        """Whether a container of that size has room there, and needs wait for nobody."""
        taken = self.taken_mb
        within = taken + memory_mb <= self.share_mb or not taken
        return within and taken + self.others_mb + memory_mb <= self.memory_mb

    def may_wait(self, memory_mb: int) -> bool:
        """Whether a job of that size may be sent there, though it waits."""
        taken = self.taken_mb
        if memory_mb > self.memory_mb or (taken and taken + memory_mb > self.limit_mb):
            return False
        return taken + self.others_mb + memory_mb <= self.memory_mb * self.overcommit

    def occupy(self, job: Job) -> int:
        """Put `job` there: into a slot, or into a container of its own. Returns the memory that takes, in MB."""
        self.jobs[job.id] = job
        slots = self.slots.get(job.key)
        if slots is None:
            slots = self.slots[job.key] = Slots(job.concurrency)
        slots.concurrency = job.concurrency
        has_slot = slots.has_slot
        slots.jobs += 1
        if has_slot:
            return 0
        slots.busy += 1
        slots.containers = max(slots.containers, slots.busy)
        self.taken_mb += job.memory_mb
        return job.memory_mb

    def leave(self, job: Job, *, is_usable: bool) -> int:
        """`job` has ended. Returns the memory that gives back, in MB. is_usable: whether its container stays."""
        del self.jobs[job.id]
        slots = self.slots[job.key]
        slots.jobs -= 1
        busy = -(-slots.jobs // job.concurrency)
        freed = slots.busy - busy
        slots.busy = busy
        if not is_usable:
            slots.containers = max(slots.containers - 1, busy)
        self._tidy(job.key, slots)
        self.taken_mb -= freed * job.memory_mb
        return freed * job.memory_mb

    def told(self, containers: Iterable[Containers], *, is_whole: bool) -> list[Key]:
        """The invoker says which containers it has. Returns the keys for which something may be different."""
        counts = {Key(*each[:3]): each.number for each in containers}
        if is_whole:
            counts = dict.fromkeys(self.slots, 0) | counts
        for key, count in counts.items():
            slots = self.slots.get(key)
            if slots is None:
                slots = self.slots[key] = Slots()
            slots.containers = max(count, slots.busy)
            self._tidy(key, slots)
        return list(counts)

    def _tidy(self, key: Key, slots: Slots) -> None:
        if not slots.containers:
            del self.slots[key]
