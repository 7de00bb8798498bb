"""Keeps one zygote alive and asks it for sandboxes."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import sabayon
from sabayon.runtimes.manifest import Interpreter, base_python
from sabayon.sandbox.base import DependenciesUnusable, SandboxUnavailable
from sabayon.sandbox.native.handles import Start, Started, ended, open_ends, send_signal
from sabayon.sandbox.native.router import Prepared
from sabayon.sandbox.native.zygote import PING

logger = logging.getLogger("sabayon.sandbox")

START_S: Final = 20.0
ANSWER_S: Final = 20.0
"""How long a sandbox may take to start, and a zygote to be silent."""

_END_S: Final = 5.0
_STARTS_AT_ONCE: Final = 32
"""More would fill the control socket, and gain nothing: the zygote forks one after the other."""

_PACKET_BYTES: Final = 65536
_CODE: Final = """
import sys
for name in sys.argv[3:]:
    __import__(name)
sys.path.insert(0, sys.argv[1])
from sabayon.sandbox.native.compact import fill_holes
fill_holes()
from sabayon.sandbox.native.zygote import main
main(int(sys.argv[2]))
"""
_IMPORTS: Final = (
    "contextlib", "ctypes", "fcntl", "gc", "importlib", "json", "pathlib", "resource", "signal", "socket", "struct"
)  # fmt: skip
"""What the zygote uses of the standard library, which is not to lie between what its forks use of it."""

_PONG: Final = 0
"""The number of no request, but of the answer to `PING`."""


class ZygoteKeeper:
    """One zygote, started again when it has died. user_namespace: a descriptor of the one to be in; -1 as root."""

    def __init__(
        self,
        interpreter: Interpreter,
        *,
        user_namespace: int = -1,
        resolv_conf: str = "",
        niceness: int = 0,
        environment: Mapping[str, str] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        answer_s: float = ANSWER_S,
        start_s: float = START_S,
    ) -> None:
        self._start_s = start_s
        self._interpreter = interpreter
        self._answer_s = answer_s
        self._namespaces = [user_namespace] if user_namespace >= 0 else []
        self._recipe = {
            "argv": list(interpreter.argv),
            "binds": list(interpreter.binds),
            "module": interpreter.module,
            "user_namespace": user_namespace,
            "resolv_conf": resolv_conf,
            "niceness": niceness,
            "environment": dict(environment or {}),
            "dependencies": dict(dependencies or {}),
        }
        self._spawning: asyncio.Task[None] | None = None
        self._control: socket.socket | None = None
        self._pidfd = -1
        self._ending: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[list[int]]] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._is_closed = False

    async def start(self) -> None:
        """Start the zygote unless it runs. Raises SandboxUnavailable with its reason.

        Who gives up waiting leaves the start to the next who asks, and its end to `aclose`.
        """
        async with self._starting:
            if self._is_closed:
                raise SandboxUnavailable("the driver is closed")
            if self._control is None:
                if self._spawning is None:
                    self._spawning = asyncio.create_task(self._spawned(), name=f"zygote of {self._interpreter.kind}")
                    # What it failed with is nobody's when nobody waits for it any more.
                    self._spawning.add_done_callback(lambda task: task.cancelled() or task.exception())
                await asyncio.shield(self._spawning)

    async def _spawned(self) -> None:
        """Raises SandboxUnavailable, DependenciesUnusable."""
        try:
            control, self._pidfd = await asyncio.to_thread(self._spawn)
            self._control = control
            asyncio.get_running_loop().add_reader(control, self._receive)
        finally:
            self._spawning = None

    def _spawn(self) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package_parent = str(Path(sabayon.__file__).parents[1])
        command = [base_python(), "-I", "-S", "-B", "-c", _CODE]
        ours.send(json.dumps(self._recipe).encode())
        with theirs:
            # This first process ends at once, leaving pid 1 of the new pid namespace behind.
            subprocess.run(
                [*command, package_parent, str(theirs.fileno()), *_IMPORTS, *self._interpreter.imports],
                pass_fds=[theirs.fileno(), *self._namespaces],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is for the platform
            )
        ours.settimeout(self._start_s)
        try:
            pidfd = _greeted(ours)
        except DependenciesUnusable:
            ours.close()
            raise
        except TimeoutError as error:
            ours.close()
            raise self._late() from error
        except (OSError, SandboxUnavailable) as error:
            ours.close()
            raise SandboxUnavailable(f"the zygote of {self._interpreter.kind} cannot start: {error}") from error
        ours.setblocking(False)
        return ours, pidfd

    def _late(self) -> SandboxUnavailable | DependenciesUnusable:
        late = f"it takes over {self._start_s:g} s"
        if self._recipe["dependencies"]:
            return DependenciesUnusable(f"The dependency set cannot be used: {late} to import it.")
        return SandboxUnavailable(f"the zygote of {self._interpreter.kind} cannot start: {late}")

    async def begin(self, start: Start, joins: list[int], network: Prepared) -> Started:
        """A new sandbox; `joins`, its cgroups, and `network` are closed here, but for the listener in `network`.

        Raises SandboxUnavailable.

        Without an answer the ends kept here are closed, with which a launcher that runs nevertheless ends.
        """
        with ExitStack() as kept, ExitStack() as given:
            for descriptor in joins:
                given.callback(os.close, descriptor)
            given.callback(os.close, network.namespace)
            kept.callback(network.listener.close)
            try:
                started, far_ends = open_ends(kept, given)
                started.listener = network.listener
                async with self._slots:
                    answer = await self._ask(start, [*far_ends, network.namespace, *joins])
                    given.close()
                    handles = await self._answered(answer, started.frames)
                    if not handles:  # there was no room for it in this process
                        raise SandboxUnavailable("too many open files")
                    started.pidfd = handles[0]
            except (OSError, TimeoutError) as error:
                raise SandboxUnavailable(f"cannot start a sandbox: {str(error) or 'no answer'}") from error
            kept.pop_all()
        return started

    async def _answered(self, answer: asyncio.Future[list[int]], frames: socket.socket) -> list[int]:
        """The handles in an answer. Raises SandboxUnavailable, also when nobody is left to answer, and TimeoutError."""
        loop = asyncio.get_running_loop()

        def on_readable() -> None:
            loop.remove_reader(frames)
            if frames.recv(1, socket.MSG_PEEK):
                return
            while self._receive():
                continue
            if not answer.done():
                answer.set_exception(SandboxUnavailable("it was killed before it ran"))

        control = self._control
        loop.add_reader(frames, on_readable)
        try:
            return await asyncio.wait_for(answer, self._answer_s)
        except TimeoutError:
            if control is self._control and await self._is_stuck() and control is self._control:
                self._lose("the zygote does not answer")
            raise
        finally:
            loop.remove_reader(frames)

    async def _is_stuck(self) -> bool:
        """Whether the zygote itself is silent when it is asked whether it lives.

        One start that takes long is no reason to end the zygote, and with it all sandboxes that came out of it.
        """
        try:
            assert self._control is not None
            self._control.send(PING)
            pong = self._waiting.setdefault(_PONG, asyncio.get_running_loop().create_future())
            await asyncio.wait_for(asyncio.shield(pong), self._answer_s)
        except (TimeoutError, BlockingIOError):
            self._waiting.pop(_PONG, None)
            return True
        except (SandboxUnavailable, ConnectionError):
            return False  # it has died, which is known by now or with the next request
        return False

    async def _ask(self, start: Start, descriptors: list[int]) -> asyncio.Future[list[int]]:
        """Send a request; the future is its answer. A zygote that has died unnoticed is replaced."""
        await self.start()
        try:
            return self._send(start._asdict(), descriptors)
        except ConnectionError:
            self._lose("the zygote has died")
            await self.start()
            return self._send(start._asdict(), descriptors)

    def _send(self, request: Mapping[str, Any], descriptors: list[int]) -> asyncio.Future[list[int]]:
        assert self._control is not None
        number = next(self._numbers)
        packet = json.dumps({"id": number, **request}).encode()
        waiter: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        socket.send_fds(self._control, [packet], descriptors)
        self._waiting[number] = waiter
        return waiter

    def _receive(self) -> bool:
        """Take one packet of the zygote's; whether there was one."""
        if self._control is None:
            return False
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 4)
        except BlockingIOError:
            return False
        except OSError:
            packet, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not packet:
            self._lose("the zygote has died")
            return False
        answer = json.loads(packet)
        waiter = self._waiting.pop(answer["id"], None)
        if waiter is None or waiter.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif "error" in answer:
            waiter.set_exception(SandboxUnavailable(answer["error"]))
        else:
            waiter.set_result(descriptors)
        return True

    def _lose(self, reason: str) -> None:
        logger.error("%s: %s; the next sandbox starts another", self._interpreter.kind, reason)
        self._close_control()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_exception(SandboxUnavailable(reason))

    def _close_control(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
            pidfd, self._pidfd = self._pidfd, -1
            send_signal(pidfd, signal.SIGKILL)
            self._ending = asyncio.create_task(ended(pidfd), name=f"end of the zygote of {self._interpreter.kind}")

    async def aclose(self) -> None:
        """End the zygote, and with it all its sandboxes."""
        async with self._starting:
            self._is_closed = True
            if self._spawning is not None:
                await asyncio.wait((self._spawning,))
            self._close_control()
        if self._ending is not None:
            try:
                await asyncio.wait_for(self._ending, _END_S)
            except TimeoutError:
                logger.warning("%s: the zygote was killed and does not end", self._interpreter.kind)


def _greeted(control: socket.socket) -> int:
    """Read a zygote's greeting; its pidfd. Raises OSError, SandboxUnavailable, DependenciesUnusable.

    What does not greet well is ended.
    """
    pidfd, is_ready = -1, False
    try:
        while pidfd < 0 or not is_ready:
            packet, descriptors, _, _ = socket.recv_fds(control, _PACKET_BYTES, 1)
            if descriptors:
                pidfd = descriptors[0]
                os.set_inheritable(pidfd, False)
            greeting = json.loads(packet) if packet else {"error": "it ended before it was ready"}
            is_ready = _is_ready(greeting) or is_ready
    except BaseException:
        if pidfd >= 0:
            send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        raise
    return pidfd


def _is_ready(greeting: dict[str, Any]) -> bool:
    """Raises SandboxUnavailable or DependenciesUnusable with the zygote's reason."""
    if greeting.get("is_of_set"):
        raise DependenciesUnusable(f"The dependency set cannot be used: {greeting['error']}.")
    if "error" in greeting:
        raise SandboxUnavailable(greeting["error"])
    return "ready" in greeting
