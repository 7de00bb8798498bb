"""All invokers that one controller knows, those of the same kinds together."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Final

from sabayon.balancer.loads import Loads
from sabayon.balancer.ring import Ring, point_of
from sabayon.balancer.sharding import Shard

EMPTY_FILL: Final = 0.25
"""Up to here an invoker counts as next to empty, whatever the others are."""

NEARBY: Final = 16
"""How many invokers are near an action's home."""

REMEMBERED: Final = 50_000
"""Of how many actions it is remembered who is near."""


class _Group:
    """Invokers that can run the same kinds."""

    def __init__(self, overcommit: float) -> None:
        self.ring = Ring()
        self.loads = Loads(overcommit)


class Fleet:
    """The shards of this controller, by name, by home and by load.

    Of all that are open: taken_mb, limit_mb as of a shard; memory_mb, and filled_mb, what the jobs of all controllers
    take of it. Only those that are open are met by load; by home all are.
    """

    def __init__(self, overcommit: float) -> None:
        self.controllers = 1
        self.taken_mb = self.filled_mb = self.memory_mb = self.limit_mb = 0
        self._overcommit = overcommit
        self._shards: dict[str, Shard] = {}
        self._groups: dict[frozenset[str], _Group] = {}
        self._of_kind: dict[str, list[_Group]] = {}
        self._nearby: dict[tuple[str, str, str], tuple[Shard, ...]] = {}

    def __len__(self) -> int:
        return len(self._shards)

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards.values())

    def find(self, id: str) -> Shard | None:
        """None for one that is not there."""
        return self._shards.get(id)

    def add(self, shard: Shard) -> None:
        """An invoker is there, closed at first."""
        shard.divide(self.controllers, self._overcommit)
        self._shards[shard.id] = shard
        if shard.kinds not in self._groups:
            self._groups[shard.kinds] = _Group(self._overcommit)
            self._of_kind.clear()
        self._groups[shard.kinds].ring.add(shard)
        self._nearby.clear()

    def remove(self, shard: Shard) -> None:
        """An invoker is gone."""
        self.set_open(shard, False)
        del self._shards[shard.id]
        ring = self._groups[shard.kinds].ring
        ring.remove(shard)
        self._nearby.clear()
        if not ring:
            del self._groups[shard.kinds]
            self._of_kind.clear()

    def set_open(self, shard: Shard, is_open: bool) -> None:
        """Whether it may be given jobs."""
        if shard.is_open != is_open:
            self._count(shard, -1)
            shard.is_open = is_open
            self._count(shard, 1)
            self._weigh(shard)

    def divide(self, controllers: int) -> None:
        """From now on that many controllers share all invokers."""
        self.controllers = controllers
        for shard in self._shards.values():
            self._count(shard, -1)
            shard.divide(controllers, self._overcommit)
            self._count(shard, 1)
            self._weigh(shard)

    def took(self, shard: Shard, memory_mb: int) -> None:
        """`shard` has taken that much, or given it back if it is negative."""
        if memory_mb:
            if shard.is_open:
                self.taken_mb += memory_mb
                self.filled_mb += memory_mb
            self._weigh(shard)

    def told(self, shard: Shard, others_mb: int) -> None:
        """From now on the other controllers' jobs take that much there."""
        if others_mb != shard.others_mb:
            if shard.is_open:
                self.filled_mb += others_mb - shard.others_mb
            shard.others_mb = others_mb
            self._weigh(shard)

    def is_crowded(self, shard: Shard, factor: float) -> bool:
        """Whether `shard` is filled by more than `factor` times the average, and not next to empty."""
        filled_mb = max(EMPTY_FILL * self.memory_mb, factor * self.filled_mb)
        return shard.fill * self.memory_mb > filled_mb

    def _weigh(self, shard: Shard) -> None:
        self._groups[shard.kinds].loads.put(shard)

    def nearby(self, namespace: str, action: str, kind: str) -> tuple[Shard, ...]:
        """The home of an action, and who comes next; all can run its kind, and some may be closed."""
        wanted = (namespace, action, kind)
        found = self._nearby.get(wanted)
        if found is None:
            start = point_of(namespace, action)
            walks = [group.ring.walk(start) for group in self._groups_of(kind)]
            found = tuple(shard for _, shard in islice(merge(*walks, key=itemgetter(0)), NEARBY))
            if len(self._nearby) >= REMEMBERED:
                self._nearby.clear()
            self._nearby[wanted] = found
        return found

    def least_loaded(self, kind: str) -> Iterator[Shard]:
        """Those that are open and can run `kind`, least loaded first, except those that can take nothing."""
        groups = self._groups_of(kind)
        if len(groups) == 1:
            return iter(groups[0].loads)
        return merge(*(group.loads for group in groups), key=attrgetter("bucket"))

    def _groups_of(self, kind: str) -> list[_Group]:
        groups = self._of_kind.get(kind)
        if groups is None:
            groups = [group for kinds, group in self._groups.items() if kind in kinds]
            if groups:
                self._of_kind[kind] = groups
        return groups

    def _count(self, shard: Shard, sign: int) -> None:
        if shard.is_open:
            self.taken_mb += sign * shard.taken_mb
            self.filled_mb += sign * (shard.taken_mb + shard.others_mb)
            self.memory_mb += sign * shard.memory_mb
            self.limit_mb += sign * shard.limit_mb
