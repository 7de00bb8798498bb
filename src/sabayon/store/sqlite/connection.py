"""Opening the database: pragmas, migrations, and errors an operator can act on."""

from __future__ import annotations

import contextlib
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from sabayon.errors import OperatorError

BUSY_S: Final = 10.0
_CHECKED_BYTES: Final = 32 * 1024 * 1024
"""Databases up to this size are checked whole at each start; larger ones would delay it."""


APPLICATION_ID: Final = int.from_bytes(b"Saby")
"""In the header of every database of ours: a file of another program is not taken for an old one of this."""


def connect(path: Path, *, is_reader: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA cache_size = -8192")
    if is_reader:
        connection.execute("PRAGMA query_only = ON")
    return connection


def prepare(path: Path) -> None:
    """Make the database, or check it and bring its schema up to date. Raises OperatorError, having changed nothing."""
    try:
        existed = path.exists() and path.stat().st_size > 0
        if existed:
            _check_ours(path)
        path.touch(mode=0o600)
        connection = connect(path)
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(_unusable(path, error)) from error
    try:
        if existed and path.stat().st_size <= _CHECKED_BYTES:
            _check(path, connection)
        _migrate(path, connection)
    except sqlite3.Error as error:
        raise OperatorError(_unusable(path, error)) from error
    finally:
        connection.close()


def _unusable(path: Path, error: Exception) -> str:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f"the database {path} is damaged ({error}); restore a backup or move it away; nothing was changed"
    return f"the database {path} cannot be used: {error}"


def _check_ours(path: Path) -> None:
    """Raises OperatorError for the database of another program. To be called before anything is written to it."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        [[application_id]] = connection.execute("PRAGMA application_id")
        [[tables]] = connection.execute("SELECT count(*) FROM sqlite_schema")
    if tables and application_id != APPLICATION_ID:
        raise OperatorError(f"the database {path} is not one of Sabayon's; move it away; nothing was changed")


def _check(path: Path, connection: sqlite3.Connection) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise OperatorError(_unusable(path, sqlite3.DatabaseError(" ".join(verdict.split()))))


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    scripts = sorted(
        (file for file in resources.files(__package__).joinpath("migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(scripts):
        connection.execute("ROLLBACK")
        raise OperatorError(f"the database {path} was written by a newer version of Sabayon; install that version")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, script in enumerate(scripts[version:], start=version + 1):
        for statement in script.read_text().split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
