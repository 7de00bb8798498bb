"""One finding: what is missing, which promise of the platform suffers, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """How much of the platform a finding leaves; the highest of all decides."""

    OK = 0
    LIMITED = 1
    """Isolation is whole; something else the platform offers is lacking, slow or at risk."""
    WEAKER = 2
    """It starts, with less isolation."""
    REFUSED = 3
    """It does not start, or starts and can run no action."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. found: what there is. consequence, remedy: empty when the status is OK."""

    check: str
    status: Status
    found: str
    consequence: str = ""
    remedy: str = ""
