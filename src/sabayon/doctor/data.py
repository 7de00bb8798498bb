"""Asks about the data directory, without making it."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from sabayon.data_directory import DATABASE, LOCK, MIN_FREE_MB
from sabayon.doctor.facts import DataDirectory
from sabayon.store.sqlite.spool import SEGMENT_BYTES, missing_bytes

MB: Final = 1024 * 1024
_OPENING_KB: Final = 64
"""For the files that SQLite has beside a database while it is open."""

_WRITES: Final = 15
_BLOCK: Final = bytes(4096)


def data_directory(directory: Path) -> DataDirectory:
    """What is known of `directory`, which need not exist."""
    place = _existing(directory)
    space = os.statvfs(place)
    blocks = space.f_bfree if os.geteuid() == 0 else space.f_bavail
    try:
        fsync_ms, error = _fsync_ms(place), ""
    except OSError as refused:
        fsync_ms, error = 0.0, refused.strerror or str(refused)
    return DataDirectory(
        path=str(directory),
        filesystem=_filesystem(place, Path("/proc/self/mounts").read_text()),
        mode=stat.S_IMODE(place.stat().st_mode) if place == directory else 0,
        free_mb=space.f_bavail * space.f_frsize // MB,
        free_inodes=space.f_favail if space.f_files else None,
        lacking_kb=max(0, _start_kb(directory / DATABASE) - blocks * space.f_frsize // 1024),
        fsync_ms=fsync_ms,
        error=error,
        owner=_owner(directory / LOCK),
    )


def _start_kb(database: Path) -> int:
    """The room that a start takes; that of a first one when this user cannot look."""
    try:
        own_kb = _OPENING_KB if database.exists() else MIN_FREE_MB * 1024
        return own_kb + -(-missing_bytes(database) // 1024)
    except OSError:
        return MIN_FREE_MB * 1024 + 2 * SEGMENT_BYTES // 1024


def _existing(directory: Path) -> Path:
    """The nearest that this user can see, upwards from `directory`."""
    for path in (directory, *directory.parents):
        try:
            path.stat()
        except OSError:
            continue
        return path
    return Path("/")


def _fsync_ms(place: Path) -> float:
    """Median time of one block to the disk, in a file without a name. Raises OSError."""
    times = []
    with tempfile.TemporaryFile(dir=place, buffering=0) as file:
        for _ in range(_WRITES):
            started = time.perf_counter()
            file.write(_BLOCK)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _filesystem(place: Path, mounts: str) -> str:
    """Type of the file system that `place` is on: of the mounts above it the longest, and of those the last."""
    resolved, best = place.resolve(), (0, "an unknown file system")
    for line in mounts.splitlines():
        _, written, kind, *_ = line.split(" ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), written))
        if resolved.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), kind)
    return best[1]


def _owner(lock: Path) -> str:
    """Process id of the platform that holds the lock, empty without one."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode().strip()
    finally:
        os.close(descriptor)
    return ""
