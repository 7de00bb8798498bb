"""From facts to findings: what the platform runs with and keeps its data on. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sabayon.data_directory import MIN_FREE_MB
from sabayon.doctor.facts import DataDirectory, Facts
from sabayon.doctor.finding import Finding, Status

LOW_FREE_MB: Final = 1024
MIN_FREE_INODES: Final = 16
SLOW_FSYNC_MS: Final = 20.0
MAX_JUMP_S: Final = 0.1
EARLIEST_WALL_S: Final = 1_700_000_000.0
"""November 2023: a clock that is before that has never been set."""

MIN_OPEN_FILES: Final = 128
"""With less a launcher, or the platform itself, does not get up."""

DESCRIPTORS_PER_CONTAINER: Final = 6
OTHER_DESCRIPTORS: Final = 1000
"""Connections of clients at the limits a namespace has by default, and the store's files."""

_IN_MEMORY: Final = ("tmpfs", "ramfs")
_OVER_NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


def service(facts: Facts) -> list[Finding]:
    """Everything besides isolation."""
    return [
        *interpreters(facts),
        *sharing(facts),
        memory(facts),
        *data_directory(facts),
        *store(facts),
        clock(facts),
        open_files(facts),
        port(facts),
    ]


def interpreters(facts: Facts) -> list[Finding]:
    """One for each kind, and one for Node.js if there is none; Python is there, it runs this."""
    found = [Finding(kind, Status.OK, what) for kind, what in facts.interpreters.items()]
    if not any(kind.startswith("nodejs:") for kind in facts.interpreters):
        found.append(
            Finding(
                "nodejs", Status.LIMITED, "missing",
                "JavaScript actions cannot be created, and those there are cannot run",
                "install Node.js so that `node` is on the PATH of the platform",
            )
        )  # fmt: skip
    return found


def sharing(facts: Facts) -> list[Finding]:
    """Nothing where a missing namespace explains it, and for an ordinary user, who cannot have it."""
    if not facts.is_root or facts.namespaces["mount"]:
        return []
    if not facts.sharing_error:
        return [Finding("shared code", Status.OK, "Python containers can share unpacked archives")]
    return [
        Finding(
            "shared code", Status.LIMITED, f"missing: {facts.sharing_error}",
            "every container unpacks its archive itself, in memory of its own, and starts later",
            "use Linux 6.3 or newer, with overlayfs",
        )
    ]  # fmt: skip


def memory(facts: Facts) -> Finding:
    there = facts.memory
    found = f"{there.total_mb} MB, {there.available_mb} MB of it available; {there.pool_mb} MB for containers"
    if there.pool_mb < there.default_mb:
        return Finding(
            "memory", Status.LIMITED, found,
            f"an action with the default limit of {there.default_mb} MB never gets a container",
            "set pool_memory_mb to more, or default_memory_mb to less",
        )  # fmt: skip
    if there.pool_mb < there.max_mb:
        return Finding(
            "memory", Status.LIMITED, found,
            f"an action may be given up to {there.max_mb} MB, and one with more than the pool never gets a container",
            "set pool_memory_mb to more, or max_memory_mb to less",
        )  # fmt: skip
    if there.group_mb is not None and there.pool_mb > there.group_mb:
        return Finding(
            "memory", Status.LIMITED, f"{found}; the control group that it runs in allows {there.group_mb} MB",
            "containers are killed before they have used up their limits, the platform itself perhaps among them",
            "set pool_memory_mb to less, or let that group, such as a container's, have more",
        )  # fmt: skip
    if there.pool_mb > there.available_mb:
        return Finding(
            "memory", Status.LIMITED, found,
            "containers that use up their limits can bring the machine to kill processes, the platform's among them",
            "set pool_memory_mb to less, or end what else uses the memory",
        )  # fmt: skip
    return Finding("memory", Status.OK, found)


def data_directory(facts: Facts) -> list[Finding]:
    """Whether it can be written; if so also its space, its privacy and how long a write takes."""
    there = facts.data
    found = f"{there.path} on {there.filesystem}, {there.free_mb} MB free"
    if there.error:
        return [Finding("data directory", Status.REFUSED, f"{found}: {there.error}", *_UNWRITABLE)]
    return [_owner(there, found), _space(there), _fsync(there)]


_UNWRITABLE: Final = (
    "the platform refuses to start: nothing could be kept",
    "make room, or choose a directory of this user's with --data-dir",
)


def _owner(there: DataDirectory, found: str) -> Finding:
    if there.owner:
        return Finding(
            "data directory", Status.LIMITED, f"{found}; process {there.owner} runs a platform on it",
            "a second platform refuses to start on it",
            "nothing, if that one is meant to run",
        )  # fmt: skip
    if there.filesystem in _OVER_NETWORK:
        return Finding(
            "data directory", Status.LIMITED, found,
            "the database's locks and shared memory are not reliable across a network: it can be damaged",
            "choose a directory on a local disk with --data-dir",
        )  # fmt: skip
    if there.mode & 0o077:
        return Finding(
            "data directory", Status.LIMITED, f"{found}, with permissions {there.mode:03o}",
            "other users of this machine may be able to read entities, keys and records",
            f"chmod 700 {there.path}",
        )  # fmt: skip
    return Finding("data directory", Status.OK, found)


