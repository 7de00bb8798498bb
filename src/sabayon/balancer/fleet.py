"""All invokers that one controller knows, those of the same kinds together."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import attrgetter, itemgetter

from sabayon.balancer.loads import Loads
from sabayon.balancer.ring import Ring
from sabayon.balancer.sharding import Shard


class _Group:
    """Invokers that can run the same kinds."""

    def __init__(self, overcommit: float) -> None:
        self.ring = Ring()
        self.loads = Loads(overcommit)


class Fleet:
    """The shards of this controller, by name, by home and by load.

    taken_mb, share_mb, limit_mb: of all that are open. Only those that are open are met by load; by home all are.
    """

    def __init__(self, overcommit: float) -> None:
        self.controllers = 1
        self.taken_mb = self.share_mb = self.limit_mb = 0
        self._overcommit = overcommit
        self._shards: dict[str, Shard] = {}
        self._groups: dict[frozenset[str], _Group] = {}
        self._of_kind: dict[str, list[_Group]] = {}

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

    def remove(self, shard: Shard) -> None:
        """An invoker is gone."""
        self.set_open(shard, False)
        del self._shards[shard.id]
        ring = self._groups[shard.kinds].ring
        ring.remove(shard)
        if not ring:
            del self._groups[shard.kinds]
            self._of_kind.clear()

    def set_open(self, shard: Shard, is_open: bool) -> None:
        """Whether it may be given jobs."""
        if shard.is_open != is_open:
            self._count(shard, -1)
            shard.is_open = is_open
            self._count(shard, 1)
            self.weigh(shard)

    def divide(self, controllers: int) -> None:
        """From now on that many controllers share all invokers."""
        self.controllers = controllers
        for shard in self._shards.values():
            self._count(shard, -1)
            shard.divide(controllers, self._overcommit)
            self._count(shard, 1)
            self.weigh(shard)

    def took(self, shard: Shard, memory_mb: int) -> None:
        """`shard` has taken that much, or given it back if it is negative."""
        if memory_mb:
            if shard.is_open:
                self.taken_mb += memory_mb
            self.weigh(shard)

    def weigh(self, shard: Shard) -> None:
        """Its load may be different."""
        self._groups[shard.kinds].loads.put(shard)

    def walk(self, start: int, kind: str) -> Iterator[Shard]:
        """Those that can run `kind`, open or not, in the order in which they are met from the point `start` on."""
        walks = [group.ring.walk(start) for group in self._groups_of(kind)]
        return map(itemgetter(1), walks[0] if len(walks) == 1 else merge(*walks, key=itemgetter(0)))

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
            self.share_mb += sign * shard.share_mb
            self.limit_mb += sign * shard.limit_mb
