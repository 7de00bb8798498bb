"""Writes of many callers in one statement: what comes in while one is under way goes with the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST_ITEMS: Final = 512
MOST_BYTES: Final = 4 * 1024 * 1024


class Batcher(Generic[T]):
    """Hands what `put` is given to `write`, in order, several at a time.

    write: keeps them all or raises, and so does every `put` of them. size: bytes of an item, which bound a batch.
    lanes: how many batches may be under way at once; with more than one the order holds within a batch only.
    gather_s: how long the first of a batch waits for others.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        size: Callable[[T], int],
        *,
        lanes: int = 1,
        gather_s: float = 0.0,
    ) -> None:
        self._write = write
        self._size = size
        self._idle = lanes
        self._gather_s = gather_s
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self.batches = 0
        """Written so far, which tests compare with the number of items."""

    async def put(self, item: T) -> None:
        """Returns when `item` has been written. Who stops waiting does not undo it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._idle:
            self._idle -= 1
            lane = asyncio.create_task(self._run())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._gather_s:
                    await asyncio.sleep(self._gather_s)
                await self._write_one(self._next())
        finally:
            self._idle += 1

    def _next(self) -> list[tuple[T, asyncio.Future[None]]]:
        batch: list[tuple[T, asyncio.Future[None]]] = []
        size_bytes = 0
        while self._waiting and len(batch) < MOST_ITEMS:
            size_bytes += self._size(self._waiting[0][0])
            if batch and size_bytes > MOST_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _write_one(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        failure: Exception | None = None
        try:
            await self._write([item for item, _ in batch])
            self.batches += 1
        except Exception as error:  # told to those who wait
            failure = error
        for _, future in batch:
            if future.done():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)

    async def aclose(self) -> None:
        """Write what waits."""
        while self._lanes:
            await asyncio.wait(self._lanes)
