"""What the controller's modules work with, handed in by the assembly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sabayon.bus.base import Bus
from sabayon.controller.running import Running
from sabayon.controller.turns import Turns
from sabayon.controller.underway import Underway
from sabayon.deadlines import Deadlines
from sabayon.entity.limits import SystemLimits
from sabayon.entity.manifest import Manifest
from sabayon.store.base import Activations, Artifacts, Identities, Journal


@dataclass(frozen=True, slots=True)
class Services:
    """Ports and settings.

    now_ms: the wall clock in epoch ms. running: the owner of activations in flight.
    is_execute_only: whether what other namespaces share can be run but not read.
    underway: the composites among them. rule_turns: whose turn it is to write rules, by their namespace.
    deadlines: of requests and of those who wait.
    """

    artifacts: Artifacts
    activations: Activations
    journal: Journal
    identities: Identities
    bus: Bus
    manifest: Manifest
    limits: SystemLimits
    now_ms: Callable[[], int]
    is_execute_only: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
    running: Running = field(init=False)
    underway: Underway = field(default_factory=Underway)
    rule_turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        object.__setattr__(self, "running", Running(self.deadlines))
