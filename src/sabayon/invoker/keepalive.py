"""The idle containers: which one to use again, which to pause, and which to let go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain

from sabayon.invoker.instructions import Job, Key
from sabayon.invoker.inventory import Container


class Idle:
    """Idle containers by action, the one used last on top, and by age.

    By age they are in three piles, each sorted: those kept for longer than others, those paused, those awake. They go
    from one to the next as time passes, so that nobody has to look at all of them. memory_mb: what they count for.
    """

    def __init__(self, keep_alive_s: float, pause_grace_s: float) -> None:
        self.memory_mb = 0
        self._keep_alive_s = keep_alive_s
        self._pause_grace_s = pause_grace_s
        self._of: dict[Key, list[Container]] = {}
        self._awake: OrderedDict[int, Container] = OrderedDict()
        self._paused: OrderedDict[int, Container] = OrderedDict()
        self._kept: OrderedDict[int, Container] = OrderedDict()

    def __len__(self) -> int:
        return len(self._awake) + len(self._paused) + len(self._kept)

    def __iter__(self) -> Iterator[Container]:
        """Longest idle first."""
        return chain(self._kept.values(), self._paused.values(), self._awake.values())

    def add(self, container: Container, now: float) -> None:
        """It has no job any more."""
        assert container.key is not None
        container.idle_since = now
        self._awake[container.id] = container
        self._of.setdefault(container.key, []).append(container)
        self.memory_mb += container.counted_mb

    def remove(self, container: Container) -> None:
        """It gets a job, or goes away."""
        assert container.key is not None
        if self._awake.pop(container.id, None) is None and self._paused.pop(container.id, None) is None:
            del self._kept[container.id]
        same = self._of[container.key]
        if len(same) == 1:
            del self._of[container.key]
        else:
            same.remove(container)
        self.memory_mb -= container.counted_mb

    def find(self, job: Job) -> Container | None:
        """The one that was used last: its caches are warmest, and the others may grow old."""
        same = self._of.get(job.key)
        return same[-1] if same and same[-1].fits(job) else None

    def age(self, now: float) -> tuple[list[Container], list[Container]]:
        """Take out and return those that have idled for too long; and return those that are to be paused now."""
        expired, paused = [], []
        for container in list(self._kept.values()):
            if now - container.idle_since >= self._lifetime_s(container):
                self.remove(container)
                expired.append(container)
        while (oldest := self._oldest()) and now - oldest.idle_since >= self._keep_alive_s:
            if now - oldest.idle_since >= self._lifetime_s(oldest):
                self.remove(oldest)
                expired.append(oldest)
                continue
            if self._paused.pop(oldest.id, None) is None:
                del self._awake[oldest.id]
                paused.append(oldest)
            self._kept[oldest.id] = oldest
        while self._awake:
            oldest = next(iter(self._awake.values()))
            if now - oldest.idle_since < self._pause_grace_s:
                break
            self._paused[oldest.id] = self._awake.pop(oldest.id)
            paused.append(oldest)
        return expired, paused

    def give_up(self, memory_mb: int) -> list[Container]:
        """Take out and return paused ones that count for `memory_mb`, longest idle first; none if that is too few."""
        chosen: list[Container] = []
        for container in self._paused.values():
            if memory_mb <= 0:
                break
            if not self._is_kept(container):
                chosen.append(container)
                memory_mb -= container.counted_mb
        if memory_mb > 0:
            return []
        for container in chosen:
            self.remove(container)
        return chosen

    def _oldest(self) -> Container | None:
        """Of those that are not in the pile of the kept."""
        return next(chain(self._paused.values(), self._awake.values()), None)

    def _lifetime_s(self, container: Container) -> float:
        return self._keep_alive_s + (container.kept_warm.extra_s if self._is_kept(container) else 0.0)

    def _is_kept(self, container: Container) -> bool:
        """Whether it is among the last few of its action that are kept for longer."""
        assert container.key is not None
        return len(self._of[container.key]) <= container.kept_warm.count
