"""Reaching the server: its URL without secrets, one connection, and errors an operator or a caller can act on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg

from sabayon.errors import OperatorError, StoreUnavailable

logger = logging.getLogger("sabayon.store")

SCHEMA: Final = "sabayon"
LOCK: Final = 1398891897
"""The key of our advisory locks; with it goes 0 while the schema changes, 1 for records, 2 for who has the
database, 3 for who fires timers."""

CONNECT_S: Final = 5.0
COMMAND_S: Final = 15.0
"""What takes longer counts as lost: the server hangs, or the network has gone."""

_RETRY_S: Final = 0.5
_TELL_S: Final = 5.0
_SERVER_SETTINGS: Final = {
    "application_name": "sabayon",
    "search_path": SCHEMA,
    "synchronous_commit": "on",  # whatever the server's default is: what is accepted is on disk
    "jit": "off",
    # Whatever is asked here has its index. Plans are made when a day is young and its partition empty, and kept.
    "enable_seqscan": "off",
    "client_min_messages": "warning",
    "timezone": "UTC",
}
_LOST: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Whatever can come out of a statement that was right."""

_PASSING: Final = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""A server that cannot be reached now; others refuse whom they know not, and waiting does not help."""


def shown(url: str) -> str:
    """What of a URL may be told: host, port and database; less when parts of a password could be among them."""
    credentials, _, rest = url.rpartition("://")[2].rpartition("@")
    return "of the setting store" if "?" in credentials else rest.partition("?")[0] or "localhost"


async def connect(url: str, *, command_s: float | None = COMMAND_S) -> Any:
    """One connection. Raises what asyncpg raises."""
    return await asyncpg.connect(url, timeout=CONNECT_S, command_timeout=command_s, server_settings=_SERVER_SETTINGS)


async def reach(url: str, wait_s: float) -> Any:
    """A connection without a time limit for its commands; waits `wait_s` for a server that is not there.

    Raises OperatorError.
    """
    deadline, told = time.monotonic() + wait_s, 0.0
    while True:
        try:
            return await connect(url, command_s=None)
        except _PASSING as error:
            now = time.monotonic()
            if now >= deadline:
                text = f"the database {shown(url)} cannot be reached: {reason(error)}"
                raise OperatorError(f"{text}; is the server running, and the setting store right?") from error
            if now - told >= _TELL_S:
                told = now
                text = "the database %s cannot be reached: %s; trying for another %.0f s"
                logger.warning(text, shown(url), reason(error), deadline - now)
            await asyncio.sleep(_RETRY_S)
        except ValueError as error:  # whose text may quote a piece of the password
            text = f"the URL of the database {shown(url)} cannot be read"
            raise OperatorError(f"{text}; write special characters in user and password as %XX") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise OperatorError(f"the database {shown(url)} cannot be used: {reason(error)}") from error


def pool(url: str, size: int) -> Any:
    """Connections that are made again when they were lost. To be awaited."""

    async def as_it_is(_connection: Any) -> None:
        """Nothing here changes a session, so nothing has to be reset, which would be a question to the server."""

    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=300.0,
        timeout=CONNECT_S,
        command_timeout=COMMAND_S,
        server_settings=_SERVER_SETTINGS,
        reset=as_it_is,
    )


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = "no answer in time" if isinstance(error, TimeoutError) else ""
    return " ".join(str(error).split()) or text or type(error).__name__


@contextmanager
def available() -> Iterator[None]:
    """Raises StoreUnavailable for what a server does that is down, restarting, full or broken."""
    try:
        yield
    except _LOST as error:
        raise StoreUnavailable(f"the database does not answer as it should: {reason(error)}") from error
