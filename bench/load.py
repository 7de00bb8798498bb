"""A load generator on raw sockets, light enough to share two cores with what it measures.

Run as `python -m bench.load HOST PORT CLIENTS REQUESTS` with the request's bytes on standard input; prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import NamedTuple

import uvloop


class Load(NamedTuple):
    """Requests a second, latencies in ms, and how many answers were not 200."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures: int


def measure(host: str, port: int, request: bytes, *, clients: int, requests: int) -> Load:
    """Send `request` again and again from `clients` connections, in a process of its own."""
    command = [sys.executable, "-m", "bench.load", host, str(port), str(clients), str(requests)]
    result = subprocess.run(command, input=request, capture_output=True, check=True, timeout=300)
    return Load(**json.loads(result.stdout))


class _Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last one is complete."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._run.left <= 0:
            self._transport.close()
            return
        self._run.left -= 1
        self._started = time.perf_counter()
        self._transport.write(self._run.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        mark = head.lower().find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(body) < length:
            return
        self._run.latencies.append(time.perf_counter() - self._started)
        self._run.failures += head[9:12] != b"200"
        self._buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.open -= 1
        if not self._run.open:
            self._run.done.set()


class _Run:
    def __init__(self, request: bytes, clients: int, requests: int) -> None:
        self.request = request
        self.left = requests
        self.open = clients
        self.latencies: list[float] = []
        self.failures = 0
        self.done = asyncio.Event()


async def _generate(host: str, port: int, clients: int, requests: int, request: bytes) -> Load:
    run = _Run(request, clients, requests)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(clients):
        await loop.create_connection(lambda: _Client(run), host, port)
    await run.done.wait()
    elapsed = time.perf_counter() - started
    ordered = sorted(run.latencies)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return Load(round(len(ordered) / elapsed, 1), at(0.5), at(0.95), at(0.99), run.failures)


if __name__ == "__main__":
    _host, _port, _clients, _requests = sys.argv[1:5]
    _load = uvloop.run(_generate(_host, int(_port), int(_clients), int(_requests), sys.stdin.buffer.read()))
    print(json.dumps(_load._asdict()))
