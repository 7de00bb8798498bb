"""Who owns work that outlives the request that started it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sabayon.deadlines import Deadlines
from sabayon.errors import NotNow

T = TypeVar("T")

logger = logging.getLogger("sabayon.controller")


def _nothing() -> None:
    pass


class Running:
    """Activations in flight, by their id: strong references, an ear for their failures, and an orderly end.

    An id may be adopted again while its earlier work is still under way; the last one counts.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._work: dict[str, asyncio.Future[Any]] = {}

    def __contains__(self, activation_id: str) -> bool:
        return activation_id in self._work

    def find(self, activation_id: str) -> asyncio.Future[Any] | None:
        """What is done for an activation now. To wait for, not to be cancelled."""
        return self._work.get(activation_id)

    def __len__(self) -> int:
        return len(self._work)

    def adopt(self, activation_id: str, work: Awaitable[T], on_end: Callable[[], None] = _nothing) -> asyncio.Future[T]:
        """Keep `work` until it ends. `on_end` is called once then, whatever the end, before any waiter goes on."""
        future = asyncio.ensure_future(work)
        self._work[activation_id] = future

        def ended(future: asyncio.Future[T]) -> None:
            on_end()
            if self._work.get(activation_id) is future:
                del self._work[activation_id]
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, NotNow):  # of that the one who waits is told
                logger.error("activation %s has no end: %s", activation_id, error, exc_info=error)

        future.add_done_callback(ended)
        return future

    async def finish(self, activation_id: str, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of `work`, which goes on to its end even if the one who waits is cancelled."""
        return await asyncio.shield(self.adopt(activation_id, work))

    async def drain(self, deadline_s: float | None = None) -> None:
        """Wait for all that is in flight and for what that starts, at most `deadline_s`.

        To be called once before the bus stops, with a deadline, and once after it, without: what the bus interrupted
        still has records to write.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self._work:
                    await asyncio.wait(tuple(self._work.values()))

    async def outcome_within(self, future: asyncio.Future[T], timeout_ms: int) -> T | None:
        """The result of `future`, or None when it takes longer. Neither that nor cancellation touches the future.

        `asyncio.wait` would do, at four times the cost.
        """
        waiter: asyncio.Future[None] = future.get_loop().create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        deadline = self._deadlines.begin(timeout_ms / 1000, wake)
        future.add_done_callback(wake)
        try:
            await waiter
        finally:
            deadline.cancel()
            future.remove_done_callback(wake)
        return future.result() if future.done() else None
