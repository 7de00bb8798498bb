"""Keeps the records of what has run: those of accepted activations wait for a store that takes nothing now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from sabayon.entity.activation import StoredActivation
from sabayon.errors import StoreUnavailable
from sabayon.store.base import Activations

logger = logging.getLogger("sabayon.invoker")

RETRY_S: Final = 0.5
"""How long a record waits for a store that could not take it."""


class RecordKeeper:
    """Where records go. Of a time in which they wait only its beginning and its end are told."""

    def __init__(self, activations: Activations) -> None:
        self._activations = activations
        self._waiting: set[str] = set()
        self._waited = 0
        self._is_giving_up = asyncio.Event()
        self._left = 0

    async def keep(self, record: StoredActivation, *, is_journaled: bool) -> None:
        """Store `record`. When the store takes nothing, wait if the activation `is_journaled`, until `give_up`.

        After that it is left to the journal. Raises StoreUnavailable for one that is in no journal, and what else the
        store raises.
        """
        while True:
            is_last = self._is_giving_up.is_set()
            try:
                await self._activations.put(record, settles=is_journaled)
                self._end(record)
                return
            except StoreUnavailable as error:
                if not is_journaled:
                    raise
                if is_last:
                    self._waiting.discard(record.activation_id)
                    self._left += 1
                    return
                self._begin(record, error)
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

    def _begin(self, record: StoredActivation, error: StoreUnavailable) -> None:
        if not self._waiting:
            self._waited = 0
            logger.warning("1 record has to wait, as will those after it: %s", error)
        if record.activation_id not in self._waiting:
            self._waiting.add(record.activation_id)
            self._waited += 1

    def _end(self, record: StoredActivation) -> None:
        if record.activation_id in self._waiting:
            self._waiting.discard(record.activation_id)
            if not self._waiting:
                logger.warning("records are stored again; %d had to wait", self._waited)