def _space(there: DataDirectory) -> Finding:
    files = MIN_FREE_INODES if there.free_inodes is None else there.free_inodes
    found = f"{there.free_mb} MB free" + ("" if files >= MIN_FREE_INODES else f", and {files} files")
    if there.lacking_kb or files < MIN_FREE_INODES:
        needed = f"it needs {there.lacking_kb} KB more" if there.lacking_kb else "it needs files of its own"
        return Finding(
            "disk space", Status.REFUSED, found,
            f"the platform refuses to start: {needed}",
            "make room, or choose a directory on another disk with --data-dir",
        )  # fmt: skip
    if there.free_mb < MIN_FREE_MB:
        return Finding(
            "disk space", Status.LIMITED, found,
            "the platform starts, unless records of the last run wait to be stored; creates, updates and deletes get "
            "503, blocking calls may lose their records, non-blocking ones wait, and run again at each start",
            "make room outside of the database: entities cannot be deleted while the disk is full",
        )  # fmt: skip
    if there.free_mb < LOW_FREE_MB:
        return Finding(
            "disk space", Status.LIMITED, found,
            "activation records fill it up; from then on creates, updates and deletes get 503, "
            "blocking calls may lose their records, and non-blocking ones wait",
            "make room, or choose a directory on another disk with --data-dir",
        )  # fmt: skip
    return Finding("disk space", Status.OK, found)


def _fsync(there: DataDirectory) -> Finding:
    found = f"{there.fsync_ms:.2g} ms"
    if there.filesystem in _IN_MEMORY:
        return Finding(
            "fsync", Status.LIMITED, f"{found}, into memory",
            "entities, accepted activations and records are lost when the machine restarts",
            "choose a directory on a disk with --data-dir",
        )  # fmt: skip
    if there.fsync_ms > SLOW_FSYNC_MS:
        return Finding(
            "fsync", Status.LIMITED, found,
            "every entity written and every activation accepted without waiting for its result takes at least that",
            "choose a directory on a faster disk with --data-dir",
        )  # fmt: skip
    return Finding("fsync", Status.OK, found)


def store(facts: Facts) -> list[Finding]:
    """Nothing where all is in the data directory."""
    if facts.store_error:
        return [
            Finding(
                "store", Status.REFUSED, facts.store_error,
                "the platform waits for it for half a minute where waiting can help, and does not start",
                "start the server, or correct the setting store",
            )
        ]  # fmt: skip
    return [Finding("store", Status.OK, facts.store)] if facts.store else []


def clock(facts: Facts) -> Finding:
    now = datetime.fromtimestamp(facts.clock.wall_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    remedy = "start a time service: chrony, systemd-timesyncd or ntpd"
    if facts.clock.wall_s < EARLIEST_WALL_S:
        consequence = "alarms fire at wrong times, records carry wrong dates and lists of them miss what is newer"
        return Finding("clock", Status.LIMITED, f"{now}: never set", consequence, remedy)
    if abs(facts.clock.jump_s) > MAX_JUMP_S:
        return Finding(
            "clock", Status.LIMITED, f"{now}; it moved by {facts.clock.jump_s:+.1f} s while this ran",
            "alarms fire early or late, and records can end before they start",
            "let a time service slew the clock instead of stepping it",
        )  # fmt: skip
    if facts.clock.is_synchronised is False:
        consequence = "records of this machine and of others may be out of order, alarms off by its drift"
        return Finding("clock", Status.LIMITED, f"{now}, not synchronised", consequence, remedy)
    note = ", synchronised" if facts.clock.is_synchronised else ""
    return Finding("clock", Status.OK, f"{now}{note}")


def open_files(facts: Facts) -> Finding:
    """The soft limit does not matter: the platform raises it."""
    containers = facts.memory.pool_mb // max(1, facts.memory.min_mb)
    needed = containers * DESCRIPTORS_PER_CONTAINER + OTHER_DESCRIPTORS
    found = f"{facts.open_files} for one process"
    if facts.open_files >= needed:
        return Finding("open files", Status.OK, found)
    if facts.open_files < MIN_OPEN_FILES:
        return Finding(
            "open files", Status.REFUSED, found, "the platform does not start, or can run no action", _raise_to(needed)
        )
    return Finding(
        "open files", Status.LIMITED, found,
        f"{containers} containers and their callers need {needed}: under load some starts and connections are refused",
        _raise_to(needed),
    )  # fmt: skip


def _raise_to(files: int) -> str:
    return f"raise it: ulimit -n {files}, or LimitNOFILE={files} in the systemd unit"


def port(facts: Facts) -> Finding:
    if not facts.address_error:
        return Finding("port", Status.OK, f"{facts.address} is free")
    if facts.data.owner:
        return Finding("port", Status.OK, f"{facts.address} is taken, and the platform is running")
    return Finding(
        "port", Status.REFUSED, facts.address_error,
        "the platform refuses to start: no client could reach it",
        "end what listens there, or choose another with --port",
    )  # fmt: skip
