"""A PostgreSQL server of the tests' own, from Debian's package: a temporary directory, a free port, no fsync.

Root cannot run one, so it runs as Debian's user `postgres` then.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

BINARIES = Path("/usr/lib/postgresql")
USER = "sabayon"
START_S = 30.0


def binary(name: str) -> Path | None:
    """The newest of that name, None when there is none."""
    found = [path for path in BINARIES.glob(f"*/bin/{name}") if path.parts[-3].isdecimal()]
    if not found and (on_path := shutil.which(name)):
        return Path(on_path)
    return max(found, key=lambda path: int(path.parts[-3]), default=None)


class PostgresServer:
    """A server that can be stopped, killed and started again with the same data, on the same port."""

    def __init__(self, *options: str) -> None:
        """options: of the server, such as `max_connections=20`."""
        self._options = options
        self._owner = _owner()
        self.directory = Path(tempfile.mkdtemp(prefix="sabayon-postgres-", dir="/tmp"))
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.close()
            raise

    def _initialize(self) -> None:
        password = self.directory / "password"
        password.write_text(self.password)
        if self._owner:
            for path in (self.directory, password):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        self._run(
            "initdb", "--no-sync", "--username", USER, "--pwfile", str(password), "--encoding", "UTF8", "--locale", "C",
            "--auth", "scram-sha-256", "--pgdata", str(self.directory / "data"),
        )  # fmt: skip

    def _run(self, name: str, *args: str) -> None:
        done = subprocess.run([self._binary(name), *args], capture_output=True, text=True, timeout=60, **self._as_owner)
        assert done.returncode == 0, done.stderr

    def _binary(self, name: str) -> Path:
        path = binary(name)
        assert path is not None, f"{name} is missing"
        return path

    @property
    def _as_owner(self) -> dict[str, Any]:
        if self._owner is None:
            return {"cwd": self.directory}
        return {
            "cwd": self.directory, "user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": [],
        }  # fmt: skip

    def start(self) -> None:
        """Returns when it takes connections."""
        options = [
            "fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=100",
            "listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.directory}",
            *self._options,
        ]  # fmt: skip
        command = [self._binary("postgres"), "-D", str(self.directory / "data")]
        for option in options:
            command += ["-c", option]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_owner)
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        # The last line of its own file of state says so.
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process and self.process.pid) and lines[7].strip() == "ready"

    def url(self, database: str) -> str:
        """For the user of the tests, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.sql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def sql(self, statement: str, database: str) -> str:
        """What `psql` prints for it."""
        done = subprocess.run(
            [self._binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", statement],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self) -> None:
        """As an operator would: connections are ended, nothing is lost."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash would: all its processes at once, what is in their memory is lost."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        os.kill(self.process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self.process.wait(timeout=30)
        self.process = None

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)
            self.process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


def _owner() -> pwd.struct_passwd | None:
    """Whose the server is, None for this user."""
    if os.geteuid():
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
