"""Hears what other processes write, on a connection of its own.

While it hears, caches are exact but for the way of a notice, a few milliseconds. When it is cut off nothing may be
cached, and once it hears again everything is read anew: what was said in between is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final, Protocol

from sabayon.errors import Corrupt, StoreUnavailable
from sabayon.store.postgres.connection import available, connect
from sabayon.store.postgres.installation import InUse, claim
from sabayon.store.postgres.notices import CHANNEL, EntityNotice, read_notice

logger = logging.getLogger("sabayon.store")

BEAT_S: Final = 1.0
"""How often the server is asked whether it is there: a connection may be lost without a word."""

_ANSWER_S: Final = 2.0
_RETRY_S: Final = 0.25
_CLAIM_S: Final = 3.0


class Heard(Protocol):
    """Who is told."""

    def entity_written(self, notice: EntityNotice) -> None: ...

    def cut_off(self) -> None:
        """From now on writes may go unheard."""
        ...

    async def hearing(self) -> None:
        """From now on no write goes unheard; those before may have. Raises StoreUnavailable and Corrupt."""
        ...

    async def anything_written(self) -> None:
        """Read anew what is kept whole. Raises StoreUnavailable and Corrupt."""
        ...


class Listener:
    """Runs from `start` to `aclose`."""

    def __init__(self, url: str, heard: Heard, *, is_alone: bool) -> None:
        """is_alone: no other process may have a listener on this database."""
        self._url = url
        self._is_alone = is_alone
        self._heard = heard
        self._stirred = asyncio.Event()
        self._is_stale = False
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when writes are heard. Raises StoreUnavailable and Corrupt; InUse when others have the database."""
        for _ in range(int(_CLAIM_S / _RETRY_S)):
            with contextlib.suppress(InUse):  # one that has just died may seem to live on
                await self._listen()
                break
            self._drop()
            await asyncio.sleep(_RETRY_S)
        else:
            await self._listen()
        self._task = asyncio.create_task(self._run(), name="store listener")

    async def _listen(self) -> None:
        with available():
            connection = await connect(self._url, command_s=_ANSWER_S)
            self._connection = connection
            connection.add_termination_listener(lambda _: self._stirred.set())
            await claim(connection, self._url, is_alone=self._is_alone)
            await connection.add_listener(CHANNEL, self._on_notice)
        await self._heard.hearing()

    def _on_notice(self, _connection: Any, _process: int, _channel: str, payload: str) -> None:
        notice = read_notice(payload)
        if notice is not None:
            self._heard.entity_written(notice)
        else:
            self._is_stale = True
            self._stirred.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._hear()
            except (StoreUnavailable, Corrupt) as error:
                self._heard.cut_off()
                logger.warning("the database is not there: %s", error)
            await self._listen_again()
            logger.warning("the database is there again")

    async def _hear(self) -> None:
        """Until the connection is lost. Raises StoreUnavailable."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), BEAT_S)
            self._stirred.clear()
            if self._is_stale:
                self._is_stale = False
                await self._heard.anything_written()
            else:
                with available():
                    await self._connection.execute("SELECT 1")

    async def _listen_again(self) -> None:
        is_told = False
        while True:
            self._drop()
            try:
                await self._listen()
                return
            except (StoreUnavailable, Corrupt) as error:
                if isinstance(error, InUse | Corrupt) and not is_told:
                    is_told = True
                    logger.error("%s", error)
                await asyncio.sleep(_RETRY_S)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def aclose(self) -> None:
        """Stop hearing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._drop()
