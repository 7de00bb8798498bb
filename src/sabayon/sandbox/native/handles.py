"""What goes into the start of a sandbox and what the platform holds of it afterwards: sockets, pipes, pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from contextlib import ExitStack
from typing import NamedTuple


class Start(NamedTuple):
    """What a zygote is told about a new sandbox.

    address_space_bytes, processes: 0 for no bound of its own.
    """

    uid: int
    gid: int
    tmp_bytes: int
    address_space_bytes: int
    processes: int


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
        send_signal(self.pidfd, number)

    async def ended(self) -> None:
        """Until its pid 1 is gone; the pidfd is closed then."""
        await ended(self.pidfd)


def open_ends(kept: ExitStack, given: ExitStack) -> tuple[Started, list[int]]:
    """The platform's ends of a new sandbox, and the ends for the sandbox. Raises OSError."""
    frames, far_frames = socket.socketpair()
    kept.callback(frames.close)
    given.callback(far_frames.close)
    frames.setblocking(False)
    outputs = []
    for _ in range(2):
        near, far = os.pipe2(os.O_CLOEXEC)
        kept.callback(os.close, near)
        given.callback(os.close, far)
        outputs.append((near, far))
    (stdout, far_stdout), (stderr, far_stderr) = outputs
    return Started(frames, stdout, stderr), [far_frames.fileno(), far_stdout, far_stderr]


def send_signal(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


async def ended(pidfd: int) -> None:
    """Until the process is gone; closes the descriptor."""
    loop = asyncio.get_running_loop()
    is_gone = asyncio.Event()
    loop.add_reader(pidfd, is_gone.set)
    try:
        await is_gone.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
