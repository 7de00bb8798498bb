"""`sabayon controller` and `sabayon invoker` as processes: they find each other, and leave in order."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import BIN, await_value, environment_of
from tests.servers.nats import nats_server


class Process:
    """One component. ready_line: what it printed when it was ready."""

    def __init__(self, home: Path, command: str, *flags: str) -> None:
        self._log = home / f"{command}.log"
        self.data_dir = home / command
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [BIN / "sabayon", command, "--data-dir", self.data_dir, *flags],
                env=environment_of(home),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.ready_line = self._process.stdout.readline()
        assert self.ready_line, self.log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self._process.send_signal(signal.SIGTERM)
        with self._process:
            return self._process.wait(30)

    def kill(self) -> None:
        with self._process:
            self._process.kill()


@contextmanager
def component(home: Path, command: str, *flags: str) -> Iterator[Process]:
    process = Process(home, command, *flags)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def kinds_at(api_host: str) -> list[str]:
    with urllib.request.urlopen(f"{api_host}/", timeout=10) as reply:
        return sorted(json.load(reply)["runtimes"])


def test_a_controller_learns_of_an_invoker_and_both_leave_in_order(tmp_path: Path, postgres_url: str) -> None:
    with (
        nats_server(tmp_path) as server,
        component(tmp_path, "controller", "--port", "0", "--bus", server.url, "--store", postgres_url) as controller,
    ):
        api_host = controller.ready_line.split(" ready at ")[1].split()[0]
        assert kinds_at(api_host) == []
        with component(tmp_path, "invoker", "--bus", server.url, "--name", "i1", "--store", postgres_url) as invoker:
            assert "invoker i1 is ready" in invoker.ready_line
            await_value(lambda: "invoker i1 is up" in controller.log)
            assert "python" in kinds_at(api_host)
            assert invoker.stop() == 0
            await_value(lambda: "invoker i1 is down: it has left" in controller.log)
        assert controller.stop() == 0
        for log in (controller.log, invoker.log):
            assert "Traceback" not in log
            assert "ERROR" not in log


@pytest.mark.parametrize("command", ["controller", "invoker"])
def test_what_is_missing_or_wrong_is_one_line(tmp_path: Path, command: str) -> None:
    def line_of(*flags: str) -> str:
        result = subprocess.run(
            [BIN / "sabayon", command, "--data-dir", tmp_path / "data", *flags],
            env=environment_of(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 1
        return result.stderr.strip().splitlines()[-1]

    assert line_of() == "sabayon: there is no bus; give its address with --bus nats://HOST:PORT"
    assert "the setting bus must be" in line_of("--bus", "localhost")
    assert "the setting installation must be" in line_of("--bus", "nats://127.0.0.1:1", "--installation", "a.b")
    assert line_of("--bus", "nats://127.0.0.1:1").startswith("sabayon: the processes of a cluster share a store;")
