"""Keeps one zygote alive and asks it for sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import sabayon
from sabayon.runtimes.manifest import Interpreter, base_python
from sabayon.sandbox.base import SandboxUnavailable

logger = logging.getLogger("sabayon.sandbox")

_START_S: Final = 20.0
_ANSWER_S: Final = 20.0
_END_S: Final = 5.0
_STARTS_AT_ONCE: Final = 32
"""More would fill the control socket, and gain nothing: the zygote forks one after the other."""

_PACKET_BYTES: Final = 65536
_CODE: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from sabayon.sandbox.native.zygote import main
main(int(sys.argv[2]))
"""


class Start(NamedTuple):
    """What a zygote is told about a new sandbox. address_space_bytes: 0 for no bound of its own."""

    uid: int
    gid: int
    tmp_bytes: int
    address_space_bytes: int
    api_port: int
    environment: dict[str, str]


class Started:
    """The platform's handles of a sandbox: frame socket, read ends of its output, listener inside, pidfd."""

    def __init__(self, frames: socket.socket, stdout: int, stderr: int) -> None:
        self.frames = frames
        self.stdout = stdout
        self.stderr = stderr
        self.pidfd = -1
        self.listener: socket.socket

    def send_signal(self, number: int) -> None:
        """To its pid 1; SIGKILL takes everything inside along."""
        _send_signal(self.pidfd, number)

    async def ended(self) -> None:
        """Until its pid 1 is gone; the pidfd is closed then."""
        await _ended(self.pidfd)

    def close(self) -> None:
        """Let go of a sandbox that was not started: its launcher, if there is one, ends with the frame socket."""
        self.frames.close()
        os.close(self.stdout)
        os.close(self.stderr)


def _send_signal(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


async def _ended(pidfd: int) -> None:
    """Until the process is gone; closes the descriptor."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


class ZygoteKeeper:
    """One zygote, started again when it has died."""

    def __init__(self, interpreter: Interpreter, *, is_root: bool) -> None:
        self._interpreter = interpreter
        self._recipe = {
            "argv": list(interpreter.argv),
            "binds": list(interpreter.binds),
            "module": interpreter.module,
            "is_root": is_root,
        }
        self._control: socket.socket | None = None
        self._pidfd = -1
        self._ending: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[tuple[int, socket.socket]]] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._is_closed = False

    async def start(self) -> None:
        """Start the zygote unless it runs. Raises SandboxUnavailable with its reason."""
        async with self._starting:
            if self._is_closed:
                raise SandboxUnavailable("the driver is closed")
            if self._control is None:
                control, self._pidfd = await asyncio.to_thread(self._spawn)
                self._control = control
                asyncio.get_running_loop().add_reader(control, self._on_packet)

    def _spawn(self) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package_parent = str(Path(sabayon.__file__).parents[1])
        ours.send(json.dumps(self._recipe).encode())
        with theirs:
            # This first process ends at once, leaving pid 1 of the new pid namespace behind.
            subprocess.run(
                [base_python(), "-I", "-S", "-B", "-c", _CODE, package_parent, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                check=False,
            )
        ours.settimeout(_START_S)
        try:
            pidfd = _greeted(ours)
        except (OSError, SandboxUnavailable) as error:
            ours.close()
            raise SandboxUnavailable(f"the zygote of {self._interpreter.kind} cannot start: {error}") from error
        ours.setblocking(False)
        return ours, pidfd

    async def begin(self, start: Start, joins: list[int]) -> Started:
        """A new sandbox; `joins` (cgroups to join) are closed here. Raises SandboxUnavailable."""
        frames, far_frames = socket.socketpair()
        stdout, far_stdout = os.pipe2(os.O_CLOEXEC)
        stderr, far_stderr = os.pipe2(os.O_CLOEXEC)
        started = Started(frames, stdout, stderr)
        try:
            async with self._slots:
                answer = await self._ask(start, [far_frames.fileno(), far_stdout, far_stderr, *joins])
                started.pidfd, started.listener = await asyncio.wait_for(answer, _ANSWER_S)
        except (OSError, TimeoutError) as error:
            started.close()
            raise SandboxUnavailable(f"cannot start a sandbox: {str(error) or 'no answer'}") from error
        except BaseException:
            started.close()
            raise
        finally:
            far_frames.close()
            for descriptor in (far_stdout, far_stderr, *joins):
                os.close(descriptor)
        frames.setblocking(False)
        return started

    async def _ask(self, start: Start, descriptors: list[int]) -> asyncio.Future[tuple[int, socket.socket]]:
        """Send a request; the future is its answer. A zygote that has died unnoticed is replaced."""
        await self.start()
        try:
            return self._send(start, descriptors)
        except ConnectionError:
            self._lose("the zygote has died")
            await self.start()
            return self._send(start, descriptors)

    def _send(self, start: Start, descriptors: list[int]) -> asyncio.Future[tuple[int, socket.socket]]:
        assert self._control is not None
        number = next(self._numbers)
        packet = json.dumps({"id": number, **start._asdict()}).encode()
        waiter: asyncio.Future[tuple[int, socket.socket]] = asyncio.get_running_loop().create_future()
        socket.send_fds(self._control, [packet], descriptors)
        self._waiting[number] = waiter
        return waiter

    def _on_packet(self) -> None:
        assert self._control is not None
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 4)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not packet:
            self._lose("the zygote has died")
            return
        answer = json.loads(packet)
        waiter = self._waiting.pop(answer["id"], None)
        if waiter is None or waiter.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif "error" in answer:
            waiter.set_exception(SandboxUnavailable(answer["error"]))
        else:
            waiter.set_result((descriptors[0], socket.socket(fileno=descriptors[1])))

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
            _send_signal(pidfd, signal.SIGKILL)
            self._ending = asyncio.create_task(_ended(pidfd), name=f"end of the zygote of {self._interpreter.kind}")

    async def aclose(self) -> None:
        """End the zygote, and with it all its sandboxes."""
        async with self._starting:
            self._is_closed = True
            self._close_control()
        if self._ending is not None:
            try:
                await asyncio.wait_for(self._ending, _END_S)
            except TimeoutError:
                logger.warning("%s: the zygote was killed and does not end", self._interpreter.kind)


def _greeted(control: socket.socket) -> int:
    """Read a zygote's greeting; its pidfd. Raises SandboxUnavailable with its reason, OSError."""
    pidfd, is_ready = -1, False
    while pidfd < 0 or not is_ready:
        packet, descriptors, _, _ = socket.recv_fds(control, _PACKET_BYTES, 1)
        greeting: dict[str, Any] = json.loads(packet) if packet else {"error": "it ended before it was ready"}
        if descriptors:
            pidfd = descriptors[0]
            os.set_inheritable(pidfd, False)
        is_ready = is_ready or "ready" in greeting
        if "error" in greeting:
            if pidfd >= 0:
                os.close(pidfd)
            raise SandboxUnavailable(greeting["error"])
    return pidfd
