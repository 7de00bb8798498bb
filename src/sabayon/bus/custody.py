"""What an invoker has been sent, by whom, and what it still owes an answer for. Pure.

A *key* names one sending: the controller's name and its number. What has been taken once is not taken again, however
often it comes. How it ended is kept until its controller has said that it knows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

KEPT_BYTES: Final = 64 << 20
"""Of ends that controllers have not confirmed, which they do each half second: beyond that the oldest are forgotten."""

MOST_BARRED: Final = 100_000
"""Sendings that were asked for before they came, or handed back. Each is remembered far longer than it can be late."""


class Key(NamedTuple):
    """One sending of one controller."""

    controller: str
    number: int


class Standing(StrEnum):
    """What became of a sending here.

    NEW: never seen. HELD: it has not ended. ENDED: it has, and how is kept. FORGOTTEN: it is not kept any more.
    BARRED: it has not begun, and must not.
    """

    NEW = "new"
    HELD = "held"
    ENDED = "ended"
    FORGOTTEN = "forgotten"
    BARRED = "barred"


class Custody:
    """The sendings of all controllers to one invoker."""

    def __init__(self) -> None:
        self.kept_bytes = 0
        self._held: dict[Key, int] = {}
        self._ended: OrderedDict[Key, bytes | None] = OrderedDict()
        self._barred: OrderedDict[Key, None] = OrderedDict()
        self._taken_mb: dict[str, int] = {}

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._held)

    def standing(self, key: Key) -> Standing:
        """What became of it."""
        if key in self._held:
            return Standing.HELD
        if key in self._ended:
            return Standing.FORGOTTEN if self._ended[key] is None else Standing.ENDED
        return Standing.BARRED if key in self._barred else Standing.NEW

    def taken_mb(self) -> dict[str, int]:
        """By controller, the memory limits of what it has here."""
        return dict(self._taken_mb)

    def kept(self) -> list[tuple[Key, bytes]]:
        """Ends that controllers have not confirmed."""
        return [(key, end) for key, end in self._ended.items() if end is not None]

    def end_of(self, key: Key) -> bytes:
        """How it ended, of one that has and is not forgotten."""
        end = self._ended[key]
        assert end is not None
        return end

    def take(self, key: Key, memory_mb: int) -> None:
        """A new one is accepted."""
        self._held[key] = memory_mb
        self._taken_mb[key.controller] = self._taken_mb.get(key.controller, 0) + memory_mb

    def bar(self, key: Key) -> None:
        """It has not begun, and must not from now on."""
        self._leave(key)
        self._barred[key] = None
        if len(self._barred) > MOST_BARRED:
            self._barred.popitem(last=False)

    def ended(self, key: Key, end: bytes) -> None:
        """It is over, and `end` says how."""
        self._leave(key)
        self._ended[key] = end
        self.kept_bytes += len(end)
        if self.kept_bytes > KEPT_BYTES:
            self._forget_oldest()

    def lost(self, key: Key) -> None:
        """It is over, and nobody knows how."""
        self._leave(key)
        self._ended[key] = None

    def settled(self, keys: Iterable[Key]) -> None:
        """Their controller knows how they ended, and sends them no more."""
        for key in keys:
            self.kept_bytes -= len(self._ended.pop(key, None) or b"")

    def gone(self, controller: str) -> None:
        """It will not ask any more: what is kept for it is not needed. What it has here goes on."""
        self.settled([key for key in self._ended if key.controller == controller])
        for key in [key for key in self._barred if key.controller == controller]:
            del self._barred[key]

    def _leave(self, key: Key) -> None:
        memory_mb = self._held.pop(key, None)
        if memory_mb is None:
            return
        left = self._taken_mb[key.controller] - memory_mb
        if left:
            self._taken_mb[key.controller] = left
        else:
            del self._taken_mb[key.controller]

    def _forget_oldest(self) -> None:
        for key, end in self._ended.items():
            if self.kept_bytes <= KEPT_BYTES:
                return
            self.kept_bytes -= len(end or b"")
            self._ended[key] = None
