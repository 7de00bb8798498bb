"""All findings about a machine, and what they come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sabayon.doctor.facts import Facts
from sabayon.doctor.finding import Finding, Status
from sabayon.doctor.isolation import isolation
from sabayon.doctor.service import service


def diagnose(facts: Facts) -> list[Finding]:
    """All findings, those about isolation first."""
    return [*isolation(facts), *service(facts)]


def worst(findings: Iterable[Finding]) -> Status:
    """The status of the machine as a whole."""
    return max((finding.status for finding in findings), default=Status.OK)


def exit_code(status: Status) -> int:
    """0: it can start with full isolation; 1: with less; 2: it cannot start."""
    return {Status.WEAKER: 1, Status.REFUSED: 2}.get(status, 0)
