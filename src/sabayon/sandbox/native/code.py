"""Archives made ready once for all sandboxes that run them: unpacked, for Python compiled, shared read-only.

The platform itself never unpacks what somebody sent. A *builder* does: a sandbox like any other, without a way out,
whose launcher is given the archive to prepare, and in which none of its code runs. So nothing that an activation or
another namespace does is in the result. When a builder fails, the archive goes to the sandbox in `init`, and what is
wrong with it is said by the same code as without a cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from sabayon.errors import SabayonError
from sabayon.sandbox.base import Code, Reply, SandboxDied, SandboxSpec, SandboxTimeout, SandboxUnavailable
from sabayon.sandbox.native.shelf import Shelf
from sabayon.sandbox.native.trees import Trees

logger = logging.getLogger("sabayon.sandbox")

T = TypeVar("T")

SMALLEST: Final = 8 * 1024
"""Of the archives worth it, in characters of base64: what less would save takes many starts to pay for a builder's."""

BUILDER_MB: Final = 512
BUILDERS: Final = 2
"""At a time. Who comes when all are busy does not wait for somebody else's archive."""

BUILD_S: Final = 30.0
PAUSE_S: Final = 0.5
"""Before a tree is made that nobody waits for, so that a builder does not compete with the start that asked for it."""

WAIT_S: Final = 2.0
"""For a tree that is being made. After that a sandbox gets the archive itself."""

_SHARE: Final = 4
"""No archive may take more than one part in this of the cache, so that none has all others go."""

_TREE_BYTES: Final = BUILDER_MB * 1024 * 1024 // 2
_MOST_VERSIONS: Final = 65536


class _NotPrepared(SabayonError):
    """The launcher refused an archive."""


class Builder(Protocol):
    """What is needed of a sandbox that prepares code, and of one that is shown it."""

    uid: int

    def pidfd(self) -> int:
        """A descriptor of its first process, for the caller to close. Raises SandboxDied."""
        ...

    async def prepare(self, body: bytes, timeout_s: float) -> Reply:
        """Have the launcher unpack an archive. Raises SandboxDied, SandboxTimeout."""
        ...

    async def destroy(self, reason: str) -> None:
        """See the port."""
        ...


Create = Callable[[SandboxSpec], Awaitable[Builder]]


