"""A cluster on one machine: two controllers and two invokers as processes, a NATS and a PostgreSQL server."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.acceptance.running import BIN, Platform, await_value, environment_of
from tests.servers.nats import NatsServer, nats_server
from tests.servers.postgres import PostgresServer

CONTROLLERS: Final = ("c1", "c2")
INVOKERS: Final = ("i1", "i2")
POOL_MB: Final = 4096


class Member:
    """One process, started again and again with the same name and data directory."""

    def __init__(self, home: Path, command: str, *flags: str, environment: Mapping[str, str]) -> None:
        home.mkdir()
        self._home = home
        self._command = [BIN / "sabayon", command, "--data-dir", home / "data", *flags]
        self._environment = {**environment_of(home), **environment}
        self._log_began = 0
        self.platform: Platform

    @property
    def log(self) -> str:
        """What it has said since it was started."""
        return (self._home / "log").read_bytes()[self._log_began :].decode()

    def start(self) -> None:
        """Returns when it is ready."""
        with (self._home / "log").open("ab") as log:
            self._log_began = log.tell()
            process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert process.stdout is not None
        ready_line = process.stdout.readline()
        assert ready_line, self.log[-4000:]
        self.platform = Platform(self._home, process, ready_line)

    def signal(self, number: int) -> None:
        self.platform.process.send_signal(number)

    def kill(self) -> None:
        """As a crash would."""
        with self.platform.process as process:
            process.kill()

    def stop(self) -> None:
        """As an operator would: it finishes, hands back and leaves."""
        with self.platform.process as process:
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0


class Cluster:
    """All of it, running."""

    def __init__(
        self, home: Path, postgres: PostgresServer, nats: NatsServer, environment: Mapping[str, str], pool_mb: int
    ) -> None:
        self.postgres = postgres
        self.nats = nats
        shared = ("--bus", nats.url, "--store", postgres.create_database())
        self.controllers = {
            name: Member(home / name, "controller", "--port", "0", *shared, environment=environment)
            for name in CONTROLLERS
        }
        self._home, self._shared, self._environment = home, shared, environment
        self._pool_mb = pool_mb
        self.invokers: dict[str, Member] = {}

    def start(self) -> None:
        """Returns when actions can be run."""
        for controller in self.controllers.values():
            controller.start()
        api_host = self.controllers["c1"].platform.api_host
        for name in INVOKERS:
            flags = ("--name", name, "--api", api_host, "--pool-memory-mb", str(self._pool_mb), *self._shared)
            self.invokers[name] = Member(self._home / name, "invoker", *flags, environment=self._environment)
            self.invokers[name].start()
        self.await_invokers()

    def await_invokers(self) -> None:
        """Until each controller gives work to each invoker."""
        for controller in self.controllers.values():
            for name in INVOKERS:
                await_value(lambda log=controller, name=name: _is_up(log.log, name))

    @property
    def api(self) -> Platform:
        """One controller, to ask."""
        return self.controllers["c2"].platform

    def close(self) -> None:
        for member in (*self.invokers.values(), *self.controllers.values()):
            with contextlib.suppress(ProcessLookupError, AttributeError):
                member.signal(signal.SIGCONT)
                member.kill()


def _is_up(log: str, invoker: str) -> bool:
    """Whether that is the last the controller said of it, since it was started."""
    lines = [line for line in log.splitlines() if f"invoker {invoker} is " in line]
    return bool(lines) and f"invoker {invoker} is up" in lines[-1]


@contextmanager
def cluster(
    home: Path, postgres: PostgresServer, environment: Mapping[str, str], pool_mb: int = POOL_MB
) -> Iterator[Cluster]:
    """Until the end of the block. pool_mb: of each invoker."""
    with nats_server(home) as nats:
        one = Cluster(home, postgres, nats, environment, pool_mb)
        try:
            one.start()
            yield one
        finally:
            one.close()
