"""Homes of actions: a hash ring, on which each invoker has points and each action has one.

An action's home is the invoker that is met first on the way round from its point, and who is met after it comes next
if the home is full. All controllers agree without a word between them. When an invoker goes, only its own actions move,
and to many others; when it comes back they return. An invoker has points, and so actions, by its memory.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from hashlib import blake2b, shake_128
from itertools import chain, islice
from typing import Final

from sabayon.balancer.sharding import Shard

MB_PER_POINT: Final = 256
FEWEST_POINTS: Final = 16
MOST_POINTS: Final = 256
POINT_BYTES: Final = 8
CIRCUMFERENCE: Final = 1 << 8 * POINT_BYTES


def point_of(namespace: str, action: str) -> int:
    """Where the actions of that name have their point."""
    return int.from_bytes(blake2b(f"{namespace} {action}".encode(), digest_size=POINT_BYTES).digest(), "big")


def _points_of(shard: Shard) -> list[int]:
    count = max(FEWEST_POINTS, min(MOST_POINTS, shard.memory_mb // MB_PER_POINT))
    stream = shake_128(shard.id.encode()).digest(count * POINT_BYTES)
    return [int.from_bytes(stream[at : at + POINT_BYTES], "big") for at in range(0, len(stream), POINT_BYTES)]


class Ring:
    """Invokers at their points. Sorted when it is next used, as they come and go many at a time."""

    def __init__(self) -> None:
        self._owners: dict[int, Shard] = {}
        self._sorted: list[int] | None = []

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._owners)

    def add(self, shard: Shard) -> None:
        """An invoker comes, or comes back, to the points it has always had."""
        self._owners.update(dict.fromkeys(_points_of(shard), shard))
        self._sorted = None

    def remove(self, shard: Shard) -> None:
        """An invoker goes. Its memory is what it was when it came."""
        for point in _points_of(shard):
            self._owners.pop(point, None)
        self._sorted = None

    def walk(self, start: int) -> Iterator[tuple[int, Shard]]:
        """Each invoker once, in the order in which it is met from `start` on, with its distance."""
        if self._sorted is None:
            self._sorted = sorted(self._owners)
        points, owners = self._sorted, self._owners
        first = bisect(points, start)
        met: set[Shard] = set()
        for point in chain(islice(points, first, None), islice(points, first)):
            owner = owners[point]
            if owner not in met:
                met.add(owner)
                yield (point - start) % CIRCUMFERENCE, owner
