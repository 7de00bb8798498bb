"""What one would use instead, on the same machine in the same run."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any


async def plain_function(scope: Any, receive: Any, send: Any) -> None:
    """The benchmark's function as a bare ASGI application: no isolation, no authentication, no record."""
    message = await receive()
    arguments = json.loads(message["body"] or b"{}")
    body = json.dumps({"n": arguments.get("n")}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def uvicorn_function() -> Iterator[int]:
    """The plain function served by uvicorn; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "bench.rivals:plain_function", "--port", str(port), "--lifespan", "off"]
    with subprocess.Popen([*command, "--log-level", "error", "--no-access-log"]) as process:
        try:
            _await_port(port)
            yield port
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


def process_per_request_ms() -> float:
    """Median time of a fresh interpreter that runs the function once, as a CGI server would start."""
    code = "import json, sys; print(json.dumps({'n': json.load(sys.stdin)['n']}))"
    return _median_ms([sys.executable, "-c", code], 15, b'{"n": 1}')


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
