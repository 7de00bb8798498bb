"""A platform that is told to stop before it is ready does so at once, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.running import BIN, environment_of, running
from tests.faults.leftovers import cgroups

STOP_S = 15
POINTS_S = (0.0, 0.1, 0.2, 0.35, 0.6)
"""Spread over a start, which takes about half a second once its data directory is locked."""


def stopped_while_starting(home: Path, number: signal.Signals, after_s: float) -> subprocess.CompletedProcess[str]:
    """`sabayon up`, with all its processes sent `number`, as by a terminal, a while after it began to start."""
    command = [BIN / "sabayon", "up", "--port", "0", "--data-dir", home / "data"]
    pipe = subprocess.PIPE
    lock = home / "data" / "lock"
    lock.unlink(missing_ok=True)
    with subprocess.Popen(
        command, env=environment_of(home), stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        while process.poll() is None and not (lock.exists() and lock.read_text()):
            time.sleep(0.005)
        time.sleep(after_s)
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=STOP_S)
    assert [path for path in cgroups() if f"sabayon-{process.pid}-" in path] == []
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_at_any_moment_of_the_start_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    for after_s in POINTS_S:
        result = stopped_while_starting(tmp_path, number, after_s)
        assert (result.returncode, "Traceback" in result.stderr) == (0, False), (after_s, result.stderr)
        assert after_s or result.stdout == "", "it was ready before it stopped"
    with running(tmp_path) as platform:
        assert platform.request("GET", "/namespaces").json == ["guest"]
