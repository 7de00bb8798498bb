"""What the load balancer is asked for, and what it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sabayon.bus.base import ActivationMessage
from sabayon.runtimes.manifest import can_overlap


class Key(NamedTuple):
    """Whose warm containers a job can use."""

    namespace: str
    action: str
    revision: int


class Job(NamedTuple):
    """One activation that wants an invoker. id: the activation's.

    memory_mb, concurrency: the action's limits, the same for all jobs of a key.
    avoid: invokers that must not get it, where it has just failed for instance.
    """

    id: str
    key: Key
    kind: str
    memory_mb: int
    concurrency: int = 1
    avoid: frozenset[str] = frozenset()

    @classmethod
    def of(cls, message: ActivationMessage, avoid: frozenset[str] = frozenset()) -> Job:
        """What `message` asks for."""
        action, kind = message.action, message.action.exec.kind
        key = Key(message.identity.namespace, action.entity_name.id, message.revision)
        concurrency = action.limits.concurrency if can_overlap(kind) else 1
        return cls(message.activation_id, key, kind, action.limits.memory, concurrency, avoid)


class How(StrEnum):
    """Why an invoker was chosen.

    WARM: a slot beside other jobs is there, or a warm container. HOME, NEAR: it is the action's home, or one of the
    next. SPARE: it is the least loaded one that has room. OVERCOMMITTED: none has, so it waits at the least loaded.
    """

    WARM = "warm"
    HOME = "home"
    NEAR = "near"
    SPARE = "spare"
    OVERCOMMITTED = "overcommitted"


class Placed(NamedTuple):
    """Send the job to `invoker`, and say so with `finished` when it has ended, or is given up."""

    invoker: str
    how: How


class Reason(StrEnum):
    """Why nobody gets a job. All of them are 503 to the caller; the text is for the log."""

    NOBODY_IS_UP = "no invoker is up"
    NOBODY_CAN_RUN_IT = "no invoker that is up can run this kind with this much memory"
    OVERLOADED = "all invokers have as many jobs as may wait there"
    OVER_SHARE = "its namespace has its share of what may wait, and no invoker has room"


class Refused(NamedTuple):
    """No invoker may have the job now. retry_after_s: when it makes sense to ask again."""

    reason: Reason
    retry_after_s: int


class State(StrEnum):
    """How an invoker is. Only those that are UP get jobs.

    UNHEALTHY: only test activations. UNRESPONSIVE: silent, perhaps for a moment. DRAINING: it ends what it has.
    DOWN: silent for too long, or left, or started again: what it had is lost.
    """

    UP = "up"
    UNHEALTHY = "unhealthy"
    UNRESPONSIVE = "unresponsive"
    DRAINING = "draining"
    DOWN = "down"


class Changed(NamedTuple):
    """An invoker is in another state. For the log and the metrics: nothing need be done."""

    invoker: str
    state: State
    why: str


class SendTest(NamedTuple):
    """Send a test activation to `invoker`, past placement; report its end with `tested` and this number."""

    invoker: str
    number: int


class Lost(NamedTuple):
    """`invoker` is down, and the jobs with these ids with it: settle each by its action's delivery policy.

    They hold no memory any more. `finished` for one of them does nothing.
    """

    invoker: str
    jobs: tuple[str, ...]


Instruction = Changed | SendTest | Lost
