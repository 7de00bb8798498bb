"""The file system an action sees: a read-only root made of what its interpreter needs, and private memory on top.

The root is prepared once per zygote, in the zygote's own mount namespace; nothing of it
exists on the host. A sandbox inherits it and adds what is its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sabayon.sandbox.native import linux

_STAGE: Final = "/sys"
"""Where the root is put together; hidden afterwards, and never a source of a bind."""

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_FROM_ETC: Final = ("ld.so.cache", "ssl", "alternatives", "localtime", "mime.types", "ca-certificates", "pki")
_OWN_ETC: Final = {
    "passwd": "root:x:0:0:root:/tmp:/bin/sh\naction:x:65534:65534:action:/tmp:/bin/sh\n",
    "group": "root:x:0:\naction:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_HIDDEN: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
)
"""As container engines have it, and what they do not: the kernel's symbols and who uses keys."""

_READ_ONLY: Final = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs")
_TMPFS: Final = linux.MS_NOSUID | linux.MS_NODEV
_INODES: Final = "nr_inodes=65536"
# Flags that an outer mount may have locked; statvfs and mount agree on these values.
_KEPT_FLAGS: Final = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC

_REMOUNT_READ_ONLY: Final = (
    linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
)
TMP: Final = "/tmp"
ACTION_PARENT: Final = "/action"
"""Holds ACTION and nothing else. What is mounted on ACTION, whenever, is below it: Landlock looks from what is on top
to the folders above the mount point, and neither at the mount point itself nor at what the mount hides."""

ACTION: Final = f"{ACTION_PARENT}/code"


def enter_prepared_root(binds: Iterable[tuple[str, str]], resolv_conf: str) -> None:
    """Build the root and make it this process's; `binds` are further host paths to show read-only, and where.

    resolv_conf: the text of that file. Needs a mount namespace of its own. Raises OSError.
    """
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _STAGE, "tmpfs", linux.MS_NOSUID, "mode=0755,size=8m")
    for source, target in (*((path, path) for path in _SYSTEM), *binds):
        _show(Path(source), Path(_STAGE + target))
    _make_etc(resolv_conf)
    _make_devices()
    for directory, mode in (("/proc", 0o555), (TMP, 0o1777), (ACTION, 0o755), ("/root", 0o755), ("/.old", 0o700)):
        os.makedirs(_STAGE + directory, mode, exist_ok=True)
    linux.mount("proc", _STAGE + "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.pivot_root(_STAGE, _STAGE + "/.old")
    os.chdir("/")
    linux.unmount("/.old")
    os.rmdir("/.old")
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID)


def _show(source: Path, target: Path) -> None:
    """The host's `source` at `target`, read-only; a symbolic link as itself, what is missing not at all."""
    if source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(source.readlink())
    elif source.exists() and not target.exists():
        _bind(source, target)


def _bind(source: Path, target: Path, *, devices: bool = False) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    linux.mount(str(source), str(target), None, linux.MS_BIND | linux.MS_REC)
    locked = os.statvfs(target).f_flag & _KEPT_FLAGS
    flags = locked | linux.MS_NOSUID | (0 if devices else linux.MS_RDONLY | linux.MS_NODEV)
    linux.mount("none", str(target), None, linux.MS_REMOUNT | linux.MS_BIND | flags)


def _make_etc(resolv_conf: str) -> None:
    etc = Path(_STAGE + "/etc")
    etc.mkdir()
    for name, text in (*_OWN_ETC.items(), ("resolv.conf", resolv_conf)):
        (etc / name).write_text(text)
    for name in _FROM_ETC:
        source = Path("/etc", name)
        if source.is_symlink():
            (etc / name).symlink_to(source.readlink())
        elif source.exists():
            _bind(source, etc / name)


def _make_devices() -> None:
    dev = Path(_STAGE + "/dev")
    dev.mkdir()
    (dev / "shm").mkdir()
    for name in _DEVICES:
        _bind(Path("/dev", name), dev / name, devices=True)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)


class Masks:
    """What of /proc is hidden from sandboxes, and what is read-only: that of it which this kernel has.

    To be asked in the prepared root, once for all sandboxes.
    """

    def __init__(self) -> None:
        self.hidden = [path for path in _HIDDEN if os.path.exists(path) and not os.path.isdir(path)]
        self.hidden_folders = [path for path in _HIDDEN if os.path.isdir(path)]
        self.read_only = [path for path in _READ_ONLY if os.path.exists(path)]


def add_private_parts(masks: Masks, tmp_bytes: int, uid: int, gid: int) -> None:
    """In a sandbox's own mount namespace: its /proc, /tmp, ACTION and /dev/shm. Sizes are hard limits.

    The memory behind them counts for the sandbox's memory limit too. Raises OSError.
    """
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for path in masks.hidden_folders:
        linux.mount(TMP, path, None, linux.MS_BIND)  # still that of the prepared root: empty and read-only
    own, shared = f"size={tmp_bytes},{_INODES}", f"size={tmp_bytes // 4},{_INODES}"
    linux.mount("tmpfs", TMP, "tmpfs", _TMPFS, f"mode=1777,{own}")
    linux.mount("tmpfs", ACTION, "tmpfs", _TMPFS, f"mode=0700,{own},uid={uid},gid={gid}")
    linux.mount("tmpfs", "/dev/shm", "tmpfs", _TMPFS | linux.MS_NOEXEC, f"mode=1777,{shared}")
    for path in masks.hidden:
        linux.mount("/dev/null", path, None, linux.MS_BIND)
    for path in masks.read_only:
        linux.mount(path, path, None, linux.MS_BIND | linux.MS_REC)
        linux.mount("none", path, None, _REMOUNT_READ_ONLY)
