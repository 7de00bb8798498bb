"""Test activations by which an invoker shows that it works, one at a time."""

from __future__ import annotations

from typing import Final

ANSWER_S: Final = 10.0
"""How long a test activation may take: a cold start on a busy machine, and far more than that."""

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 30.0
"""After each that failed the next waits for twice as long."""


class Trial:
    """A course of tests: passed after `needed` good ones without a bad one between. now: when it begins.

    delay_s: how long the first one waits.
    """

    def __init__(self, needed: int, now: float, delay_s: float = 0.0) -> None:
        self._needed = needed
        self._good = 0
        self._next_delay_s = max(delay_s, FIRST_DELAY_S)
        self._at = now + delay_s
        self._running: int | None = None

    @property
    def is_passed(self) -> bool:
        """Whether it works, so far as tests show."""
        return self._good >= self._needed

    def is_due(self, now: float) -> bool:
        """Whether the next test is to be sent."""
        return self._running is None and now >= self._at

    def has_no_answer(self, now: float) -> bool:
        """Whether the test that runs has not ended in time."""
        return self._running is not None and now - self._at >= ANSWER_S

    def start(self, number: int, now: float) -> None:
        """A test with that number is sent."""
        self._running = number
        self._at = now

    def is_running(self, number: int) -> bool:
        """Whether the answer to that test still matters."""
        return self._running == number

    def ended(self, now: float, *, is_good: bool) -> None:
        """The test that runs has ended."""
        self._running = None
        self._good = self._good + 1 if is_good else 0
        self._at = now
        if not is_good:
            self._at = now + self._next_delay_s
            self._next_delay_s = min(2 * self._next_delay_s, LONGEST_DELAY_S)
