"""Folders of prepared code, in memory, and how sandboxes get to see them.

A *tree* is a tmpfs, mounted in a namespace of this module alone: nothing of it shows on the host, and the kernel frees
it when the platform ends, however it ends. Its files belong to root. A sandbox is shown a read-only mount of its own,
on which they belong to the sandbox's user, as the lower layer of an overlay on `/action/code`; the upper layer is the
sandbox's memory. So code sees its folder as if it had unpacked it there, and what it changes is its own.

All of it happens in one thread: a mount namespace is entered by threads, and only by those that share their root and
working directory with no other. A sandbox is entered only before it is given code.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sabayon.sandbox.native import linux, mounts
from sabayon.sandbox.native.filesystem import ACTION

T = TypeVar("T")

INODES: Final = 65536
INODE_BYTES: Final = 1664
"""What the kernel keeps of a file besides its content. Measured: 960 for an empty one, this for a symbolic link of 120
characters with a name of 200."""

TREE_BYTES: Final = 16384
"""What it keeps of a tree in which there is nothing."""

_STAGE: Final = "/sys"
"""Where the namespace's own root is put together; what is below is never looked at."""

_TMPFS: Final = linux.MS_NOSUID | linux.MS_NODEV
_LOWER, _UPPER, _WORK = "lower", "upper", "work"
_PROBE: Final = "probe"
_SOME_UID: Final = 1


class Trees:
    """Trees by name. Methods raise OSError."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="code")
        self._home = -1
        self._proc = -1

    async def start(self) -> None:
        """Make the namespace, and see whether this kernel can do all that is needed. Raises OSError when it cannot."""
        try:
            await self._do(self._enter)
            await self._do(self._probe)
        except OSError:
            await self.aclose()
            raise

    async def make(self, name: str, size_bytes: int) -> None:
        """An empty tree that cannot grow past that."""
        await self._do(_make, name, size_bytes)

    async def lend(self, name: str, pidfd: int, uid: int) -> None:
        """Make a tree the `/action/code` of a sandbox that is to fill it. `pidfd` is closed."""
        await self._do(self._lend, name, pidfd, uid)

    async def seal(self, name: str) -> int:
        """Never again can a tree be written, by nobody; the bytes it takes, those that the kernel keeps of its files
        included. Who was lent it must have ended.
        """
        return await self._do(_seal, name)

    async def show(self, name: str, pidfd: int, uid: int) -> None:
        """Put a tree under the `/action/code` of a sandbox that has no code; after an error it is not there.

        `pidfd` is closed.
        """
        await self._do(self._show, name, pidfd, uid)

    async def drop(self, name: str) -> None:
        """Take a tree away. Sandboxes that are shown it keep it, and its memory, until they end."""
        await self._do(_drop, name)

    async def aclose(self) -> None:
        """Drop all trees."""
        await asyncio.to_thread(self._thread.shutdown)  # the namespace ends with the thread
        for descriptor in (self._home, self._proc):
            if descriptor >= 0:
                os.close(descriptor)
        self._home = self._proc = -1

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        """It is done, begun or not, also when nobody waits for it any more: it owns the descriptors it was given."""
        doing = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        doing.add_done_callback(lambda done: done.cancelled() or done.exception())  # which is nobody's then
        return await asyncio.shield(doing)

    def _enter(self) -> None:
        """A mount namespace in which there is nothing."""
        linux.unshare(linux.CLONE_NEWNS)
        self._home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("tmpfs", _STAGE, "tmpfs", _TMPFS, "mode=0700,size=1m")
        os.mkdir(f"{_STAGE}/old")
        linux.pivot_root(_STAGE, f"{_STAGE}/old")
        os.chdir("/")
        linux.unmount("/old")
        os.rmdir("/old")

    def _probe(self) -> None:
        """Show a tree in this namespace."""
        _make(_PROBE, 1 << 16)
        _seal(_PROBE)
        os.makedirs(ACTION, 0o700)
        linux.mount("tmpfs", ACTION, "tmpfs", _TMPFS, "size=64k")
        with self._mounted(_PROBE, mounts.READ_ONLY, _SOME_UID) as tree:
            _overlay(tree, _SOME_UID)
        linux.unmount(ACTION)
        linux.unmount(ACTION)
        _drop(_PROBE)

    def _lend(self, name: str, pidfd: int, uid: int) -> None:
        with _closed(pidfd), self._mounted(name, 0, uid) as tree, self._inside(pidfd):
            mounts.attach(tree, ACTION)

    def _show(self, name: str, pidfd: int, uid: int) -> None:
        with _closed(pidfd), self._mounted(name, mounts.READ_ONLY, uid) as tree, self._inside(pidfd):
            _overlay(tree, uid)

    @contextmanager
    def _mounted(self, name: str, attributes: int, uid: int) -> Iterator[int]:
        """A mount of a tree, attached nowhere."""
        with mounts.owned_by(uid, self._proc) as owners:
            tree = mounts.clone(f"/{name}", attributes, owners)
        with _closed(tree):
            yield tree

    @contextmanager
    def _inside(self, pidfd: int) -> Iterator[None]:
        """In the mount namespace of a sandbox."""
        linux.setns(pidfd, linux.CLONE_NEWNS)
        try:
            yield
        finally:
            linux.setns(self._home, linux.CLONE_NEWNS)


def _make(name: str, size_bytes: int) -> None:
    os.mkdir(f"/{name}")
    linux.mount("tmpfs", f"/{name}", "tmpfs", _TMPFS, f"mode=0700,size={size_bytes},nr_inodes={INODES}")


def _seal(name: str) -> int:
    linux.mount("none", f"/{name}", None, linux.MS_REMOUNT | linux.MS_RDONLY | _TMPFS)
    found = os.statvfs(f"/{name}")
    blocks, files = found.f_blocks - found.f_bfree, found.f_files - found.f_ffree
    return blocks * found.f_frsize + files * INODE_BYTES + TREE_BYTES


def _drop(name: str) -> None:
    linux.unmount(f"/{name}")
    os.rmdir(f"/{name}")


@contextmanager
def _closed(descriptor: int) -> Iterator[None]:
    """Closed at the end."""
    try:
        yield
    finally:
        os.close(descriptor)


def _overlay(tree: int, uid: int) -> None:
    """Put a tree under the tmpfs at ACTION of the namespace this thread is in.

    The layers are named from the tmpfs's own folder, which the overlay then hides: no path leads to them any more.
    """
    os.chdir(ACTION)
    try:
        for name in (_LOWER, _UPPER, _WORK):
            os.mkdir(name, 0o700)
        os.chown(_UPPER, uid, uid)
        mounts.attach(tree, _LOWER)
        linux.mount("overlay", ACTION, "overlay", _TMPFS, f"lowerdir={_LOWER},upperdir={_UPPER},workdir={_WORK}")
    except OSError:
        for name in (_UPPER, _WORK):
            with contextlib.suppress(OSError):
                os.rmdir(name)
        raise
    finally:
        with contextlib.suppress(OSError):
            linux.unmount(_LOWER)
        with contextlib.suppress(OSError):
            os.rmdir(_LOWER)
        os.chdir("/")
