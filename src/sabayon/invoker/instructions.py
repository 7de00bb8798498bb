"""What the container pool is asked for, and what it has its shell do."""

from __future__ import annotations

from typing import NamedTuple

from sabayon.entity.limits import KeptWarm
from sabayon.sandbox.base import Egress


class Key(NamedTuple):
    """Whose warm containers a job can use."""

    namespace: str
    action: str
    revision: int


class Job(NamedTuple):
    """One activation that wants a container. id: the shell's. kept_warm: what holds for containers of its action.

    concurrency: how many jobs of its action one container may hold at once.
    """

    id: str
    key: Key
    kind: str
    memory_mb: int
    kept_warm: KeptWarm
    egress: Egress = Egress.NONE
    concurrency: int = 1


class Cell(NamedTuple):
    """What stem cells are kept of."""

    kind: str
    memory_mb: int
    egress: Egress = Egress.NONE


class Create(NamedTuple):
    """Start a stem cell; report it with `ready` or `removed`. A `Remove` may come before: then neither is needed."""

    container: int
    kind: str
    memory_mb: int
    egress: Egress = Egress.NONE


class Run(NamedTuple):
    """Run `job` in `container`, which is made first if `is_new`; report the end with `finished`.

    The container may hold other jobs, and may still be made or initialised for the first of them: then this one waits.
    """

    container: int
    job: Job
    is_new: bool


class Remove(NamedTuple):
    """Destroy an idle container, or a stem cell, which may still be starting. The pool has forgotten it already."""

    container: int
    reason: str


class Pause(NamedTuple):
    """Suspend an idle container; a later `Run` on it resumes it first."""

    container: int


Instruction = Create | Run | Remove | Pause
