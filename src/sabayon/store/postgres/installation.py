"""Whose database it is: an id, kept in the database and in the data directory of every process that uses it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final

from sabayon.errors import OperatorError, StoreUnavailable
from sabayon.store.postgres.connection import LOCK, shown

FILE: Final = "installation"
"""In the data directory."""


async def join(connection: Any, url: str, data_dir: Path) -> None:
    """Make sure that the database and the directory belong together.

    A new directory joins the installation of the database, a new database becomes that of the directory. Raises
    OperatorError when each belongs to another one.
    """
    own = _own(data_dir)
    async with connection.transaction():
        await connection.execute("LOCK TABLE installation IN EXCLUSIVE MODE")  # of two new ones one is first
        found = await connection.fetchval("SELECT id FROM installation")
        if found is None:
            found = own or secrets.token_hex(16)
            await connection.execute("INSERT INTO installation VALUES ($1)", found)
    if own is None:
        _keep(data_dir, found)
    elif own != found:
        text = f"the database {shown(url)} belongs to another installation than the data directory {data_dir}"
        remedy = f"name its own database, or remove {data_dir / FILE} to join the one of this database"
        raise OperatorError(f"{text}; {remedy}")


async def claim(connection: Any, url: str, *, is_alone: bool) -> None:
    """Use the database as long as the connection lasts, beside others or alone. Raises InUse when that cannot be."""
    attempt = "pg_try_advisory_lock" if is_alone else "pg_try_advisory_lock_shared"
    if not await connection.fetchval(f"SELECT {attempt}({LOCK}, 2)"):
        who = "another platform" if is_alone else "a platform of one process"
        raise InUse(f"the database {shown(url)} is in use by {who}; stop that, or name another database")


class InUse(StoreUnavailable):
    """The database is another platform's."""


def _own(data_dir: Path) -> str | None:
    try:
        return (data_dir / FILE).read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {data_dir / FILE}: {error}") from error


def _keep(data_dir: Path, id: str) -> None:
    path = data_dir / FILE
    try:
        written = path.with_suffix(".new")
        descriptor = os.open(written, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{id}\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}") from error
