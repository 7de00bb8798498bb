"""Ways to place jobs, side by side: ours, and those that it is compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import gcd
from typing import Protocol

from sabayon.balancer.instructions import Job, Placed
from sabayon.balancer.placement import Placement
from sabayon.bus.heartbeat import Heartbeat


class Placing(Protocol):
    """Chooses invokers by number."""

    def place(self, job: Job) -> int | None:
        """None if the job is refused."""

    def finished(self, job: Job) -> None: ...

    def heard(self, invoker: int, heartbeat: Heartbeat) -> None: ...


class Ours:
    """Sabayon's, by one controller or by several that share the invokers and are asked in turn."""

    def __init__(self, invokers: Sequence[str], controllers: int) -> None:
        self.number = {id: n for n, id in enumerate(invokers)}
        self.names = [f"controller{n}" for n in range(controllers)]
        self.placements = [Placement(name) for name in self.names]
        for placement in self.placements:
            placement.divide(controllers)
        self._at: dict[str, Placement] = {}
        self._turn = 0

    def place(self, job: Job) -> int | None:
        placement = self.placements[self._turn]
        self._turn = (self._turn + 1) % len(self.placements)
        choice = placement.place(job)
        if not isinstance(choice, Placed):
            return None
        self._at[job.id] = placement
        return self.number[choice.invoker]

    def finished(self, job: Job) -> None:
        self._at.pop(job.id).finished(job.id)

    def heard(self, invoker: int, heartbeat: Heartbeat) -> None:
        for placement in self.placements:
            placement.update(heartbeat)
            placement.set_open(heartbeat.invoker, True)


def hash_of(job: Job) -> int:
    text = f"{job.key.namespace} {job.key.action}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class HashOnly:
    """Each job goes to its action's home, full or not."""

    def __init__(self, count: int) -> None:
        self._count = count

    def place(self, job: Job) -> int:
        return hash_of(job) % self._count

    def finished(self, job: Job) -> None:
        pass

    def heard(self, invoker: int, heartbeat: Heartbeat) -> None:
        pass


class Random(HashOnly):
    """Each job goes to anybody."""

    def __init__(self, count: int, chance: random.Random) -> None:
        super().__init__(count)
        self._chance = chance

    def place(self, job: Job) -> int:
        return self._chance.randrange(self._count)


class CoprimeSteps(HashOnly):
    """What OpenWhisk describes: home by modulo, coprime steps on to who has room, anybody if nobody has."""

    def __init__(self, count: int, memory_mb: int, chance: random.Random) -> None:
        super().__init__(count)
        self._free_mb = [memory_mb] * count
        self._at: dict[str, int] = {}
        self._chance = chance
        self._steps: list[int] = []
        for step in range(1, count + 1):
            if gcd(step, count) == 1 and all(gcd(step, other) == 1 for other in self._steps):
                self._steps.append(step)

    def place(self, job: Job) -> int:
        hashed = hash_of(job)
        index, step = hashed % self._count, self._steps[hashed % len(self._steps)]
        for _ in range(self._count):
            if self._free_mb[index] >= job.memory_mb:
                break
            index = (index + step) % self._count
        else:
            index = self._chance.randrange(self._count)
        self._free_mb[index] -= job.memory_mb
        self._at[job.id] = index
        return index

    def finished(self, job: Job) -> None:
        self._free_mb[self._at.pop(job.id)] += job.memory_mb


def all_ways(ids: Sequence[str], memory_mb: int, seed: int) -> dict[str, Callable[[], Placing]]:
    """Makers by name, ours first."""
    count = len(ids)
    return {
        "ours": lambda: Ours(ids, 1),
        "ours, 4 controllers": lambda: Ours(ids, 4),
        "coprime steps": lambda: CoprimeSteps(count, memory_mb, random.Random(seed)),
        "hash only": lambda: HashOnly(count),
        "random": lambda: Random(count, random.Random(seed)),
    }
