"""A copy of a database in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from sabayon.errors import OperatorError

_PAGES: Final = 1_000
"""Copied at a time, 4 MB; between them the platform may write."""


def back_up(database: Path, target: Path) -> None:
    """Copy `database`, which may be in use, into the new file `target`, as of one moment. Raises OperatorError."""
    if not database.exists():
        raise OperatorError(f"there is no database {database}")
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise OperatorError(f"cannot make {target}: {error.strerror}") from error
    try:
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(source), contextlib.closing(sqlite3.connect(target)) as copy:
            source.execute("BEGIN")  # the pages of one moment, however much is written meanwhile
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=_PAGES)
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it in this one file
    except sqlite3.Error as error:
        target.unlink()
        raise OperatorError(f"the database {database} cannot be copied: {error}") from error
