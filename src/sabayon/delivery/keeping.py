"""Keeps what is known of what has run: what was accepted waits for a store that takes nothing now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sabayon.errors import StoreUnavailable

logger = logging.getLogger("sabayon.invoker")

RETRY_S: Final = 0.5
"""How long a record waits for a store that could not take it."""


class RecordKeeper:
    """Tries until it is written. Of a time in which records wait only its beginning and its end are told."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._waited = 0
        self._is_giving_up = asyncio.Event()
        self._left = 0

    async def keep(self, activation_id: str, write: Callable[[], Awaitable[Any]]) -> None:
        """Have `write` store what is in the journal still. When the store takes nothing, wait, until `give_up`.

        After that it is left to the journal. Raises what else `write` raises.
        """
        while True:
            is_last = self._is_giving_up.is_set()
            try:
                await write()
                self._end(activation_id)
                return
            except StoreUnavailable as error:
                if is_last:
                    self._waiting.discard(activation_id)
                    self._left += 1
                    return
                self._begin(activation_id, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_giving_up.wait(), RETRY_S)

    def give_up(self) -> None:
        """The platform stops: all that wait are tried once more, at once. Idempotent."""
        self._is_giving_up.set()

    def tell_left(self) -> None:
        """Log how many the journal keeps for the next start, if any."""
        if self._left == 1:
            logger.warning("1 activation has no record yet; it runs again at the next start")
        elif self._left:
            logger.warning("%d activations have no record yet; they run again at the next start", self._left)
        self._left = 0

    def _begin(self, activation_id: str, error: StoreUnavailable) -> None:
        if not self._waiting:
            self._waited = 0
            logger.warning("1 record has to wait, as will those after it: %s", error)
        if activation_id not in self._waiting:
            self._waiting.add(activation_id)
            self._waited += 1

    def _end(self, activation_id: str) -> None:
        if activation_id in self._waiting:
            self._waiting.discard(activation_id)
            if not self._waiting:
                logger.warning("records are stored again; %d had to wait", self._waited)
