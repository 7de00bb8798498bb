"""The data directory: one platform at a time, readable by its owner only."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sabayon.errors import OperatorError

DATABASE: Final = "sabayon.db"
LOCK: Final = "lock"
WSKPROPS: Final = "wskprops"

MIN_FREE_MB: Final = 1
"""What the database takes at first, or for a few writes."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory if need be and keep other platforms out of it. Raises OperatorError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode().strip()
        raise OperatorError(
            f"the data directory {directory} is in use by another instance (process {owner}); "
            "stop it, or choose another directory with --data-dir"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> OperatorError:
    return OperatorError(f"cannot use the data directory {directory}: {error.strerror}; choose another with --data-dir")


def has_room(directory: Path) -> bool:
    """Whether the disk takes anything worth mentioning. Raises OSError."""
    return shutil.disk_usage(directory).free >= MIN_FREE_MB * 1024 * 1024


def write_wskprops(directory: Path, api_host: str, auth_key: str, home: Path | None) -> Path:
    """Write `wskprops` in the directory, and `~/.wskprops` if there is none. Returns the file that `wsk` will read.

    A `~/.wskprops` that exists is never touched, whatever it says. Raises OperatorError.
    """
    own = directory / WSKPROPS
    try:
        _write_private(own, api_host, auth_key, os.O_TRUNC)
    except OSError as error:
        raise OperatorError(f"cannot write {own}: {error.strerror}") from error
    if home is None:
        return own
    personal = home / ".wskprops"
    try:
        _write_private(personal, api_host, auth_key, os.O_EXCL)
    except OSError:
        return personal if _says(personal, api_host, auth_key) else own
    return personal


def _properties(api_host: str, auth_key: str) -> str:
    return f"APIHOST={api_host}\nAUTH={auth_key}\n"


def _write_private(path: Path, api_host: str, auth_key: str, flag: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | flag, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_properties(api_host, auth_key))


def _says(path: Path, api_host: str, auth_key: str) -> bool:
    try:
        lines = set(path.read_text().split())
    except (OSError, UnicodeDecodeError):
        return False
    return set(_properties(api_host, auth_key).split()) <= lines
