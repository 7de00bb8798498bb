"""A container pool with somebody who does what it says."""

from __future__ import annotations

from collections.abc import Iterable

from sabayon.entity.limits import KeptWarm
from sabayon.invoker.instructions import Cell, Create, Instruction, Job, Key, Pause, Remove, Run
from sabayon.invoker.pool import Pool

PYTHON = "python:3.11"
NODE = "nodejs:20"
MEMORY_MB = 1024
KEEP_ALIVE_S = 60.0
PAUSE_GRACE_S = 5.0


class Stage:
    """A pool and the containers that its instructions would have made. Instructions that cannot be carried out fail."""

    def __init__(self, memory_mb: int = MEMORY_MB, stem_cells: Iterable[tuple[Cell, int]] = ()) -> None:
        self.memory_mb = memory_mb
        self.now = 0.0
        self.pool = Pool(memory_mb, keep_alive_s=KEEP_ALIVE_S, pause_grace_s=PAUSE_GRACE_S, stem_cells=stem_cells)
        self.waiting: dict[str, Job] = {}
        self.running: dict[int, Job] = {}
        self.idle: dict[int, Key] = {}
        self.paused: set[int] = set()
        self.kept_warm = KeptWarm()
        self.starting: dict[int, Cell] = {}
        self.cells: dict[int, Cell] = {}
        self.size_mb: dict[int, int] = {}
        self.served: list[str] = []
        self._jobs = 0
        self._ids: set[int] = set()
        self.carry_out(self.pool.start())

    def submit(self, namespace: str, action: str = "a", kind: str = PYTHON, memory_mb: int = 256) -> list[Instruction]:
        self._jobs += 1
        job = Job(f"{namespace}-{action}-{self._jobs}", Key(namespace, action, 1), kind, memory_mb, self.kept_warm)
        self.waiting[job.id] = job
        return self.carry_out(self.pool.submit(job, self.now))

    def finish(self, container: int, *, is_usable: bool = True, held_mb: int | None = None) -> list[Instruction]:
        """held_mb: what the container goes on holding; its whole limit unless it is said."""
        job = self.running.pop(container)
        held = self.size_mb[container] if held_mb is None else held_mb
        if is_usable:
            self.idle[container] = job.key
            self.size_mb[container] = held
        else:
            del self.size_mb[container]
        return self.carry_out(self.pool.finished(container, job.id, self.now, is_usable=is_usable, held_mb=held))

    def start_cell(self, container: int, held_mb: int | None = None) -> list[Instruction]:
        self.cells[container] = self.starting.pop(container)
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
        return self.carry_out(self.pool.tick(self.now))

    def carry_out(self, instructions: list[Instruction]) -> list[Instruction]:
        for instruction in instructions:
            match instruction:
                case Run(container, job, is_new):
                    self._run(container, job, is_new=is_new)
                case Create(container, kind, memory_mb):
                    self._add(container, memory_mb)
                    self.starting[container] = Cell(kind, memory_mb)
                case Remove(container, reason):
                    assert reason
                    self._drop(container)
                case Pause(container):
                    assert container in self.idle and container not in self.paused
                    self.paused.add(container)
            assert sum(self.size_mb.values()) <= self.memory_mb, f"too much memory after {instruction}"
        return instructions

    def _run(self, container: int, job: Job, *, is_new: bool) -> None:
        assert self.waiting.pop(job.id) == job
        if is_new:
            self._add(container, job.memory_mb)
        elif container in self.idle:
            assert self.idle.pop(container) == job.key
        else:
            assert self.cells.pop(container) == Cell(job.kind, job.memory_mb)
        self.size_mb[container] = job.memory_mb
        self.paused.discard(container)
        self.running[container] = job
        self.served.append(job.id)

    def _add(self, container: int, memory_mb: int) -> None:
        assert container not in self._ids, "an id was used twice"
        self._ids.add(container)
        self.size_mb[container] = memory_mb

    def _drop(self, container: int) -> None:
        """Only containers without a job can go."""
        group = next(group for group in (self.idle, self.cells, self.starting) if container in group)
        del group[container]
        self.paused.discard(container)
        del self.size_mb[container]

    def busy_mb(self, namespace: str) -> int:
        return sum(self.size_mb[id] for id, job in self.running.items() if job.key.namespace == namespace)

    def check(self) -> None:
        """The pool counts what there is."""
        assert self.pool.used_mb == sum(self.size_mb.values())
        assert self.pool.busy == len(self.running)
        assert self.pool.waiting == len(self.waiting)


def kinds_of(instructions: list[Instruction]) -> list[str]:
    """What was decided, in words."""
    return [
        ("new" if instruction.is_new else "reused") if isinstance(instruction, Run) else type(instruction).__name__
        for instruction in instructions
    ]


def ran(instructions: list[Instruction]) -> list[int]:
    """The containers that were given a job."""
    return [instruction.container for instruction in instructions if isinstance(instruction, Run)]
