"""Network namespaces for sandboxes, made before they are asked for: off the path of a cold start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple, Unpack

from sabayon.sandbox.base import Egress, SandboxUnavailable
from sabayon.sandbox.native import interfaces
from sabayon.sandbox.native.plumbing import Plumbing
from sabayon.sandbox.native.router import Prepared
from sabayon.sandbox.native.user_plumbing import UserPlumbing

T = TypeVar("T")
Args = TypeVarTuple("Args")

logger = logging.getLogger("sabayon.sandbox")

KEPT_READY: Final = 16
_LEAST: Final = 8
"""Filled up again when there are fewer: many at once cost less than as many one by one."""

_LOOK_S: Final = 5.0
"""How often it is seen to that the rules are still there."""


def make_plumbing(level: Egress, *, api_port: int = 0) -> Plumbing | UserPlumbing:
    """The one for whom this process runs as."""
    return UserPlumbing(level, api_port=api_port) if os.geteuid() else Plumbing(level, api_port=api_port)


@contextlib.contextmanager
def started_plumbing(level: Egress) -> Iterator[Plumbing | UserPlumbing]:
    """To try what there is, without a loop. Raises SandboxUnavailable."""
    plumbing = make_plumbing(level)
    try:
        plumbing.start()
        yield plumbing
    finally:
        plumbing.close()


class Ways:
    """Namespaces in which the platform listens at `api_port`, with a way out or, where `level` is none, without.

    level: the one that is kept ready; those of less are made when asked for.
    """

    def __init__(self, level: Egress, *, api_port: int) -> None:
        self._level = level
        self._plumbing = make_plumbing(level, api_port=api_port)
        self._thread = ThreadPoolExecutor(1, "egress")
        self._ready: dict[Egress, deque[Prepared]] = {egress: deque() for egress in Egress}
        self._filling: dict[Egress, asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def level(self) -> Egress:
        """The most that can be had."""
        return self._level

    @property
    def resolv_conf(self) -> str:
        """What sandboxes need to find names."""
        return self._plumbing.resolv_conf

    @property
    def user_namespace(self) -> int:
        """A descriptor of the one that all zygotes are in; -1 as root, who needs none."""
        return self._plumbing.user_namespace

    async def start(self) -> None:
        """Make the way out and try it. Raises SandboxUnavailable with what is missing; nothing is left then."""
        try:
            await self._call(self._plumbing.start)
            await self._fill(self._level, 1)
        except BaseException:
            await self.aclose()
            raise
        if self._plumbing.obstacles:
            tables = ", ".join(self._plumbing.obstacles)
            logger.warning(
                "actions may not reach the internet: the firewall of this host (%s) forwards nothing", tables
            )
        self._refill(self._level)
        self._keeper = asyncio.create_task(self._keep(), name="keep the way out")

    async def _keep(self) -> None:
        """A firewall that is loaded anew often takes all rules along, those of others too; a translator may die.

        The addresses of the host are looked at as soon as they change.
        """
        with interfaces.address_changes() as changes:
            while True:
                await _readable(changes, _LOOK_S)
                await self._mend()

    async def _mend(self) -> None:
        try:
            if trouble := await self._call(self._plumbing.mend):
                logger.warning("the way out was broken: %s; it is whole again", trouble)
        except OSError as error:
            logger.error("the way out cannot be looked after: %s", error)

    async def take(self, egress: Egress) -> Prepared:
        """A namespace that nobody has used; the caller closes it. Raises SandboxUnavailable."""
        ready = self._ready[egress]
        while not ready:
            await asyncio.shield(self._refill(egress))
        prepared = ready.popleft()
        if egress is self._level and len(ready) < _LEAST:
            self._refill(egress)
        return prepared

    def _refill(self, egress: Egress) -> asyncio.Task[None]:
        filling = self._filling.get(egress)
        if filling is None or filling.done():
            count = KEPT_READY - len(self._ready[egress]) if egress is self._level else 1
            filling = asyncio.create_task(self._fill(egress, count), name=f"fill the ways out: {egress}")
            filling.add_done_callback(_log_failure)
            self._filling[egress] = filling
        return filling

    async def _fill(self, egress: Egress, count: int) -> None:
        self._ready[egress].extend(await self._prepare(egress, count))

    async def _prepare(self, egress: Egress, count: int) -> list[Prepared]:
        if self._is_closed:
            raise SandboxUnavailable("the driver is closed")
        try:
            return await self._call(self._plumbing.prepare, egress, count)
        except OSError as error:
            raise SandboxUnavailable(f"cannot make a way out: {error}") from error

    async def _call(self, function: Callable[[Unpack[Args]], T], *args: *Args) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def aclose(self) -> None:
        """Remove all but what sandboxes still use. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        if self._filling:
            await asyncio.wait(self._filling.values())
        for ready in self._ready.values():
            while ready:
                ready.popleft().close()
        try:
            await self._call(self._plumbing.close)
        except OSError as error:
            logger.warning("the way out of sandboxes cannot be removed: %s", error)
        self._thread.shutdown(wait=False)


def _log_failure(filling: asyncio.Task[None]) -> None:
    if not filling.cancelled() and (error := filling.exception()):
        logger.error("%s", error)


async def _readable(source: socket.socket, timeout_s: float) -> None:
    """Until there is something to read, which is thrown away then, or the time is over."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(source, is_readable.set)
    try:
        async with asyncio.timeout(timeout_s):
            await is_readable.wait()
    except TimeoutError:
        return
    finally:
        loop.remove_reader(source)
    with contextlib.suppress(OSError):  # until there is no more; or more than there was room for
        while source.recv(65536):
            continue
