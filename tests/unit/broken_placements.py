"""Placements that break one promise each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from sabayon.balancer.fleet import Fleet
from sabayon.balancer.instructions import How, Job, Placed, Refused
from sabayon.balancer.placement import Placement
from sabayon.balancer.sharding import Shard
from sabayon.balancer.warm import Warm
from sabayon.bus.heartbeat import Heartbeat
from tests.unit.placement_stage import PYTHON

BROKEN: Final[list[Any]] = []


def noticed(text: str) -> Callable[[type], type]:
    """Marks a placement that breaks a promise, with how that is noticed first."""

    def mark(kind: type) -> type:
        BROKEN.append(pytest.param(kind, text, id=kind.__name__))
        return kind

    return mark


class _Reshaped(Placement):
    """A placement whose shards are of another kind."""

    SHARD: type[Shard] = Shard

    def update(self, heartbeat: Heartbeat) -> None:
        if self._fleet.find(heartbeat.invoker) is None:
            self._fleet.add(self.SHARD(heartbeat.invoker, heartbeat.memory_mb, heartbeat.kinds))
        super().update(heartbeat)


@noticed("is closed")
class SendsToTheDraining(Placement):
    """What is warm is used, whatever its invoker does."""

    def _starts_at_once(self, shard: Shard, job: Job) -> bool:
        return shard.id not in job.avoid and (shard.slots[job.key].has_slot or shard.has_room(job.memory_mb))


@noticed("is closed")
class SendsHomeToTheDead(Placement):
    def _near_home(self, job: Job) -> tuple[Shard, How] | None:
        shard = next(iter(self._nearby(job)), None)
        return (shard, How.HOME) if shard and shard.has_room(job.memory_mb) and shard.id not in job.avoid else None


@noticed("was to be avoided")
class TriesTheSameAgain(Placement):
    def place(self, job: Job) -> Placed | Refused:
        return super().place(job._replace(avoid=frozenset()))


@noticed("cannot run")
class KnowsNoKinds(Placement):
    def place(self, job: Job) -> Placed | Refused:
        return super().place(job._replace(kind=PYTHON))


@noticed("is over the limit|has no room")
class OvercommitsWithoutEnd(_Reshaped):
    class SHARD(Shard):
        def may_wait(self, memory_mb: int) -> bool:
            return memory_mb <= self.memory_mb


@noticed("never has so much memory")
class SendsTheLargeToTheSmall(_Reshaped):
    class SHARD(Shard):
        def may_wait(self, memory_mb: int) -> bool:
            return super().may_wait(min(memory_mb, self.memory_mb))


@noticed("is over the limit with the others|has no room")
class HearsNothingOfTheOthers(Placement):
    def update(self, heartbeat: Heartbeat) -> None:
        super().update(Heartbeat(**{f: getattr(heartbeat, f) for f in heartbeat.__struct_fields__} | {"taken_mb": {}}))


@noticed("limits of the fleet are counted wrongly|share|over the limit")
class OwnsAllMemoryAlone(Placement):
    """Counts no other controllers."""

    def divide(self, controllers: int) -> None:
        pass


@noticed("memory of .* is counted wrongly")
class GivesBackTooMuch(_Reshaped):
    """Memory for each job, as if none had shared a container."""

    class SHARD(Shard):
        def leave(self, job: Job, *, is_usable: bool) -> int:
            freed = super().leave(job, is_usable=is_usable)
            self.taken_mb -= job.memory_mb - freed
            return job.memory_mb


@noticed("memory of .* is counted wrongly")
class KeepsWhatEndedBadly(_Reshaped):
    class SHARD(Shard):
        def leave(self, job: Job, *, is_usable: bool) -> int:
            freed = super().leave(job, is_usable=is_usable)
            self.taken_mb += 0 if is_usable else freed
            return freed if is_usable else 0


@noticed("memory of the fleet is counted wrongly")
class CountsTheClosed(Placement):
    def __init__(self, controller: str, *, overcommit: float) -> None:
        super().__init__(controller, overcommit=overcommit)
        self._fleet = _CountsAll(overcommit)


class _CountsAll(Fleet):
    def took(self, shard: Shard, memory_mb: int) -> None:
        self.taken_mb += memory_mb
        self.weigh(shard)


@noticed("is refused, and .* may take it")
class RefusesForGood(Placement):
    """What was refused once is refused though there is room again."""

    def _leave(self, shard: Shard, job: Job, *, is_usable: bool) -> None:
        refused = dict(self._refused_mb)
        super()._leave(shard, job, is_usable=is_usable)
        self._refused_mb.update(refused)


@noticed("is refused, and .* may take it")
class AsksOnlyTheNearest(Placement):
    def _least_loaded(self, job: Job) -> tuple[Shard, How] | Refused | None:
        return None


@noticed("a namespace is not over its share|a namespace that has nothing")
class GrudgesAll(Placement):
    def _is_over_share(self, job: Job) -> bool:
        return True


@noticed("which is gone")
class RemembersWhatWasWarm(Placement):
    def remove(self, invoker: str) -> tuple[str, ...]:
        warm, self._warm = self._warm, Warm()
        lost = super().remove(invoker)
        self._warm = warm
        return lost


@noticed("are lost")
class ForgetsWhatIsLost(Placement):
    def remove(self, invoker: str) -> tuple[str, ...]:
        return super().remove(invoker)[:0]
