"""How many controllers there are, by what they tell each other once a second; each has a share of the memory."""

from __future__ import annotations

from typing import Final

GONE_AFTER_S: Final = 10.0
"""Silence. Longer than an invoker's: shares that grow too early give the same memory away twice, shares that grow late
leave some unused."""


class Controllers:
    """This controller, and those it has heard of lately."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._heard_at: dict[str, float] = {}

    def __len__(self) -> int:
        return 1 + len(self._heard_at)

    def heard(self, controller: str, now: float) -> None:
        """A controller, this one perhaps, is there."""
        if controller != self._own:
            self._heard_at[controller] = now

    def left(self, controller: str) -> None:
        """A controller has said that it ends."""
        self._heard_at.pop(controller, None)

    def tick(self, now: float) -> None:
        """Time has passed: who was silent for too long is gone."""
        for controller, heard_at in list(self._heard_at.items()):
            if now - heard_at >= GONE_AFTER_S:
                del self._heard_at[controller]
