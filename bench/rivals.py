"""What one would use instead, on the same machine in the same run."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import docker
from bench.load import Load, measure
from bench.stage import BODY
from sabayon.assembly import NICENESS

NODEJS_FRAMEWORK = Path(__file__).parent / "nodejs" / "node_modules" / "@google-cloud" / "functions-framework"
CLIENTS = 32
TRIAL_REQUESTS = 2000

_PYTHON = """import functions_framework

@functions_framework.http
def main(request):
    return {"n": request.get_json()["n"]}
"""
_NODEJS = "exports.main = (request, response) => response.json({ n: request.body.n });\n"
_PYTHON_ALONE = "import json, sys; print(json.dumps({'n': json.load(sys.stdin)['n']}))"
_NODEJS_ALONE = "const args = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify({ n: args.n }))"
_REQUEST = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + BODY


class Tuning(NamedTuple):
    """How gunicorn serves."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} × {self.threads} threads"


TUNINGS = (Tuning(2, 16), Tuning(2, 4), Tuning(3, 8))
"""The best of which is compared with. Workers without threads close every connection after its first answer."""


class Naked(NamedTuple):
    """A function that is served without isolation, authentication and records. pids: of its server's processes."""

    port: int
    pids: list[int]

    def load(self, clients: int, requests: int) -> Load:
        return measure(self.port, _REQUEST, clients=clients, requests=requests)


def niceness() -> int:
    """At which the platform runs for this user; what it is compared with is given the same."""
    change = str(min(0, NICENESS - os.getpriority(os.PRIO_PROCESS, 0)))
    return int(subprocess.run(["nice", "-n", change, "nice"], capture_output=True, check=True).stdout)


def best_tuning() -> tuple[Tuning, dict[Tuning, float]]:
    """Of gunicorn at 32 clients, by a short trial of each; and how many requests a second each answered."""
    found = {}
    for tuning in TUNINGS:
        with python_framework(tuning) as naked:
            found[tuning] = naked.load(CLIENTS, TRIAL_REQUESTS).per_second
    return max(found, key=lambda tuning: found[tuning]), found


@contextmanager
def python_framework(tuning: Tuning) -> Iterator[Naked]:
    """functions-framework for Python under gunicorn, on both cores."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.py").write_text(_PYTHON)
        application = f"functions_framework:create_app(target='main', source='{folder}/main.py')"
        command = [sys.executable, "-m", "gunicorn", "--workers", str(tuning.workers), "--threads", str(tuning.threads)]
        command += ["--worker-class", "gthread", "--keep-alive", "75", "--log-level", "error", application]
        with _serving(lambda port: [*command, "--bind", f"127.0.0.1:{port}"], folder) as naked:
            yield naked


@contextmanager
def nodejs_framework() -> Iterator[Naked]:
    """functions-framework for Node.js, one process as it comes. Needs what `scripts/setup bench` installs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "index.js").write_text(_NODEJS)
        command = ["node", str(NODEJS_FRAMEWORK / "build" / "src" / "main.js"), f"--source={folder}", "--target=main"]
        with _serving(lambda port: [*command, f"--port={port}", "--signature-type=http"], folder) as naked:
            yield naked


def has_nodejs_framework() -> bool:
    return NODEJS_FRAMEWORK.is_dir()


@contextmanager
def _serving(command: Callable[[int], list[str]], folder: str) -> Iterator[Naked]:
    """A server on a free port until the end of the block, warm, at the niceness that the platform has."""
    nice = ["nice", "-n", str(niceness() - os.getpriority(os.PRIO_PROCESS, 0))]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen([*nice, *command(port)], cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            _await_port(port)
            naked = Naked(port, [process.pid, *_children(process.pid)])
            naked.load(CLIENTS, 1000)
            yield naked
        finally:
            process.terminate()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _await_port(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"bench: nothing listens on port {port}")


def docker_run(runs: int) -> docker.Times:
    """The same function by `docker run`, a container for each request."""
    return docker.measure(_PYTHON_ALONE, _NODEJS_ALONE, BODY, runs)


def process_per_request_ms(libraries: str = "") -> float:
    """Median time of a fresh interpreter that runs the function once, as a CGI server would start."""
    return _median_ms([sys.executable, "-c", libraries + _PYTHON_ALONE], 15, BODY)


def node_ms() -> float | None:
    """Median time of a bare Node.js process; None without one."""
    return _median_ms(["node", "-e", "0"], 15, b"") if shutil.which("node") else None


def _median_ms(command: list[str], times: int, text: bytes) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(command, input=text, capture_output=True, check=True, timeout=60)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)
