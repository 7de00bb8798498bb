"""The bounds on how archives are prepared: with trees that do nothing, and builders that wait until they may build."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable

from sabayon.sandbox.base import Code, Reply, SandboxSpec
from sabayon.sandbox.native.code import BUILDERS, SMALLEST, Builder, CodeCache
from sabayon.sandbox.native.trees import Trees

MB = 1024 * 1024
KIND = "python:3"


class PaperTrees(Trees):
    """Names of trees. To make one that is there fails as it does with folders."""

    def __init__(self, size_bytes: int = MB) -> None:
        super().__init__()
        self.there: set[str] = set()
        self.made: Counter[str] = Counter()
        self._size_bytes = size_bytes

    async def make(self, name: str, size_bytes: int) -> None:
        if name in self.there:
            raise FileExistsError(name)
        self.there.add(name)
        self.made[name] += 1

    async def lend(self, name: str, pidfd: int, uid: int) -> None:
        os.close(pidfd)

    async def seal(self, name: str) -> int:
        return self._size_bytes

    async def drop(self, name: str) -> None:
        self.there.remove(name)


class PaperBuilder:
    """Builds when it may."""

    uid = 1

    def __init__(self, builders: PaperBuilders) -> None:
        self._builders = builders

    def pidfd(self) -> int:
        return os.open("/dev/null", os.O_RDONLY)

    async def prepare(self, body: bytes, timeout_s: float) -> Reply:
        await self._builders.may_build.wait()
        return Reply(200, b"{}", 2)

    async def destroy(self, reason: str) -> None:
        self._builders.living -= 1


class PaperBuilders:
    """Counts how many live at a time."""

    def __init__(self) -> None:
        self.may_build = asyncio.Event()
        self.begun = asyncio.Event()
        self.living = 0
        self.most = 0

    async def create(self, spec: SandboxSpec) -> Builder:
        self.living += 1
        self.most = max(self.most, self.living)
        self.begun.set()
        return PaperBuilder(self)


def archive(number: int, read: Callable[[], Awaitable[None]] | None = None) -> Code:
    """One that is read in more than one step, as from a store."""

    async def text() -> str:
        await (read() if read else asyncio.sleep(0))
        return f"{number:08}" * SMALLEST

    return Code(f"guest/a{number}@1", text)


async def is_leased(cache: CodeCache, code: Code) -> bool:
    """Whether a start finds the archive prepared."""
    lease = await cache.lease(KIND, code)
    if lease is not None:
        lease.give_back()
    return lease is not None


async def is_prepared(cache: CodeCache, code: Code) -> None:
    """Start twice: the second time waits for the builder."""
    assert not await is_leased(cache, code)
    assert await is_leased(cache, code)


def test_however_many_archives_are_started_at_once_only_so_many_builders_run() -> None:
    async def scenario() -> None:
        builders, trees = PaperBuilders(), PaperTrees()
        cache = CodeCache(64 * MB, builders.create, trees)
        archives = [archive(number) for number in range(40)]
        starts = []
        for _ in range(2):  # the second time their content is known
            starts += [asyncio.create_task(is_leased(cache, code)) for code in archives]
            await builders.begun.wait()
        assert builders.living <= BUILDERS
        builders.may_build.set()
        await asyncio.gather(*starts)
        await cache.aclose()
        assert builders.most == BUILDERS
        assert max(trees.made.values()) == 1

    asyncio.run(scenario())


def test_an_archive_that_many_start_again_at_once_has_one_builder() -> None:
    async def scenario() -> None:
        builders, trees = PaperBuilders(), PaperTrees()
        builders.may_build.set()
        cache = CodeCache(64 * MB, builders.create, trees)
        assert sorted(await asyncio.gather(*(is_leased(cache, archive(1)) for _ in range(20)))) == [False, *[True] * 19]
        assert list(trees.made.values()) == [1]
        await cache.aclose()

    asyncio.run(scenario())


def test_who_reads_an_archive_slowly_does_not_have_it_built_once_more() -> None:
    async def scenario() -> None:
        builders, trees = PaperBuilders(), PaperTrees()
        builders.may_build.set()
        cache = CodeCache(4 * MB, builders.create, trees)
        await is_prepared(cache, archive(1))
        for number in range(2, 6):
            await is_prepared(cache, archive(number))  # the first goes for them, and its content is known
        go_on = asyncio.Event()

        async def slowly() -> None:
            await go_on.wait()

        slow = asyncio.create_task(is_leased(cache, archive(1, slowly)))
        await asyncio.sleep(0)
        quick = asyncio.create_task(is_leased(cache, archive(1)))
        await asyncio.sleep(0)
        go_on.set()
        assert (await slow, await quick) == (False, True)
        await cache.aclose()
        assert sorted(trees.made.values()) == [1, 1, 1, 1, 2]

    asyncio.run(scenario())


def test_an_archive_that_cannot_be_read_any_more_is_not_prepared_and_nothing_fails() -> None:
    async def scenario() -> None:
        builders, trees = PaperBuilders(), PaperTrees()
        builders.may_build.set()
        cache = CodeCache(4 * MB, builders.create, trees)
        reads = 0

        async def once() -> None:
            nonlocal reads
            reads += 1
            if reads > 1:
                raise RuntimeError("the action has changed")

        assert not await is_leased(cache, archive(1, once))
        assert not await is_leased(cache, archive(1, once))
        await cache.aclose()
        assert (reads, builders.most) == (2, 0)

    asyncio.run(scenario())
