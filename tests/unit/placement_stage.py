"""A balancer's placement with somebody who counts along, and who notices whatever it must not choose.

What each invoker holds is known from the choices alone; what placement says about itself is compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from sabayon.balancer.instructions import How, Job, Key, Placed, Reason, Refused
from sabayon.balancer.placement import NAMESPACE_SHARE, Placement
from sabayon.bus.heartbeat import Containers, Heartbeat

PYTHON = "python:3.11"
NODE = "nodejs:20"
BOTH = frozenset({PYTHON, NODE})
CONTROLLER = "controller-1"
OTHER = "controller-2"


@dataclass
class Invoker:
    """What is so at one invoker. told_mb: what the others have there, by its last heartbeat."""

    id: str
    memory_mb: int
    kinds: frozenset[str]
    is_open: bool = False
    told_mb: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def taken_mb(self) -> int:
        """Containers that the jobs need at least, at their limit."""
        count = Counter(job.key for job in self.jobs.values())
        limits = {job.key: job for job in self.jobs.values()}
        return sum(ceil(n / limits[key].concurrency) * limits[key].memory_mb for key, n in count.items())

    def takes_mb(self, job: Job) -> int:
        """How much more `job` takes: nothing if there is a slot."""
        same = sum(each.key == job.key for each in self.jobs.values())
        return 0 if same % job.concurrency else job.memory_mb


class Stage:
    """Placement and its invokers. Choices that break a promise fail."""

    def __init__(self, make: Callable[..., Placement] = Placement, *, overcommit: float = 2.0) -> None:
        self.placement = make(CONTROLLER, overcommit=overcommit)
        self.overcommit = overcommit
        self.controllers = 1
        self.invokers: dict[str, Invoker] = {}
        self.running: dict[str, Invoker] = {}
        self._number = 0

    def join(self, id: str, memory_mb: int = 1024, kinds: frozenset[str] = BOTH, *, is_open: bool = True) -> None:
        self.invokers[id] = Invoker(id, memory_mb, kinds)
        self.beat(id)
        if is_open:
            self.set_open(id, True)

    def beat(
        self, id: str, others_mb: int = 0, containers: tuple[Containers, ...] = (), *, is_whole: bool = False
    ) -> None:
        invoker = self.invokers[id]
        invoker.told_mb = others_mb
        self.placement.update(
            Heartbeat(
                invoker=id,
                started_ms=1,
                memory_mb=invoker.memory_mb,
                kinds=invoker.kinds,
                taken_mb={CONTROLLER: 999, OTHER: others_mb},
                containers=containers,
                is_whole=is_whole,
            )
        )

    def set_open(self, id: str, is_open: bool) -> None:
        self.invokers[id].is_open = is_open
        self.placement.set_open(id, is_open)

    def divide(self, controllers: int) -> None:
        self.controllers = controllers
        self.placement.divide(controllers)

    def leave(self, id: str) -> tuple[str, ...]:
        invoker = self.invokers.pop(id)
        lost = self.placement.remove(id)
        assert lost == tuple(invoker.jobs), f"{lost} are lost, and {tuple(invoker.jobs)} were there"
        for job_id in lost:
            del self.running[job_id]
            assert self.placement.finished(job_id) is None
        self.check()
        return lost

    def job(
        self,
        action: str = "a",
        *,
        namespace: str = "alice",
        kind: str = PYTHON,
        memory_mb: int = 256,
        concurrency: int = 1,
        avoid: frozenset[str] = frozenset(),
    ) -> Job:
        self._number += 1
        key = Key(namespace, f"{namespace}/{action}", 1)
        return Job(f"{action}{self._number}", key, kind, memory_mb, concurrency, avoid)

    def place(self, job: Job) -> Placed | Refused:
        before = {id: invoker.taken_mb for id, invoker in self.invokers.items()}
        choice = self.placement.place(job)
        if isinstance(choice, Refused):
            self._check_refusal(job, choice)
            self.check()
            return choice
        invoker = self.invokers[choice.invoker]
        assert invoker.is_open, f"{choice.invoker} is closed"
        assert job.kind in invoker.kinds, f"{choice.invoker} cannot run {job.kind}"
        assert invoker.id not in job.avoid, f"{choice.invoker} was to be avoided"
        takes_mb = invoker.takes_mb(job)
        invoker.jobs[job.id] = job
        self.running[job.id] = invoker
        self._check_bounds(invoker, takes_mb, before[invoker.id], choice.how)
        self.check()
        return choice

    def finish(self, job_id: str, *, is_usable: bool = True) -> None:
        invoker = self.running.pop(job_id)
        job = invoker.jobs.pop(job_id)
        ended = self.placement.finished(job_id, is_usable=is_usable)
        assert ended == (invoker.id, job)
        assert self.placement.finished(job_id) is None, f"{job_id} ended twice"
        self.check()

    def share_mb(self, invoker: Invoker) -> int:
        return invoker.memory_mb // self.controllers

    def may_take(self, invoker: Invoker, job: Job) -> bool:
        """Whether `job` may be there, though it waits."""
        takes, taken = invoker.takes_mb(job), invoker.taken_mb
        if not invoker.is_open or job.kind not in invoker.kinds or invoker.id in job.avoid:
            return False
        if not takes:
            return True
        is_within = taken + takes <= int(self.share_mb(invoker) * self.overcommit) or not taken
        total = taken + invoker.told_mb + takes
        return takes <= invoker.memory_mb and is_within and total <= invoker.memory_mb * self.overcommit

    def check(self) -> None:
        """Nothing is counted that is not there, and all that is there is counted."""
        assert len(self.placement) == len(self.running), "jobs are counted wrongly"
        fleet = self.placement._fleet
        for shard in fleet:
            invoker = self.invokers[shard.id]
            assert shard.taken_mb == invoker.taken_mb, f"memory of {shard.id} is counted wrongly"
        open_shards = [shard for shard in fleet if shard.is_open]
        assert fleet.taken_mb == sum(s.taken_mb for s in open_shards), "memory of the fleet is counted wrongly"
        assert fleet.limit_mb == sum(s.limit_mb for s in open_shards), "limits of the fleet are counted wrongly"

        for key, ready in self.placement._warm._ready.items():
            for shard in ready:
                assert fleet.find(shard.id) is shard, f"something is warm at {shard.id}, which is gone"
                slots = shard.slots[key]
                assert slots.has_slot or slots.has_idle, f"nothing is warm for {key} at {shard.id}"

    def _check_bounds(self, invoker: Invoker, takes_mb: int, before_mb: int, how: How) -> None:
        if not takes_mb:
            return
        assert takes_mb <= invoker.memory_mb, f"{invoker.id} never has so much memory"
        taken, share_mb = before_mb + takes_mb, self.share_mb(invoker)
        assert taken <= int(share_mb * self.overcommit) or not before_mb, f"{invoker.id} is over the limit"
        assert taken <= invoker.memory_mb * self.overcommit, f"{invoker.id} is over the limit"
        total = taken + invoker.told_mb
        assert total <= invoker.memory_mb * self.overcommit, f"{invoker.id} is over the limit with the others"
        if how is not How.OVERCOMMITTED:
            assert taken <= share_mb or not before_mb, f"{invoker.id} has no room in this controller's share"
            assert total <= invoker.memory_mb, f"{invoker.id} has no room"

    def _check_refusal(self, job: Job, refused: Refused) -> None:
        able = [invoker for invoker in self.invokers.values() if self.may_take(invoker, job)]
        if refused.reason is Reason.OVER_SHARE:
            own = Counter[str]()
            for invoker in self.invokers.values():
                for key in {each.key for each in invoker.jobs.values() if each.key.namespace == job.key.namespace}:
                    jobs = [each for each in invoker.jobs.values() if each.key == key]
                    own[job.key.namespace] += ceil(len(jobs) / jobs[0].concurrency) * jobs[0].memory_mb
            limit = sum(int(self.share_mb(i) * self.overcommit) for i in self.invokers.values() if i.is_open)
            taken = own[job.key.namespace]
            assert taken, "a namespace that has nothing is over its share"
            assert taken + job.memory_mb > limit * NAMESPACE_SHARE, "a namespace is not over its share"
        else:
            assert not able, f"{job.id} is refused, and {able[0].id} may take it"
        assert refused.retry_after_s > 0
