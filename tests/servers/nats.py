"""A NATS server of a test's own, from Debian's package: started, stopped, killed and held up as the test likes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 10.0
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


class NatsServer:
    """One server on a port that stays the same over restarts. config: lines of its configuration file."""

    def __init__(self, directory: Path, config: str = "") -> None:
        self._program = nats_program()
        self._log = directory / "nats.log"
        self._config = directory / "nats.conf"
        self.port = _free_port()
        self._config.write_text(f"listen: 127.0.0.1:{self.port}\n{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "the NATS server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """As if its machine lost power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def hold_up(self) -> None:
        """It is there and says nothing, until `let_go`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def let_go(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            return connection.recv(4) == b"INFO"
        return False


def has_nats() -> bool:
    return _installed() is not None


def _installed() -> str | None:
    return shutil.which("nats-server", path=_PATH)


def nats_program() -> str:
    """The path of the server; without it the test is skipped, or fails where tests must be complete."""
    program = _installed()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("there is no `nats-server`; scripts/setup dev installs it")
        pytest.skip("there is no `nats-server`")
    return program


@contextmanager
def nats_server(directory: Path, config: str = "") -> Iterator[NatsServer]:
    """A server that runs."""
    server = NatsServer(directory, config)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
