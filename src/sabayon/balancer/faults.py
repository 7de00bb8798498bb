"""How the last activations on an invoker ended: enough to suspect it."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

WINDOW: Final = 20
WINDOW_S: Final = 60.0
FEWEST_FAULTS: Final = 3
FAULTY_SHARE: Final = 0.3
"""Suspect is an invoker on which, of the last 20 activations and the last minute, at least three and three tenths ended
with a platform fault."""


class _End(NamedTuple):
    at: float
    namespace: str
    is_fault: bool


class Faults:
    """A sliding window of ends, by number and by time."""

    def __init__(self) -> None:
        self._ends: deque[_End] = deque(maxlen=WINDOW)

    def add(self, namespace: str, is_fault: bool, now: float) -> None:
        """An activation of `namespace` has ended, or has not been heard of."""
        self._ends.append(_End(now, namespace, is_fault))

    def clear(self) -> None:
        """What was is past."""
        self._ends.clear()

    def namespaces(self, now: float) -> set[str]:
        """Those whose activations make the invoker suspect; empty if it is not."""
        recent = [end for end in self._ends if now - end.at <= WINDOW_S]
        faults = [end.namespace for end in recent if end.is_fault]
        is_suspect = len(faults) >= FEWEST_FAULTS and len(faults) >= FAULTY_SHARE * len(recent)
        return set(faults) if is_suspect else set()
