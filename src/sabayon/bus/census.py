"""Which containers an invoker has, told as what is different since it was last told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sabayon.bus.heartbeat import Containers

WHOLE_EVERY: Final = 60
"""Every so many times all are told: what says the difference may be lost."""

Group = tuple[str, str, int]
"""Namespace, action and revision."""


class Report(NamedTuple):
    """What a heartbeat says of containers."""

    containers: tuple[Containers, ...]
    is_whole: bool


class Census:
    """What has been told so far."""

    def __init__(self) -> None:
        self._told: dict[Group, frozenset[int]] = {}
        self._turn = 0

    def report(self, found: Mapping[Group, frozenset[int]], *, is_whole: bool = False) -> Report:
        """What to tell now that these are there, by the ids of the containers. The first report is whole."""
        is_whole = is_whole or self._turn % WHOLE_EVERY == 0
        self._turn = 1 if is_whole else self._turn + 1
        told, self._told = self._told, dict(found)
        if is_whole:
            return Report(tuple(Containers(*group, len(ids)) for group, ids in found.items()), True)
        changed = [Containers(*group, len(ids)) for group, ids in found.items() if told.get(group) != ids]
        gone = [Containers(*group, 0) for group in told if group not in found]
        return Report((*changed, *gone), False)
