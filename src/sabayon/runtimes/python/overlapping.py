"""Runs that overlap: one event loop, a task for each, answers as they come. Standard library only."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sabayon.runtimes.python.context import Run, divide_environment
from sabayon.runtimes.python.frames import HEAD, REPLY
from sabayon.runtimes.python.output import tell, write
from sabayon.runtimes.python.replies import EXITED, TOO_DEEP, Reply, failure, raised, returned, text_of

_CHUNK_BYTES: Final = 1 << 18

Function = Callable[[Any], Awaitable[Any]]


def can_overlap(function: Callable[..., Any]) -> bool:
    """Whether `function` gives way to others while it waits: whether it is `async def`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def serve(fd: int, function: Function) -> None:
    """Answer runs until the other end closes, or code of the action ends the loop."""
    divide_environment()
    try:
        asyncio.Runner().run(_Server(fd, function).serve())
    except (SystemExit, KeyboardInterrupt):  # raised by a task that the action has started
        tell(EXITED)


class _Server:
    def __init__(self, fd: int, function: Function) -> None:
        self._socket = socket.socket(fileno=fd)
        self._function = function
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._on_readable)
        await loop.create_future()

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            os._exit(0)  # nobody is left to answer
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            length, _, number = HEAD.unpack_from(self._buffer)
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]
            self._begin(number, body)

    def _begin(self, number: int, body: bytes) -> None:
        try:
            request = json.loads(body)
        except RecursionError:
            self._answer(number, failure(502, TOO_DEEP))
            return
        value = request.pop("value", None)
        run = Run(number, {f"__OW_{key.upper()}": text_of(item) for key, item in request.items()})
        context = contextvars.copy_context()
        context.run(Run.current.set, run)
        work = self._run(run, {} if value is None else value)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, run: Run, value: Any) -> None:
        try:
            reply = returned(await self._function(value), run.tell)
        except SystemExit:
            reply = failure(400, EXITED)
        except BaseException as error:  # whatever the function raises is its error, KeyboardInterrupt included
            reply = raised(error, run.tell)
        run.finish()
        self._answer(run.number, reply)

    def _answer(self, number: int, reply: Reply) -> None:
        """Blocks while the socket is full, which the platform never leaves for long."""
        status, body = reply
        write(self._socket.fileno(), REPLY.pack(len(body), status, number) + body)
