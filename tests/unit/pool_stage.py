"""A container pool with somebody who does what it says, and who notices whatever it must not say.

What is there is known from the instructions alone; what the pool says about itself is compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Instruction, Job, Key, Pause, Remove, Run
from sabayon.invoker.pool import HEADROOM, NAMESPACE_SHARE, UNBROKEN_S, Pool
from sabayon.invoker.prewarm import LEARNED_CLASSES
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.waiting import PATIENCE_S

PYTHON = "python:3.11"
NODE = "nodejs:20"
MEMORY_MB = 1024
KEEP_ALIVE_S = 60.0
PAUSE_GRACE_S = 5.0


def fixed(cell: Cell, count: int) -> StemCells:
    """A class of stem cells whose number does not change."""
    return StemCells(cell, count, minimum=count, maximum=count)


class _Evicted(NamedTuple):
    """A container that was removed for a job. rested: since when it did, None if it was still starting."""

    size_mb: int
    rested: float | None
    is_cell: bool


class Stage:
    """A pool and the containers that its instructions would have made. Instructions that cannot be carried out fail."""

    def __init__(
        self,
        memory_mb: int = MEMORY_MB,
        stem_cells: Iterable[StemCells] = (),
        make_pool: Callable[..., Pool] = Pool,
    ) -> None:
        self.memory_mb = memory_mb
        self.now = 0.0
        self.classes = {wanted.cell: wanted for wanted in stem_cells}
        self.pool = make_pool(
            memory_mb,
            keep_alive_s=KEEP_ALIVE_S,
            pause_grace_s=PAUSE_GRACE_S,
            stem_cells=self.classes.values(),
        )
        self.waiting: dict[str, Job] = {}
        self.since: dict[str, float] = {}
        self.running: dict[int, dict[str, Job]] = {}
        self.busy_since: dict[int, float] = {}
        self.doomed: set[int] = set()
        self.warm: set[int] = set()
        self.failing: set[Key] = set()
        self.idle: dict[int, Key] = {}
        self.paused: set[int] = set()
        self.kept_warm = KeptWarm()
        self.starting: dict[int, Cell] = {}
        self.cells: dict[int, Cell] = {}
        self.spec: dict[int, Cell] = {}
        self.slots: dict[int, int] = {}
        self.owner: dict[int, str] = {}
        self.rested: dict[int, float] = {}
        self.size_mb: dict[int, int] = {}
        self.served: list[str] = []
        self._jobs = 0
        self._ids: set[int] = set()
        self._evicted: list[_Evicted] = []
        self._overtaken: dict[str, Counter[str]] = {}
        self._allowed_ends: dict[str, int] = {}
        self.carry_out(self.pool.start())

    def submit(
        self,
        namespace: str,
        action: str = "a",
        kind: str = PYTHON,
        memory_mb: int = 256,
        concurrency: int = 1,
    ) -> list[Instruction]:
        self._jobs += 1
        key = Key(namespace, action, 1)
        job = Job(f"{namespace}-{action}-{self._jobs}", key, kind, memory_mb, self.kept_warm, concurrency=concurrency)
        self.waiting[job.id] = job
        self.since[job.id] = self.now
        return self.carry_out(self.pool.submit(job, self.now))

    def finish(
        self, container: int, *, job_id: str | None = None, is_usable: bool = True, held_mb: int | None = None
    ) -> list[Instruction]:
        """job_id: the first job of its container unless it is said. held_mb: likewise its whole limit."""
        jobs = self.running[container]
        job = jobs.pop(job_id or next(iter(jobs)))
        held = self.size_mb[container] if held_mb is None else held_mb
        if is_usable:
            self.warm.add(container)
            self.failing.discard(job.key)
        else:
            self.doomed.add(container)
            if container not in self.warm:
                self.failing.add(job.key)
        if not jobs:
            del self.running[container]
            if container in self.doomed:
                self.doomed.remove(container)
                del self.size_mb[container]
            else:
                self.idle[container] = job.key
                self.rested[container] = self.now
                self.size_mb[container] = min(held, self.spec[container].memory_mb)
        instructions = self.pool.finished(container, job.id, self.now, is_usable=is_usable, held_mb=held)
        self._allowed_ends = {id: ends - 1 for id, ends in self._allowed_ends.items()}
        return self.carry_out(instructions)

    def withdraw(self, job_id: str) -> list[Instruction]:
        """A job that waits is cancelled."""
        del self.waiting[job_id]
        self._overtaken.pop(job_id, None)
        instructions = self.pool.withdraw(job_id, self.now)
        assert instructions is not None, f"{job_id} waits and is not known"
        return self.carry_out(instructions)

    def abandon(self, container: int, job_id: str | None = None) -> list[Instruction]:
        """A job that runs is cancelled: the first of its container unless it is said."""
        jobs = self.running[container]
        job = jobs.pop(job_id or next(iter(jobs)))
        self.doomed.add(container)
        if not jobs:
            del self.running[container]
            self.doomed.remove(container)
            del self.size_mb[container]
        self._allowed_ends = {id: ends - 1 for id, ends in self._allowed_ends.items()}
        return self.carry_out(self.pool.abandoned(container, job.id, self.now))

    def start_cell(self, container: int, held_mb: int | None = None) -> list[Instruction]:
        self.cells[container] = self.starting.pop(container)
        self.rested[container] = self.now
        held = self.size_mb[container] if held_mb is None else held_mb
        self.size_mb[container] = held
        return self.carry_out(self.pool.ready(container, self.now, held_mb=held))

    def lose(self, container: int) -> list[Instruction]:
        """A container without a job goes away by itself."""
        self._drop(container)
        return self.carry_out(self.pool.removed(container, self.now))

    def stop(self) -> list[str]:
        """The ids of the jobs that were given up."""
        jobs = [self.waiting.pop(job.id) for job in self.pool.stop()]
        return [job.id for job in jobs]

    def pass_time(self, seconds: float) -> list[Instruction]:
        self.now += seconds
        instructions = self.carry_out(self.pool.tick(self.now), is_tick=True)
        for container in self.idle:
            age = self.now - self.rested[container]
            assert age < KEEP_ALIVE_S + self.kept_warm.extra_s, f"{container} idles for ever"
            assert age < PAUSE_GRACE_S or container in self.paused, f"{container} is not paused"
        return instructions

    def drain(self) -> None:
        """Nobody is forgotten: as long as containers finish, all that waits is served."""
        for container in list(self.starting):
            if container in self.starting:
                self.start_cell(container)
        while self.running:
            self.finish(next(iter(self.running)))
        assert not self.waiting, f"{list(self.waiting)} never run"

    def carry_out(self, instructions: list[Instruction], *, is_tick: bool = False) -> list[Instruction]:
        self._evicted.clear()
        for instruction in instructions:
            match instruction:
                case Run(container, job, is_new):
                    self._run(container, job, is_new=is_new)
                case Create(container, kind, memory_mb, egress):
                    assert not self.waiting, "a stem cell is made while somebody waits"
                    self._add(container, Cell(kind, memory_mb, egress))
                    self.starting[container] = self.spec[container]
                case Remove(container, reason):
                    assert reason
                    self._remove(container, is_tick=is_tick)
                case Pause(container):
                    assert container in self.idle, f"{container} is paused and not idle"
                    assert container not in self.paused
                    self.paused.add(container)
            assert sum(self.size_mb.values()) <= self.memory_mb, f"too much memory after {instruction}"
        assert not self._evicted, f"{self._evicted} are removed for nobody"
        self.check()
        return instructions

    def _run(self, container: int, job: Job, *, is_new: bool) -> None:
        assert self.waiting.get(job.id) == job, f"{job.id} does not wait"
        if container in self.running:
            self._check_slot(container, job)
        else:
            self._check_turn(job)
            self.busy_since[container] = self.now
        self._overtaken.pop(job.id, None)
        del self.waiting[job.id]
        wanted = Cell(job.kind, job.memory_mb, job.egress)
        if container not in self.running and container not in self.idle:
            assert job.key not in self.idle.values(), f"{job.id} could have had an idle container"
        if is_new:
            assert wanted not in self.cells.values() or job.key in self.failing, f"{job.id} could have had a stem cell"
            self._add(container, wanted)
        elif container in self.running:
            others = self.running[container]
            assert container not in self.doomed, f"{container} gets another job and cannot be used"
            assert len(others) < job.concurrency == self.slots[container], f"{container} has too many jobs"
            assert {other.key for other in others.values()} == {job.key}, f"{container} gets jobs of two actions"
        elif container in self.idle:
            assert self.idle.pop(container) == job.key, f"{container} gets a job that is not its action's"
        else:
            assert container in self.cells, f"{container} gets a job and is not there"
            del self.cells[container]
        assert self.spec[container] == wanted, f"{container} is not what {job.id} wants"
        self.paused.discard(container)
        self.size_mb[container] = job.memory_mb
        self.slots[container] = job.concurrency
        self.owner[container] = job.key.namespace
        self.running.setdefault(container, {})[job.id] = job
        self._check_evictions()
        self.served.append(job.id)

    def _add(self, container: int, cell: Cell) -> None:
        assert container not in self._ids, "an id was used twice"
        self._ids.add(container)
        self.spec[container] = cell
        self.size_mb[container] = cell.memory_mb

    def _remove(self, container: int, *, is_tick: bool) -> None:
        """At a tick what is old may go, and what is paused if little memory is left; all else only for a job."""
        size_mb, rested = self.size_mb.get(container, 0), self.rested.get(container)
        is_cell = container in self.cells
        lifetime_s = self._ttl_s(self.spec[container]) if is_cell else KEEP_ALIVE_S
        is_old = rested is not None and self.now - rested >= lifetime_s
        is_scarce = sum(self.size_mb.values()) > self.memory_mb * (1 - HEADROOM) and container in self.paused
        if not (is_tick and (is_old or (is_scarce and not self.waiting))):
            self._evicted.append(_Evicted(size_mb, rested, is_cell))
        self._drop(container)

    def _ttl_s(self, cell: Cell) -> float:
        return next(wanted.ttl_s for wanted in self.classes.values() if wanted.cell.kind == cell.kind)

    def _check_evictions(self) -> None:
        """What was removed for the job that runs now had to be, and was the first to go."""
        if self._evicted:
            last_mb = self._evicted[-1].size_mb
            assert sum(self.size_mb.values()) + last_mb > self.memory_mb, "more is removed than has to be"
            left = [self.rested[container] for container in self.idle]
            for _, rested, is_cell in self._evicted:
                if rested is not None:
                    assert not self.starting, "a stem cell that still starts should have gone first"
                    assert not left or (not is_cell and rested <= min(left)), "another idles for longer"
            self._evicted.clear()

    def _drop(self, container: int) -> None:
        """Only containers without a job can go."""
        group = next((group for group in (self.idle, self.cells, self.starting) if container in group), None)
        assert group is not None, f"{container} is removed, and has a job or is not there"
        del group[container]
        self.paused.discard(container)
        del self.size_mb[container]

    def check(self) -> None:
        """The pool counts what there is, nobody has too much, and nobody waits for nothing."""
        assert self.pool.used_mb == sum(self.size_mb.values()), "memory is counted wrongly"
        assert self.pool.busy == len(self.running), "busy containers are counted wrongly"
        assert self.pool.waiting == len(self.waiting), "waiting jobs are counted wrongly"
        taken: dict[str, list[int]] = {}
        for container in self.running:
            taken.setdefault(self.owner[container], []).append(self.size_mb[container])
        for namespace, sizes in taken.items():
            is_within = len(sizes) == 1 or sum(sizes) <= self.memory_mb * NAMESPACE_SHARE
            assert is_within, f"{namespace} has more than its share"
        if self.starting or self.cells:
            self._check_classes()
        if self.waiting:
            self._check_waiting()

    def _check_classes(self) -> None:
        counts = Counter([*self.starting.values(), *self.cells.values()])
        learned = [cell for cell in counts if cell not in self.classes]
        assert len(learned) <= LEARNED_CLASSES, "too many classes are learned"
        for cell, count in counts.items():
            same_kind = [wanted for wanted in self.classes.values() if wanted.cell.kind == cell.kind]
            assert same_kind, f"nobody wants {cell}"
            wanted = self.classes.get(cell, same_kind[-1]._replace(initial=0))
            assert count <= max(wanted.initial, wanted.maximum), f"too many stem cells {cell}"

    def _check_waiting(self) -> None:
        """Work is conserved, but for a patient job that holds up others; and patience is rewarded."""
        assert not any(map(self._has_slot, self._firsts())), "a job waits though there is a slot for it"
        heads = self._heads()
        patient = [job for job in heads if self._is_patient(job) and not self._has_memory(job)]
        if not patient:
            assert not any(map(self._has_memory, heads)), "a job waits though there is room"
        ends = sum(map(len, self.running.values())) + len(heads) - 1
        self._allowed_ends = {job.id: self._allowed_ends.get(job.id, ends) for job in patient}
        assert all(ends > 0 for ends in self._allowed_ends.values()), "a job waits for ever"

    def _check_slot(self, container: int, job: Job) -> None:
        """`job` is the first of its action, and keeps no container busy that a patient job of others waits for.

        Until then it may end before that patient job has its turn.
        """
        first = next(other for other in self.waiting.values() if other.key == job.key)
        assert first == job, f"{first.id} was here before {job.id}"
        assert not self._is_to_run_empty(container), f"{container} is kept busy by {job.id}"
        self._allowed_ends = {id: ends + 1 for id, ends in self._allowed_ends.items()}

    def _check_turn(self, job: Job) -> None:
        """`job` is the first of its namespace, and passes no other namespace's first job for the second time."""
        for head in self._heads():
            if head.key.namespace == job.key.namespace:
                assert head == job, f"{head.id} was here before {job.id}"
            elif self._has_memory(head):
                overtaken = self._overtaken.setdefault(head.id, Counter())
                overtaken[job.key.namespace] += 1
                assert overtaken[job.key.namespace] == 1, f"{head.id} is passed over again"

    def _heads(self) -> list[Job]:
        """The first job of each namespace that waits."""
        heads: dict[str, Job] = {}
        for job in self.waiting.values():
            heads.setdefault(job.key.namespace, job)
        return list(heads.values())

    def _firsts(self) -> list[Job]:
        """The first job of each action that waits."""
        firsts: dict[Key, Job] = {}
        for job in self.waiting.values():
            firsts.setdefault(job.key, job)
        return list(firsts.values())

    def _has_slot(self, job: Job) -> bool:
        """Whether `job` could run beside others of its action."""
        for container, jobs in self.running.items():
            is_its_own = next(iter(jobs.values())).key == job.key and container not in self.doomed
            if is_its_own and len(jobs) < job.concurrency and not self._is_to_run_empty(container):
                return True
        return False

    def _has_memory(self, job: Job) -> bool:
        """Whether `job` could run if all that is idle made way."""
        free_mb = self.memory_mb - sum(self.size_mb[container] for container in self.running)
        return job.memory_mb <= free_mb and not self._is_over_share(job)

    def _is_to_run_empty(self, container: int) -> bool:
        """Whether it has had jobs for long without a break, and a patient job of another namespace waits."""
        others = (job for job in self._heads() if job.key.namespace != self.owner[container])
        return self.now - self.busy_since[container] > UNBROKEN_S and any(map(self._is_patient, others))

    def _is_patient(self, job: Job) -> bool:
        return self.now - self.since[job.id] > PATIENCE_S and not self._is_over_share(job)

    def _is_over_share(self, job: Job) -> bool:
        busy_mb = self.busy_mb(job.key.namespace)
        return busy_mb > 0 and busy_mb + job.memory_mb > self.memory_mb * NAMESPACE_SHARE

    def busy_mb(self, namespace: str) -> int:
        return sum(self.size_mb[container] for container in self.running if self.owner[container] == namespace)


def kinds_of(instructions: list[Instruction]) -> list[str]:
    """What was decided, in words."""
    return [
        ("new" if instruction.is_new else "reused") if isinstance(instruction, Run) else type(instruction).__name__
        for instruction in instructions
    ]


def ran(instructions: list[Instruction]) -> list[int]:
    """The containers that were given a job."""
    return [instruction.container for instruction in instructions if isinstance(instruction, Run)]
