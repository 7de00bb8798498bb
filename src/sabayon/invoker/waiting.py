"""Jobs without a container: first come first served within a namespace, namespaces in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from sabayon.invoker.instructions import Instruction, Job

PATIENCE_S: Final = 2.0
"""A job that has waited longer for room keeps others from taking what becomes free."""

Place = Callable[[Job], list[Instruction] | None]


class Queues:
    """One queue for each namespace of which a job waits; the namespace whose turn it is comes first."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[tuple[Job, float]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, job: Job, now: float) -> None:
        """A job has to wait, behind the others of its namespace."""
        self._queues.setdefault(job.key.namespace, deque()).append((job, now))

    def clear(self) -> list[Job]:
        """Forget all jobs, which are these."""
        jobs = [job for queue in self._queues.values() for job, _ in queue]
        self._queues.clear()
        return jobs

    def serve(self, place: Place, waits_for_itself: Callable[[Job], bool], now: float) -> list[Instruction]:
        """Place one job of each namespace after the other until nobody's first job can be placed.

        place: gives a job a container, or None. waits_for_itself: whether only its own namespace holds a job up; nobody
        else has to be patient for such a job.
        """
        instructions: list[Instruction] = []
        is_placed = True
        while is_placed:
            is_placed = False
            for namespace in list(self._queues):
                job, since = self._queues[namespace][0]
                placed = place(job)
                if placed is not None:
                    is_placed = True
                    instructions += placed
                    self._take_first(namespace)
                elif now - since > PATIENCE_S and not waits_for_itself(job):
                    return instructions
        return instructions

    def _take_first(self, namespace: str) -> None:
        """The namespace goes to the end: the others come first."""
        queue = self._queues.pop(namespace)
        queue.popleft()
        if queue:
            self._queues[namespace] = queue