class Lease:
    """The use of one tree. It is not evicted until it is given back."""

    def __init__(self, key: str, trees: Trees, give_back: Callable[[str], None]) -> None:
        self._key = key
        self._trees = trees
        self._give_back: Callable[[str], None] | None = give_back

    async def show(self, sandbox: Builder) -> bool:
        """Put the tree into a sandbox without code; False when that cannot be done, and nothing of it is there.

        Raises SandboxDied for a sandbox that was destroyed before, and is the lease given back with.
        """
        try:
            await self._trees.show(self._key, sandbox.pidfd(), sandbox.uid)
        except SandboxDied:
            self.give_back()
            raise
        except OSError as error:
            logger.warning("a sandbox cannot be shown prepared code: %s", error)
            return False
        return True

    def give_back(self) -> None:
        """The sandbox is gone. Idempotent."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self._key)


async def open_cache(limit_bytes: int, create: Create) -> CodeCache | None:
    """A cache that can be used; None where this kernel cannot share code."""
    codes = CodeCache(limit_bytes, create, Trees())
    try:
        await codes.start()
    except OSError as error:
        logger.info("every sandbox unpacks its archive itself: %s", error)
        return None
    return codes


class CodeCache:
    """Prepared archives, by kind and content. Nothing of it outlives the platform."""

    def __init__(self, limit_bytes: int, create: Create, trees: Trees) -> None:
        self._create = create
        self._trees = trees
        self._tree_bytes = min(limit_bytes // _SHARE, _TREE_BYTES)
        self._shelf = Shelf(limit_bytes, self._tree_bytes)
        self._keys: dict[tuple[str, str], str] = {}
        """By kind and version: whose content is known, whether it is there or not."""
        self._looking: dict[tuple[str, str], asyncio.Task[str | None]] = {}
        self._building: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, asyncio.Event] = {}
        """Of those that are to be built: set when somebody waits for it."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Raises OSError when this kernel cannot share code."""
        await self._trees.start()

    async def lease(self, kind: str, code: Code) -> Lease | None:
        """The use of the archive's tree; None when the archive has to go by `init`.

        The first that asks has the tree made and does not wait for it: to unpack what it needs itself is no slower.
        Who asks while it is being made waits. The caller gives the lease back. `code.read` may be asked after this
        has returned; raises what it raises before.
        """
        version = kind, code.version
        key = self._keys.get(version) or await self._shared_look(version, code)
        if key is None or not await self._is_there(key, kind, code) or not self._shelf.take(key):
            return None
        return Lease(key, self._trees, self._shelf.give_back)

    async def _shared_look(self, version: tuple[str, str], code: Code) -> str | None:
        """What `_look` finds, which is done once for all who ask at the same time."""
        task = self._looking.get(version)
        if task is None:
            task = self._looking[version] = self._spawn(self._look(version, code))
            task.add_done_callback(lambda _: self._looking.pop(version))
        return await asyncio.shield(task)

    async def _look(self, version: tuple[str, str], code: Code) -> str | None:
        """The key of an archive that is not known by its version; None when it is not worth a tree."""
        text = await code.read()
        if text is None or len(text) < SMALLEST:
            return None
        key = self._keys[version] = await asyncio.to_thread(_key, version[0], text)
        if len(self._keys) > _MOST_VERSIONS:
            del self._keys[next(iter(self._keys))]
        return key

    async def _is_there(self, key: str, kind: str, code: Code) -> bool:
        """Whether there may be a tree, after waiting for one that is being made; where there is none one is begun."""
        if key in self._shelf:
            return True
        if building := self._building.get(key):
            self._wanted[key].set()
            await asyncio.wait((building,), timeout=WAIT_S)
            return key in self._shelf
        if len(self._building) < BUILDERS and not self._shelf.is_refused(key, self._now()):
            # From the question to the entry nothing is waited for: else the bound would not hold.
            wanted = self._wanted[key] = asyncio.Event()
            self._building[key] = task = self._spawn(self._build_when(wanted, key, kind, code))
            task.add_done_callback(lambda _: (self._building.pop(key), self._wanted.pop(key)))
        return False

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _build_when(self, wanted: asyncio.Event, key: str, kind: str, code: Code) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), PAUSE_S)
        if self._is_closed:
            return
        try:
            text = await code.read()
        except Exception as error:  # the caller's own, who is told when it reads the archive for `init`
            logger.info("an archive of %s is not shared: it cannot be read: %r", kind, error)
            return
        if text is not None:
            await self._build(key, kind, text)

    async def _build(self, key: str, kind: str, text: str) -> None:
        """Make a tree, and put it on the shelf or, for a while, among what is refused."""
        try:
            await self._trees.make(key, self._tree_bytes)
        except OSError as error:
            logger.warning("code cannot be prepared: %s", error)
            return
        try:
            gone = self._shelf.put(key, await self._filled(key, kind, text), self._now())
        except SandboxUnavailable as error:  # says nothing of the archive
            logger.warning("no builder: %s", error)
            gone = [key]
        except (SandboxDied, SandboxTimeout, OSError, _NotPrepared) as error:
            logger.info("an archive of %s is not shared: %s", kind, error)
            self._shelf.refuse(key, self._now())
            gone = [key]
        # All at once: what is asked for again meanwhile is then made after it has been dropped.
        await asyncio.gather(*map(self._drop, gone))

    async def _filled(self, key: str, kind: str, text: str) -> int:
        """Have a builder fill a tree; its size.

        Raises SandboxUnavailable, SandboxDied, SandboxTimeout, OSError, _NotPrepared.
        """
        builder = await self._create(SandboxSpec(kind, BUILDER_MB))
        try:
            await self._trees.lend(key, builder.pidfd(), builder.uid)
            body = json.dumps({"value": {"code": text}}).encode()
            reply = await builder.prepare(body, BUILD_S)
            if reply.status != 200:
                raise _NotPrepared(reply.body.decode(errors="replace"))
        finally:
            await builder.destroy("it has built")
        return await self._trees.seal(key)

    async def _drop(self, key: str) -> None:
        try:
            await self._trees.drop(key)
        except OSError as error:
            logger.warning("prepared code cannot be dropped: %s", error)

    async def aclose(self) -> None:
        """Drop all trees. No sandbox may be left, builders included."""
        self._is_closed = True
        for wanted in self._wanted.values():
            wanted.set()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._trees.aclose()


def _key(kind: str, text: str) -> str:
    """What tells the prepared form of a text from all others."""
    return hashlib.sha256(kind.encode() + b"\0" + text.encode()).hexdigest()
