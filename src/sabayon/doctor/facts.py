"""What the probes found out about a machine. An `error` is the machine's own words, empty when all went well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """pidfd_error: why processes cannot be held by descriptor."""

    system: str
    release: str
    machine: str
    pidfd_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroups:
    """versions: those mounted. controllers: those usable, of the ones a sandbox is limited by.

    error: why a group with limits could not be made; empty also when that was not tried, without root.
    """

    versions: frozenset[int]
    controllers: frozenset[str]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seccomp:
    """is_known: whether there is a filter for this processor. error: why the kernel refuses it."""

    is_known: bool
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of the machine, free for use now, and as the settings divide it; in MB.

    group_mb: what the control group above those of the sandboxes allows, as in a container; None without a bound.
    """

    total_mb: int
    available_mb: int
    group_mb: int | None
    pool_mb: int
    min_mb: int
    default_mb: int
    max_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDirectory:
    """The data directory, or the nearest one above it that exists.

    mode: permissions of the directory itself, 0 while it does not exist. free_inodes: None where there is no bound.
    lacking_kb: how much more room a start takes than there is for this user, 0 with enough.
    fsync_ms: median time of bringing 4 KB to the disk. error: why nothing can be written.
    owner: process id of a platform that uses it now.
    """

    path: str
    filesystem: str
    mode: int
    free_mb: int
    free_inodes: int | None
    lacking_kb: int
    fsync_ms: float
    error: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """wall_s: since 1970. jump_s: how far the wall clock moved against the monotonic one during the probes.

    is_synchronised: what the kernel was told by a time service; None when it does not say.
    """

    wall_s: float
    jump_s: float
    is_synchronised: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One machine, seen as one user.

    namespaces: by name, why one cannot be made. landlock: version of its interface, 0 without.
    interpreters: path and version by kind. zygotes: by kind, why the first process of its sandboxes cannot start.
    egress: the setting; egress_error: why actions cannot be given that much.
    sharing_error: why sandboxes cannot share unpacked archives; empty also when that was not tried, without root.
    store: the server of the setting, store_error: why it cannot be used; both empty with SQLite.
    open_files: how many one process may have. address: host and port; address_error: why it cannot be listened on.
    """

    is_root: bool
    kernel: Kernel
    namespaces: Mapping[str, str]
    cgroups: Cgroups
    seccomp: Seccomp
    landlock: int
    interpreters: Mapping[str, str]
    zygotes: Mapping[str, str]
    memory: Memory
    data: DataDirectory
    clock: Clock
    egress: str
    egress_error: str
    sharing_error: str
    store: str
    store_error: str
    open_files: int
    address: str
    address_error: str
