"""Placement: which invoker gets a job. Pure: the same events in the same order lead to the same choices.

A job goes, in this order, to an invoker with a slot or a warm container for its action, its home first; to its home or
one of the next on the ring (`ring`) that has room for a container and is not far more loaded than the average; to the
least loaded one that has room. If none has room it waits at the least loaded one, up to a bound. Else it is refused:
better told at once than accepted and late. Only invokers that are open and can run its kind are asked.

What an invoker has room for is counted by limits of memory, in the part of it that belongs to this controller
(`sharding`). Where warm containers are is known from the jobs that this controller placed and from heartbeats; it may
be wrong by the second, which costs a cold start and breaks no promise.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from sabayon.balancer.fleet import Fleet
from sabayon.balancer.instructions import How, Job, Placed, Reason, Refused
from sabayon.balancer.ring import point_of
from sabayon.balancer.sharding import Shard
from sabayon.balancer.warm import Warm
from sabayon.bus.heartbeat import Heartbeat

OVERCOMMIT: Final = 2.0
"""How often the jobs of this controller may take its share of an invoker: behind each that runs one may wait. It also
lets one controller use what the others leave unused."""

NAMESPACE_SHARE: Final = 0.8
"""Of all that may be taken, how much one namespace may take once its jobs would have to wait."""

NEARBY: Final = 16
"""How many invokers are asked on the way round from an action's home."""

BUSY_FACTOR: Final = 1.25
BUSY_FLOOR: Final = 0.25
"""No new container is made near home at an invoker that is loaded by more than the first times the average, if it is
loaded by more than the second at all."""

RETRY_AFTER_S: Final = 1
RETRY_AFTER_NOBODY_S: Final = 5
"""What who is refused is told: a place becomes free every moment, an invoker does not come up so soon."""


class Ended(NamedTuple):
    """A job is no longer at `invoker`."""

    invoker: str
    job: Job


