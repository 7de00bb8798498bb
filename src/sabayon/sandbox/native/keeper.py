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
from pathlib import Path
from typing import Any, Final, NamedTuple

import sabayon
from sabayon.runtimes.manifest import Interpreter, base_python
from sabayon.sandbox.base import SandboxUnavailable

logger = logging.getLogger("sabayon.sandbox")

_START_S: Final = 20.0
_ANSWER_S: Final = 20.0
_PACKET_BYTES: Final = 65536
_CODE: Final = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from sabayon.sandbox.native.zygote import main; "
    "main(int(sys.argv[2]), json.loads(sys.argv[3]))"
)


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

    def kill(self) -> None:
        """SIGKILL to its pid 1, and so to everything inside."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def ended(self) -> None:
        """Until its pid 1 is gone; the pidfd is closed then."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.pidfd, _settle, ended)
        await ended
        loop.remove_reader(self.pidfd)
        os.close(self.pidfd)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class ZygoteKeeper:
    """One zygote, started again when it has died."""

    def __init__(self, interpreter: Interpreter, *, is_root: bool) -> None:
        self._interpreter = interpreter
        self._recipe = {
            "argv": list(interpreter.argv),
            "binds": list(interpreter.binds),
            "module": interpreter.module,
            "preload": [interpreter.module] if interpreter.module else [],
            "is_root": is_root,
        }
        self._control: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[tuple[int, socket.socket]]] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the zygote unless it runs. Raises SandboxUnavailable with its reason."""
        async with self._starting:
            if self._control is None:
                self._control = await asyncio.to_thread(self._spawn)
                asyncio.get_running_loop().add_reader(self._control, self._on_packet)

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package_parent = str(Path(sabayon.__file__).parents[1])
        with theirs:
            command = [base_python(), "-I", "-S", "-B", "-c", _CODE, package_parent, str(theirs.fileno())]
            # Its first process ends at once, leaving pid 1 of the new pid namespace behind.
            subprocess.run(
                [*command, json.dumps(self._recipe)],
                pass_fds=[theirs.fileno()],
                env={"PYTHONHASHSEED": "random"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                check=False,
            )
        ours.settimeout(_START_S)
        try:
            packet = ours.recv(_PACKET_BYTES)
        except TimeoutError:
            packet = b""
        greeting: dict[str, Any] = json.loads(packet) if packet else {"error": "it ended before it was ready"}
        if "error" in greeting:
            ours.close()
            raise SandboxUnavailable(f"the zygote of {self._interpreter.kind} cannot start: {greeting['error']}")
        ours.setblocking(False)
        return ours

    async def begin(self, start: Start, joins: list[int]) -> Started:
        """A new sandbox; `joins` (cgroups to join) are closed here. Raises SandboxUnavailable."""
        frames, far_frames = socket.socketpair()
        stdout, far_stdout = os.pipe2(os.O_CLOEXEC)
        stderr, far_stderr = os.pipe2(os.O_CLOEXEC)
        started = Started(frames, stdout, stderr)
        try:
            await self.start()
            answer = self._ask(start, [far_frames.fileno(), far_stdout, far_stderr, *joins])
            started.pidfd, started.listener = await asyncio.wait_for(answer, _ANSWER_S)
        except (OSError, TimeoutError, SandboxUnavailable) as error:
            frames.close()
            for descriptor in (stdout, stderr):
                os.close(descriptor)
            raise SandboxUnavailable(f"cannot start a sandbox: {error}") from error
        finally:
            far_frames.close()
            for descriptor in (far_stdout, far_stderr, *joins):
                os.close(descriptor)
        frames.setblocking(False)
        return started

    def _ask(self, start: Start, descriptors: list[int]) -> asyncio.Future[tuple[int, socket.socket]]:
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
        if not packet:
            self._lose("the zygote has died")
            return
        answer = json.loads(packet)
        waiter = self._waiting.pop(answer["id"], None)
        if "error" in answer:
            if waiter is not None and not waiter.done():
                waiter.set_exception(SandboxUnavailable(answer["error"]))
        elif waiter is None or waiter.done():
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            os.set_inheritable(descriptors[0], False)
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

    async def aclose(self) -> None:
        """End the zygote, and with it all its sandboxes."""
        self._close_control()
