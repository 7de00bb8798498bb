"""Time limits by the thousand, nearly all of which are never reached: one timer of the loop for each length of time.

A timer of the event loop for every call would cost more than all else that waiting needs. Limits of one length end in
the order in which they began, so a queue for each length is enough, and only its first one needs a timer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

Action = Callable[[], None]


class Deadline:
    """One limit that runs. `cancel` it when it is no longer needed; harmless after its end."""

    __slots__ = ("_queue", "action", "ends")

    def __init__(self, queue: OrderedDict[Deadline, None], ends: float, action: Action) -> None:
        self._queue = queue
        self.ends = ends
        self.action = action

    def cancel(self) -> None:
        self._queue.pop(self, None)


class Deadlines:
    """The limits of one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._queues: dict[float, OrderedDict[Deadline, None]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def begin(self, length_s: float, action: Action) -> Deadline:
        """Call `action` after `length_s` seconds, unless the result is cancelled before."""
        queue = self._queues.get(length_s)
        if queue is None:
            queue = self._queues[length_s] = OrderedDict()
        deadline = Deadline(queue, self.loop.time() + length_s, action)
        queue[deadline] = None
        if length_s not in self._timers:
            self._timers[length_s] = self.loop.call_at(deadline.ends, self._expire, length_s)
        return deadline

    def _expire(self, length_s: float) -> None:
        """Act on those that have ended; wait for the next one, or not at all."""
        queue, now = self._queues[length_s], self.loop.time()
        while queue:
            first = next(iter(queue))
            if first.ends > now:
                self._timers[length_s] = self.loop.call_at(first.ends, self._expire, length_s)
                return
            del queue[first]
            try:
                first.action()
            except Exception as error:  # a defect of one must not take their limits from all others
                self.loop.call_exception_handler({"message": "the end of a time limit failed", "exception": error})
        del self._timers[length_s], self._queues[length_s]

    def within(self, length_s: float) -> Limit:
        """What happens under `with` may take `length_s` seconds. Raises TimeoutError when it takes longer."""
        return Limit(self, length_s)


class Limit:
    """What `asyncio.timeout` is, without a timer of its own."""

    __slots__ = ("_cancelling", "_deadline", "_deadlines", "_has_ended", "_length_s", "_task")

    def __init__(self, deadlines: Deadlines, length_s: float) -> None:
        self._deadlines = deadlines
        self._length_s = length_s
        self._has_ended = False

    def __enter__(self) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task(self._deadlines.loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._deadline = self._deadlines.begin(self._length_s, self._end)

    def _end(self) -> None:
        self._has_ended = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadline.cancel()
        if (
            self._has_ended
            and self._task.uncancel() <= self._cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error
