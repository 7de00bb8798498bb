"""One sandbox, platform side: its frames and output, its group, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from sabayon.deadlines import Deadlines
from sabayon.sandbox.base import Code, Logs, Reply, SandboxDied, SandboxTimeout, SandboxUnavailable
from sabayon.sandbox.native.cgroups import Group
from sabayon.sandbox.native.code import CodeCache, Lease
from sabayon.sandbox.native.handles import Started
from sabayon.sandbox.native.link import INIT, INIT_SHARED, PLACED, PREPARE, RUN, SHARED, Link
from sabayon.sandbox.native.output import Output

logger = logging.getLogger("sabayon.sandbox")

_BOOT_S: Final = 30.0
_BOOT_LOG_BYTES: Final = 4096
_END_S: Final = 10.0
_REMOVAL_TRIES: Final = 200
_REMOVAL_PAUSE_S: Final = 0.005


class NativeSandbox:
    """See the port."""

    def __init__(
        self,
        name: str,
        *,
        uid: int,
        started: Started,
        group: Group | None,
        result_limit_bytes: int,
        deadlines: Deadlines,
        stop_api: Callable[[], None],
        on_destroyed: Callable[[], None],
        kind: str,
        codes: CodeCache | None,
    ) -> None:
        self._name = name
        self.uid = uid
        self._started = started
        self._group = group
        self._stop_api = stop_api
        self._on_destroyed = on_destroyed
        self._kind = kind
        self._codes = codes
        self._lease: Lease | None = None
        self._output = Output(started.stdout, started.stderr)
        self._link = Link(result_limit_bytes, deadlines, self._died)
        self._destroying: asyncio.Task[None] | None = None
        self._is_suspended = False
        self._is_shared = False

    def __repr__(self) -> str:
        return f"<NativeSandbox {self._name}>"

    @property
    def id(self) -> str:
        return self._name

    async def boot(self) -> None:
        """Until the launcher can take code. Raises SandboxUnavailable with what it printed."""
        self._output.limit(_BOOT_LOG_BYTES, 0)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._link, sock=self._started.frames)
        try:
            await asyncio.wait_for(self._link.ready, _BOOT_S)
        except (SandboxDied, TimeoutError) as error:
            printed = " ".join(line.text for line in self._output.take(0).lines)
            raise SandboxUnavailable(
                f"the launcher did not start: {str(error) or 'no answer'} {printed}".rstrip()
            ) from error

    @property
    def is_alive(self) -> bool:
        return not self._link.is_lost

    def memory_bytes(self) -> int | None:
        return None if self._group is None else self._group.memory_bytes()

    @property
    def is_shared(self) -> bool:
        return self._is_shared

    def pidfd(self) -> int:
        """A descriptor of its first process, for the caller to close. Raises SandboxDied."""
        if self._destroying is not None:
            raise SandboxDied("the sandbox is being destroyed")
        return os.dup(self._started.pidfd)

    async def prepare(self, body: bytes, timeout_s: float) -> Reply:
        """Have the launcher unpack an archive for other sandboxes. Raises SandboxDied, SandboxTimeout."""
        return await self._link.ask(PREPARE, body, timeout_s, 0)

    async def place(self, code: Code) -> bool:
        self._lease = await self._codes.lease(self._kind, code) if self._codes else None
        if self._lease is None or not await self._lease.show(self):
            return False
        try:
            await self._link.ask(PLACED, b"{}", _BOOT_S, 0)
        except SandboxTimeout as error:
            raise SandboxDied("it did not see that its code is there") from error
        return True

    async def init(self, body: bytes, timeout_s: float, concurrency: int = 1) -> Reply:
        if concurrency == 1:
            return await self._link.ask(INIT, body, timeout_s, 0)
        reply = await self._link.ask(INIT_SHARED, body, timeout_s, 0)
        if reply.status == SHARED:
            self._is_shared = True
            self._output.share()
            return reply._replace(status=200)
        return reply

    async def run(self, body: bytes, timeout_s: float, number: int = 0) -> Reply:
        return await self._link.ask(RUN, body, timeout_s, number)

    def limit_logs(self, limit_bytes: int, number: int = 0) -> None:
        self._output.limit(limit_bytes, number)

    def take_logs(self, number: int = 0, *, goes_on: bool = False) -> Logs:
        return self._output.take(number, goes_on=goes_on)

    async def suspend(self) -> None:
        self._freeze(is_frozen=True)

    async def resume(self) -> None:
        self._freeze(is_frozen=False)

    def _freeze(self, *, is_frozen: bool) -> None:
        """With a cgroup everything inside; without one pid 1, the launcher."""
        if self._is_suspended is is_frozen or self._destroying is not None:
            return
        self._is_suspended = is_frozen
        if self._group is None:
            self._started.send_signal(signal.SIGSTOP if is_frozen else signal.SIGCONT)
            return
        try:
            self._group.freeze(is_frozen=is_frozen)
        except OSError as error:
            raise SandboxDied(f"the sandbox cannot be {'suspended' if is_frozen else 'resumed'}: {error}") from error

    def _died(self, reason: str) -> SandboxDied:
        return SandboxDied(reason, is_out_of_memory=self._group is not None and self._group.was_out_of_memory())

    async def destroy(self, reason: str) -> None:
        with contextlib.suppress(SandboxDied):
            self._freeze(is_frozen=False)  # a frozen process does not die
        if self._destroying is None:
            self._destroying = asyncio.create_task(self._destroy(reason), name=f"destroy {self._name}")
        await asyncio.shield(self._destroying)

    async def _destroy(self, reason: str) -> None:
        self._started.send_signal(signal.SIGKILL)
        self._link.close(SandboxDied(reason))
        self._output.close()
        self._stop_api()
        try:
            await asyncio.wait_for(self._started.ended(), _END_S)
        except TimeoutError:
            logger.error("%s was killed and does not end", self._name)
        if self._group is not None:
            await remove(self._group)
        if self._lease is not None:
            self._lease.give_back()
        self._on_destroyed()


async def remove(group: Group) -> None:
    """Remove a group as soon as what was in it has ended. What stays is removed with the driver."""
    for _ in range(_REMOVAL_TRIES):
        if group.try_remove():
            return
        await asyncio.sleep(_REMOVAL_PAUSE_S)
    logger.warning("a cgroup cannot be removed yet: %r", group)