class Placement:
    """The jobs that one controller has at invokers, and where the next one goes. controller: its name in heartbeats."""

    def __init__(self, controller: str, *, overcommit: float = OVERCOMMIT) -> None:
        self._controller = controller
        self._fleet = Fleet(overcommit)
        self._warm = Warm()
        self._where: dict[str, Shard] = {}
        self._namespace_mb: dict[str, int] = {}
        self._refused_mb: dict[str, int] = {}

    def __repr__(self) -> str:
        fleet = self._fleet
        return f"<Placement {len(self._where)} jobs, {fleet.taken_mb} of {fleet.share_mb} MB, {len(fleet)} invokers>"

    def __len__(self) -> int:
        """Jobs that have not ended."""
        return len(self._where)

    def divide(self, controllers: int) -> None:
        """From now on that many controllers, this one included, share all invokers."""
        if controllers != self._fleet.controllers:
            self._refused_mb.clear()
            self._fleet.divide(controllers)

    def update(self, heartbeat: Heartbeat) -> None:
        """An invoker has told how it is. A new one is closed at first."""
        self._refused_mb.clear()
        shard = self._fleet.find(heartbeat.invoker)
        if shard is None:
            shard = Shard(heartbeat.invoker, heartbeat.memory_mb, heartbeat.kinds)
            self._fleet.add(shard)
        taken = heartbeat.taken_mb
        shard.others_mb = sum(taken.values()) - taken.get(self._controller, 0)
        self._fleet.weigh(shard)
        if heartbeat.containers or heartbeat.is_whole:
            for key in shard.told(heartbeat.containers, is_whole=heartbeat.is_whole):
                self._warm.note(shard, key)

    def set_open(self, invoker: str, is_open: bool) -> None:
        """Whether `invoker`, if it is there, may be given jobs. Those that it has stay where they are."""
        if shard := self._fleet.find(invoker):
            self._refused_mb.clear()
            self._fleet.set_open(shard, is_open)

    def remove(self, invoker: str) -> tuple[str, ...]:
        """`invoker` is not there any more. Returns the ids of the jobs that it had, in the order they were placed."""
        shard = self._fleet.find(invoker)
        if shard is None:
            return ()
        jobs = tuple(shard.jobs.values())
        for job in jobs:
            self._leave(shard, job, is_usable=False)
        self._warm.forget(shard)
        self._fleet.remove(shard)
        return tuple(job.id for job in jobs)

    def place(self, job: Job) -> Placed | Refused:
        """Who gets `job`, whose id is of none that has not ended."""
        assert job.id not in self._where, f"{job.id} is at {self._where[job.id].id} already"
        choice = self._with_something_ready(job) or self._near_home(job) or self._least_loaded(job)
        if choice is None or isinstance(choice, Refused):
            return choice or self._refusal(job)
        shard, how = choice
        self._where[job.id] = shard
        memory_mb = shard.occupy(job)
        self._count(shard, job, memory_mb)
        return Placed(shard.id, how)

    def finished(self, job_id: str, *, is_usable: bool = True) -> Ended | None:
        """A job has ended, or is given up; None if it is not known any more. is_usable: whether its container stays."""
        shard = self._where.get(job_id)
        if shard is None:
            return None
        job = shard.jobs[job_id]
        self._leave(shard, job, is_usable=is_usable)
        return Ended(shard.id, job)

    def _leave(self, shard: Shard, job: Job, *, is_usable: bool) -> None:
        del self._where[job.id]
        self._refused_mb.clear()
        self._count(shard, job, -shard.leave(job, is_usable=is_usable))

    def _count(self, shard: Shard, job: Job, memory_mb: int) -> None:
        """`job` has taken that much at `shard`, or given it back if it is negative."""
        self._fleet.took(shard, memory_mb)
        self._warm.note(shard, job.key)
        namespace = job.key.namespace
        taken = self._namespace_mb.get(namespace, 0) + memory_mb
        if taken:
            self._namespace_mb[namespace] = taken
        else:
            self._namespace_mb.pop(namespace, None)

    def _with_something_ready(self, job: Job) -> tuple[Shard, How] | None:
        """The first invoker from the home on where `job` finds a slot or a warm container; else any of them."""
        ready = self._warm.ready(job.key)
        if not ready:
            return None
        if len(ready) > 1:
            for shard in self._nearby(job):
                if shard in ready and self._starts_at_once(shard, job):
                    return shard, How.WARM
        for shard in islice(ready, NEARBY):
            if self._starts_at_once(shard, job):
                return shard, How.WARM
        return None

    def _starts_at_once(self, shard: Shard, job: Job) -> bool:
        if not shard.is_open or shard.id in job.avoid or job.kind not in shard.kinds:
            return False
        return shard.slots[job.key].has_slot or shard.has_room(job.memory_mb)

    def _near_home(self, job: Job) -> tuple[Shard, How] | None:
        """The home, or one of the next, if it has room and is not one of the busiest."""
        fleet = self._fleet
        if not fleet.share_mb:
            return None
        busy = max(BUSY_FLOOR, BUSY_FACTOR * fleet.taken_mb / fleet.share_mb)
        how = How.HOME
        for shard in self._nearby(job):
            is_asked = shard.is_open and shard.id not in job.avoid
            if is_asked and shard.has_room(job.memory_mb) and shard.load <= busy:
                return shard, how
            how = How.NEAR
        return None

    def _nearby(self, job: Job) -> islice[Shard]:
        return islice(self._fleet.walk(point_of(job.key.namespace, job.key.action), job.kind), NEARBY)

    def _least_loaded(self, job: Job) -> tuple[Shard, How] | Refused | None:
        """The least loaded invoker where `job` may wait. None if there is none; refused if its namespace has most."""
        memory_mb = job.memory_mb
        if memory_mb >= self._refused_mb.get(job.kind, memory_mb + 1):
            return None
        for shard in self._fleet.least_loaded(job.kind):
            if shard.id in job.avoid or not shard.may_wait(memory_mb):
                continue
            if shard.has_room(memory_mb):
                return shard, How.SPARE
            if self._is_over_share(job):
                return Refused(Reason.OVER_SHARE, RETRY_AFTER_S)
            return shard, How.OVERCOMMITTED
        if not job.avoid:
            self._refused_mb[job.kind] = memory_mb
        return None

    def _is_over_share(self, job: Job) -> bool:
        taken = self._namespace_mb.get(job.key.namespace, 0)
        return taken > 0 and taken + job.memory_mb > self._fleet.limit_mb * NAMESPACE_SHARE

    def _refusal(self, job: Job) -> Refused:
        """Why there is nobody for `job`."""
        if not self._fleet.share_mb:
            return Refused(Reason.NOBODY_IS_UP, RETRY_AFTER_NOBODY_S)
        if not any(self._could_run(shard, job) for shard in self._fleet):
            return Refused(Reason.NOBODY_CAN_RUN_IT, RETRY_AFTER_NOBODY_S)
        return Refused(Reason.OVERLOADED, RETRY_AFTER_S)

    def _could_run(self, shard: Shard, job: Job) -> bool:
        """Whether `job` could be there if nothing else were."""
        is_asked = shard.is_open and shard.id not in job.avoid
        return is_asked and job.kind in shard.kinds and job.memory_mb <= shard.memory_mb
