"""A lease as a lock that lasts as long as its session, which the server ends when it hears nothing.

So a holder that is killed gives it up at once, and one that is stopped or cut off after `IDLE_S`: no clocks of several
machines are compared, and nothing has to be cleared away.
"""

from __future__ import annotations

from typing import Any, Final

from sabayon.errors import StoreUnavailable
from sabayon.store.postgres.connection import LOCK, available, connect

IDLE_S: Final = 4.0
_ANSWER_S: Final = 2.0


class PostgresLease:
    """See the port. number: of the lock; see `LOCK`."""

    def __init__(self, url: str, number: int) -> None:
        self._url = url
        self._number = number
        self._connection: Any = None
        self._is_held = False

    async def hold(self) -> bool:
        try:
            with available():
                if self._connection is None:
                    self._connection = await connect(self._url, command_s=_ANSWER_S)
                    await self._connection.execute(f"SET idle_session_timeout = {int(IDLE_S * 1000)}")
                if self._is_held:
                    await self._connection.execute("SELECT 1")
                else:
                    attempt = f"SELECT pg_try_advisory_lock({LOCK}, {self._number})"
                    self._is_held = await self._connection.fetchval(attempt)
        except StoreUnavailable:
            await self.release()
        return self._is_held

    async def release(self) -> None:
        self._is_held = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
