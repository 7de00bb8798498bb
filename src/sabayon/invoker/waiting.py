"""Jobs without a container: namespaces in turn for memory, and whoever finds a slot at once.

Within a namespace memory goes to who came first. A slot in a busy container costs no memory, so jobs that find one pass
all others, except those of their own action that came before them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from sabayon.invoker.instructions import Instruction, Job, Key

PATIENCE_S: Final = 2.0
"""A job that has waited longer for memory keeps others from taking what becomes free."""

Place = Callable[[Job, float], list[Instruction] | None]
"""Gives a job a container at a time, or None."""


class Queues:
    """One queue for each namespace of which a job waits; the namespace whose turn it is comes first.

    waits_for_itself: whether only its own namespace holds a job up; nobody else has to be patient for such a job.
    """

    def __init__(self, waits_for_itself: Callable[[Job], bool]) -> None:
        self._waits_for_itself = waits_for_itself
        self._queues: OrderedDict[str, OrderedDict[str, tuple[Job, float]]] = OrderedDict()
        self._sharing: dict[Key, deque[Job]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, job: Job, now: float) -> None:
        """A job has to wait, behind the others of its namespace."""
        self._queues.setdefault(job.key.namespace, OrderedDict())[job.id] = (job, now)
        if job.concurrency > 1:
            self._sharing.setdefault(job.key, deque()).append(job)

    def withdraw(self, job_id: str) -> bool:
        """A job is not wanted any more; whether it was here. Looked for in all queues: nobody does that often."""
        for queue in self._queues.values():
            if found := queue.get(job_id):
                self._take(found[0])
                return True
        return False

    def clear(self) -> list[Job]:
        """Forget all jobs, which are these."""
        jobs = [job for queue in self._queues.values() for job, _ in queue.values()]
        self._queues.clear()
        self._sharing.clear()
        return jobs

    def is_patient_besides(self, namespace: str, now: float) -> bool:
        """Whether a job of another namespace has waited for so long that others have to let memory come free."""
        return any(
            self._is_patient(*next(iter(queue.values())), now)
            for other, queue in self._queues.items()
            if other != namespace
        )

    def serve(self, place: Place, join: Place, now: float) -> list[Instruction]:
        """Place all jobs that can be. place: for one whose turn it is. join: only beside others of its action."""
        if not self._sharing:
            return self._take_turns(place, now)
        joined = self._find_slots(join, now)  # it is nobody's turn for that
        placed = self._take_turns(place, now)
        return [*joined, *placed, *self._find_slots(join, now)]

    def _find_slots(self, join: Place, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for key in list(self._sharing):
            while (same := self._sharing.get(key)) and (joined := join(same[0], now)) is not None:
                instructions += joined
                self._take(same[0])
        return instructions

    def _take_turns(self, place: Place, now: float) -> list[Instruction]:
        """Place one job of each namespace after the other until nobody's first job can be placed."""
        instructions: list[Instruction] = []
        is_placed = True
        while is_placed:
            is_placed = False
            for namespace in list(self._queues):
                job, since = next(iter(self._queues[namespace].values()))
                placed = place(job, now)
                if placed is not None:
                    is_placed = True
                    instructions += placed
                    self._take(job)
                    self._end_turn(namespace)
                elif self._is_patient(job, since, now):
                    return instructions
        return instructions

    def _is_patient(self, job: Job, since: float, now: float) -> bool:
        return now - since > PATIENCE_S and not self._waits_for_itself(job)

    def _take(self, job: Job) -> None:
        """`job` waits no longer."""
        queue = self._queues[job.key.namespace]
        del queue[job.id]
        if not queue:
            del self._queues[job.key.namespace]
        if job.concurrency > 1:
            same = self._sharing[job.key]
            same.remove(job)  # most often the first
            if not same:
                del self._sharing[job.key]

    def _end_turn(self, namespace: str) -> None:
        """The others come first."""
        if namespace in self._queues:
            self._queues.move_to_end(namespace)
