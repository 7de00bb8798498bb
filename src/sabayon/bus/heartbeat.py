"""What an invoker tells all controllers, once a second and whenever its phase changes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Phase(StrEnum):
    """What an invoker is about to do. LEFT is its last word: it does nothing any more."""

    SERVING = "serving"
    DRAINING = "draining"
    LEFT = "left"


class Containers(NamedTuple):
    """How many containers of an action an invoker has, with and without jobs. namespace: who invokes it."""

    namespace: str
    action: str
    revision: int
    number: int


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """One sign of life.

    invoker: its name, which it keeps when it is started again. started_ms: epoch ms; tells one start from another.
    memory_mb: its pool's. kinds: what it can run.
    taken_mb: by controller, the memory limits of the activations that it was sent and that have not ended, those that
    wait included. A controller's name is another after each of its starts.
    containers: of which actions containers have come or gone since the last heartbeat, also where the number is what it
    was; all of them where `is_whole`. Whole is the first one, and one a minute, for a heartbeat may be lost.
    """

    containers: tuple[Containers, ...] = ()
    invoker: str
    is_whole: bool = False
    kinds: frozenset[str]
    memory_mb: int
    phase: Phase = Phase.SERVING
    started_ms: int
    taken_mb: dict[str, int] = {}
