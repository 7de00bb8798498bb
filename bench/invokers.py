"""Invokers that only count: containers with and without jobs, memory, keep-alive, and who waits."""

from __future__ import annotations

from collections import OrderedDict, deque

from sabayon.balancer.instructions import Job, Key
from sabayon.bus.heartbeat import Containers, Heartbeat

IDLE_MB = 64
"""What an idle container holds: a Python function with libraries."""

KIND = "python:3.11"


class Invoker:
    """One machine. A job uses an idle container of its action, else a new one, for which the longest idle make way."""

    def __init__(self, id: str, memory_mb: int, keep_alive_s: float) -> None:
        self.id = id
        self.memory_mb = memory_mb
        self.busy_mb = self.waiting_mb = 0
        self.waiting: deque[Job] = deque()
        self._keep_alive_s = keep_alive_s
        self._idle: OrderedDict[int, tuple[Key, float]] = OrderedDict()
        self._of: dict[Key, list[int]] = {}
        self._containers: dict[Key, int] = {}
        self._changed: dict[Key, None] = {}
        self._taken: dict[str, int] = {}
        self._last = 0

    @property
    def load(self) -> float:
        return (self.busy_mb + self.waiting_mb) / self.memory_mb

    def start(self, job: Job, now: float) -> bool | None:
        """Whether it starts warm; None if it waits."""
        self._expire(now)
        if self.busy_mb + job.memory_mb > self.memory_mb:
            self.waiting.append(job)
            self.waiting_mb += job.memory_mb
            return None
        idle = self._of.get(job.key)
        is_warm = idle is not None
        if idle:
            self._take_idle(idle[-1])
        self.busy_mb += job.memory_mb
        while self.busy_mb + len(self._idle) * IDLE_MB > self.memory_mb:
            self._remove(next(iter(self._idle)))
        if not is_warm:
            self._count(job.key, 1)
        return is_warm

    def end(self, job: Job, now: float) -> Job | None:
        """Its container idles from now on. Returns who may start in its place, if anybody waits."""
        self.busy_mb -= job.memory_mb
        self._last += 1
        self._idle[self._last] = (job.key, now)
        self._of.setdefault(job.key, []).append(self._last)
        if self.waiting and self.busy_mb + self.waiting[0].memory_mb <= self.memory_mb:
            following = self.waiting.popleft()
            self.waiting_mb -= following.memory_mb
            return following
        return None

    def heartbeat(self, now: float) -> Heartbeat:
        self._expire(now)
        told = tuple(Containers(*key, self._containers.get(key, 0)) for key in self._changed)
        self._changed.clear()
        return Heartbeat(
            invoker=self.id,
            started_ms=1,
            memory_mb=self.memory_mb,
            kinds=frozenset({KIND}),
            taken_mb=dict(self._taken),
            containers=told,
        )

    def count_for(self, controller: str, memory_mb: int) -> None:
        """Whose job takes, or gives back, that much."""
        self._taken[controller] = self._taken.get(controller, 0) + memory_mb

    def _expire(self, now: float) -> None:
        while self._idle:
            number, (_, since) = next(iter(self._idle.items()))
            if now - since < self._keep_alive_s:
                return
            self._remove(number)

    def _take_idle(self, number: int) -> Key:
        key, _ = self._idle.pop(number)
        same = self._of[key]
        same.remove(number)
        if not same:
            del self._of[key]
        return key

    def _remove(self, number: int) -> None:
        self._count(self._take_idle(number), -1)

    def _count(self, key: Key, change: int) -> None:
        count = self._containers.get(key, 0) + change
        self._changed[key] = None
        if count:
            self._containers[key] = count
        else:
            self._containers.pop(key, None)
