"""Stem cells: those there are, and how many there should be.

Each class, one kind with one memory limit and one egress, has its number at the start. From then on the number follows
what was asked for since the last check, one `ttl_s` ago: cold starts that found no stem cell // threshold × increment,
but at least as many as were taken, between minimum and maximum. It grows at once, and shrinks only at a check.

Memory limits that nobody configured are learned: cold starts of a kind that has stem cells make a class of their own,
for as long as it is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from sabayon.invoker.instructions import Cell
from sabayon.invoker.inventory import Container
from sabayon.invoker.stem_cells import StemCells

LEARNED_CLASSES: Final = 4
"""How many classes are learned at most: each may hold memory and cost starts for nothing."""

MAX_FAILURES: Final = 5
"""After so many failed starts in a row, a class is left alone until its next check."""


@dataclass(slots=True)
class _Class:
    """One class and what was asked of it since its last check. count: those that still start included."""

    wanted: StemCells
    desired: int
    is_learned: bool
    count: int = 0
    cold_starts: int = 0
    taken: int = 0
    failures: int = 0
    ends_at: float | None = None

    def grow(self) -> None:
        self.desired = max(self.desired, self._asked_for(0))

    def check(self) -> None:
        self.desired = self._asked_for(self.taken)
        self.cold_starts = self.taken = self.failures = 0

    def _asked_for(self, at_least: int) -> int:
        wanted = self.wanted
        asked = max(at_least, self.cold_starts // wanted.threshold * wanted.increment)
        return min(max(asked, wanted.minimum), wanted.maximum)


class Prewarm:
    """The stem cells of a pool. memory_mb: what they count for."""

    def __init__(self, classes: Iterable[StemCells]) -> None:
        self.memory_mb = 0
        self._classes = {wanted.cell: _Class(wanted, wanted.initial, False) for wanted in classes}
        self._templates = {cell.kind: each.wanted for cell, each in self._classes.items()}
        self._starting: OrderedDict[int, Container] = OrderedDict()
        self._ready: dict[Cell, OrderedDict[int, Container]] = {}

    def __len__(self) -> int:
        return len(self._starting) + sum(map(len, self._ready.values()))

    def starting(self) -> Iterator[Container]:
        """Those that cannot be used yet."""
        return iter(self._starting.values())

    def ready(self) -> Iterator[Container]:
        """Those that can be used, longest waiting first within each class."""
        return chain(*(ready.values() for ready in self._ready.values()))

    def missing(self) -> list[Cell]:
        """What there should be more of."""
        return [
            cell
            for cell, each in self._classes.items()
            if each.failures < MAX_FAILURES
            for _ in range(each.desired - each.count)
        ]

    def find(self, cell: Cell) -> Container | None:
        """The one of a class that has waited longest, if one has started."""
        ready = self._ready.get(cell)
        return next(iter(ready.values())) if ready else None

    def add(self, container: Container) -> None:
        """One begins to start."""
        self._starting[container.id] = container
        self._classes[container.cell].count += 1
        self.memory_mb += container.counted_mb

    def started(self, container: Container, now: float) -> None:
        """One can be used, and counts for what it holds instead of for its limit."""
        del self._starting[container.id]
        container.idle_since = now
        self._ready.setdefault(container.cell, OrderedDict())[container.id] = container
        self.memory_mb += container.counted_mb - container.cell.memory_mb
        self._classes[container.cell].failures = 0

    def remove(self, container: Container) -> None:
        """One goes away, or gets a job."""
        if self._starting.pop(container.id, None) is None:
            ready = self._ready[container.cell]
            del ready[container.id]
            if not ready:
                del self._ready[container.cell]
        self.memory_mb -= container.counted_mb
        self._classes[container.cell].count -= 1

    def lost(self, container: Container) -> None:
        """One went away by itself: before it had started, this is a failure."""
        if container.id in self._starting:
            self._classes[container.cell].failures += 1
        self.remove(container)

    def take(self, container: Container) -> None:
        """One gets a job."""
        self.remove(container)
        self._classes[container.cell].taken += 1

    def cold_start(self, cell: Cell) -> None:
        """A container had to be made because no stem cell of its class was there."""
        each = self._classes.get(cell)
        if each is None:
            template = self._templates.get(cell.kind)
            if template is None or sum(each.is_learned for each in self._classes.values()) >= LEARNED_CLASSES:
                return
            learned = template._replace(cell=cell, initial=0, minimum=0)
            each = self._classes[cell] = _Class(learned, 0, True)
        each.cold_starts += 1

    def check(self, now: float) -> list[Container]:
        """Time has passed: bring the numbers up to date; take out and return those that nobody has asked for."""
        surplus = []
        for cell, each in list(self._classes.items()):
            if each.ends_at is None:
                each.ends_at = now + each.wanted.ttl_s
            if now >= each.ends_at:
                each.ends_at = now + each.wanted.ttl_s
                each.check()
            else:
                each.grow()
            while each.count > each.desired and (oldest := self.find(cell)):
                if now - oldest.idle_since < each.wanted.ttl_s:
                    break
                self.remove(oldest)
                surplus.append(oldest)
            if each.is_learned and not (each.desired or each.count or each.cold_starts):
                del self._classes[cell]
        return surplus

    def stop(self) -> None:
        """From now on there should be none."""
        self._templates.clear()
        for each in self._classes.values():
            each.desired, each.wanted = 0, each.wanted._replace(minimum=0, maximum=0)
