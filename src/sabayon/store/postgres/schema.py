"""The schema: made and brought up to date at a start, by one process at a time."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import asyncpg

from sabayon.errors import OperatorError
from sabayon.store.postgres.connection import LOCK, SCHEMA, reason, shown

MIN_SERVER: Final = 140000


async def prepare(connection: Any, url: str) -> None:
    """Make the schema, or bring it up to date. Raises OperatorError, having changed nothing."""
    try:
        await _check_server(connection, url)
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK}, 0)")
            await _migrate(connection, url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        text = f"the database {shown(url)} cannot be prepared: {reason(error)}"
        raise OperatorError(f"{text}; its user must be allowed to make a schema") from error


async def _check_server(connection: Any, url: str) -> None:
    if int(await connection.fetchval("SHOW server_version_num")) < MIN_SERVER:
        version = await connection.fetchval("SHOW server_version")
        raise OperatorError(f"the database {shown(url)} is PostgreSQL {version}; 14 or newer is needed")
    if (encoding := await connection.fetchval("SHOW server_encoding")) != "UTF8":
        raise OperatorError(f"the database {shown(url)} has the encoding {encoding}; make one with the encoding UTF8")


async def _migrate(connection: Any, url: str) -> None:
    scripts = sorted(
        (file for file in resources.files(__package__).joinpath("migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    version = await _version(connection, url)
    if version > len(scripts):
        raise OperatorError(
            f"the database {shown(url)} was written by a newer version of Sabayon; install that version"
        )
    for script in scripts[version:]:
        await connection.execute(script.read_text())
    if version < len(scripts):
        await connection.execute("UPDATE schema_version SET version = $1", len(scripts))


async def _version(connection: Any, url: str) -> int:
    """How many scripts have been run. Makes the schema when there is none. Raises OperatorError for somebody else's."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.schema_version") is not None:
        return int(await connection.fetchval("SELECT version FROM schema_version"))
    if await connection.fetchval("SELECT to_regnamespace($1)", SCHEMA) is not None:
        text = f"the schema {SCHEMA} of the database {shown(url)} is not one of Sabayon's"
        raise OperatorError(f"{text}; name another database; nothing was changed")
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
    await connection.execute("INSERT INTO schema_version VALUES (0)")
    return 0
