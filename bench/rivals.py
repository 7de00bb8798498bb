"""What one would use instead, on the same machine in the same run."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import Load, measure

FUNCTION = """import functions_framework

@functions_framework.http
def main(request):
    return {"n": request.get_json()["n"]}
"""
_BODY = b'{"n":1}'
_REQUEST = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + _BODY
GUNICORN_WORKERS = 2


def functions_framework(requests: int, runs: int) -> Iterator[Load]:
    """The benchmark's function naked: no isolation, no authentication, no record; gunicorn on both cores."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        Path(folder, "main.py").write_text(FUNCTION)
        application = f"functions_framework:create_app(target='main', source='{folder}/main.py')"
        command = [sys.executable, "-m", "gunicorn", "--workers", str(GUNICORN_WORKERS), "--threads", "16"]
        command += ["--worker-class", "gthread", "--keep-alive", "75", "--bind", f"127.0.0.1:{port}", application]
        with subprocess.Popen([*command, "--log-level", "error"]) as process:
            try:
                _await_port(port)
                measure(port, _REQUEST, clients=32, requests=1000)
                for _ in range(runs):
                    yield measure(port, _REQUEST, clients=32, requests=requests)
            finally:
                process.terminate()


def _await_port(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"bench: nothing listens on port {port}")


def process_per_request_ms(libraries: str = "") -> float:
    """Median time of a fresh interpreter that runs the function once, as a CGI server would start."""
    code = f"{libraries}import json, sys; print(json.dumps({{'n': json.load(sys.stdin)['n']}}))"
    return _median_ms([sys.executable, "-c", code], 15, b'{"n": 1}')


def node_ms() -> float:
    """Median time of a bare Node.js process."""
    return _median_ms(["node", "-e", "0"], 15, b"")


def docker_run_ms() -> float | None:
    """Median time of `docker run` of an interpreter, or None where there is no Docker with that image."""
    if shutil.which("docker") is None:
        return None
    command = ["docker", "run", "--rm", "--network", "none", "python:3-slim", "python3", "-c", "print(1)"]
    try:
        return _median_ms(command, 5, b"")
    except (OSError, subprocess.SubprocessError):
        return None


def _median_ms(command: list[str], times: int, text: bytes) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(command, input=text, capture_output=True, check=True, timeout=60)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)
