"""What the controller's modules work with, handed in by the assembly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sabayon.bus.base import Bus
from sabayon.controller.running import Running
from sabayon.controller.turns import Turns
from sabayon.controller.underway import Underway
from sabayon.deadlines import Deadlines
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.settling import Settler
from sabayon.entity.limits import SystemLimits
from sabayon.entity.manifest import Manifest
from sabayon.store.base import Activations, Artifacts, DeadLetters, Identities, Journal, Keys

MOST_IN_FLIGHT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Services:
    """Ports and settings.

    settler: where activations end. agenda: when the journal is to be looked into next.
    most_in_flight: activations at once, beyond which none is accepted that nobody waits for.
    now_ms: the wall clock in epoch ms. running: the owner of activations in flight.
    is_execute_only: whether what other namespaces share can be run but not read.
    underway: the composites among them. rule_turns: whose turn it is to write rules, by their namespace.
    key_turns: to look for an idempotency key, or to take it. deadlines: of requests and of those who wait.
    """

    artifacts: Artifacts
    activations: Activations
    journal: Journal
    keys: Keys
    dead_letters: DeadLetters
    identities: Identities
    bus: Bus
    settler: Settler
    agenda: Agenda
    manifest: Manifest
    limits: SystemLimits
    now_ms: Callable[[], int]
    is_execute_only: bool = False
    most_in_flight: int = MOST_IN_FLIGHT
    deadlines: Deadlines = field(default_factory=Deadlines)
    running: Running = field(init=False)
    underway: Underway = field(default_factory=Underway)
    rule_turns: Turns = field(default_factory=Turns)
    key_turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        object.__setattr__(self, "running", Running(self.deadlines))
