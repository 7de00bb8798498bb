"""Which prepared code is kept: the least recently used goes first, what is in use never. Pure."""

from __future__ import annotations

from typing import Final

REFUSAL_S: Final = 60.0
"""How long code that could not be prepared is not tried again."""

MOST: Final = 1024
"""Kept at a time, however little each takes."""

_MOST_REFUSALS: Final = 1024


class Shelf:
    """What is kept, by key, within bounds. Times are seconds of any clock that does not go back.

    limit_bytes: of all together. largest_bytes: of one.
    """

    def __init__(self, limit_bytes: int, largest_bytes: int) -> None:
        self._limit = limit_bytes
        self._largest = largest_bytes
        self._sizes: dict[str, int] = {}  # the least recently used first
        self._users: dict[str, int] = {}
        self._refused_until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Shelf {self.used_bytes} of {self._limit} bytes, {self._users}>"

    @property
    def used_bytes(self) -> int:
        """The size of all that is kept."""
        return sum(self._sizes.values())

    def __contains__(self, key: str) -> bool:
        return key in self._sizes

    def put(self, key: str, size_bytes: int, now: float) -> list[str]:
        """Keep something new; the keys of what has to go for it.

        That is itself alone, and it counts as refused, when it is too large or too much else is in use.
        """
        gone = self._in_the_way_of(size_bytes)
        if gone is None:
            self.refuse(key, now)
            return [key]
        for candidate in gone:
            del self._sizes[candidate], self._users[candidate]
        self._sizes[key] = size_bytes
        self._users[key] = 0
        return gone

    def _in_the_way_of(self, size_bytes: int) -> list[str] | None:
        """What has to go for something of that size; None when it has no room whatever goes."""
        if size_bytes > self._largest:
            return None
        gone: list[str] = []
        used, number = self.used_bytes + size_bytes, len(self._sizes) + 1
        for candidate, size in self._sizes.items():
            if used <= self._limit and number <= MOST:
                break
            if not self._users[candidate]:
                gone.append(candidate)
                used, number = used - size, number - 1
        return gone if used <= self._limit and number <= MOST else None

    def take(self, key: str) -> bool:
        """One more uses it; False when it is not here."""
        if key not in self._sizes:
            return False
        self._users[key] += 1
        self._touch(key)
        return True

    def give_back(self, key: str) -> None:
        """One less uses it."""
        self._users[key] -= 1
        self._touch(key)

    def _touch(self, key: str) -> None:
        self._sizes[key] = self._sizes.pop(key)

    def refuse(self, key: str, now: float) -> None:
        """It could not be prepared. Only so many refusals are remembered, the newest."""
        self._refused_until.pop(key, None)
        self._refused_until[key] = now + REFUSAL_S
        if len(self._refused_until) > _MOST_REFUSALS:
            del self._refused_until[next(iter(self._refused_until))]

    def is_refused(self, key: str, now: float) -> bool:
        """Whether it is too early to try again."""
        return self._refused_until.get(key, now) > now
