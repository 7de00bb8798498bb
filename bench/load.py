"""A load generator on raw sockets, light enough to share two cores with what it measures.

Run as `python -m bench.load HOST PORT CLIENTS REQUESTS STATUS` with the requests to send in rotation on standard input,
each after four bytes of length; prints JSON. STATUS is the answer that counts.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from typing import NamedTuple

import uvloop


class Load(NamedTuple):
    """Expected answers a second, seconds in all, latencies of these answers in ms; other answers, and none, are
    failures."""

    per_second: float
    elapsed_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures: int


def measure(port: int, *rotation: bytes, clients: int, requests: int, expected: int = 200) -> Load:
    """Send the requests of `rotation` again and again from `clients` connections, in a process of its own.

    Raises SystemExit if not every request was sent and accounted for, or none was answered with `expected`.
    """
    arguments = ["127.0.0.1", *map(str, (port, clients, requests, expected))]
    text = b"".join(len(request).to_bytes(4, "big") + request for request in rotation)
    command = [sys.executable, "-m", "bench.load", *arguments]
    result = subprocess.run(command, input=text, capture_output=True, check=False, timeout=300)
    if result.returncode:
        raise SystemExit(f"bench: the load generator failed: {result.stderr.decode()[-2000:]}")
    return Load(**json.loads(result.stdout))


def answer_length(text: bytes) -> int | None:
    """How long an answer is in all that begins like this; None while its head is not complete."""
    head_end = text.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = text[:head_end].lower()
    mark = head.find(b"content-length:")
    return head_end + 4 + (int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0)


class _Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last one is complete."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._started = 0.0
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._run.left <= 0:
            self._transport.close()
            return
        self._run.left -= 1
        self._is_waiting = True
        self._started = time.perf_counter()
        self._transport.write(next(self._run.rotation))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        length = answer_length(self._buffer)
        if length is None or len(self._buffer) < length:
            return
        if self._buffer[9:12] == self._run.expected:
            self._run.latencies.append(time.perf_counter() - self._started)
        else:
            self._run.failures += 1
        self._buffer = b""
        self._is_waiting = False
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.failures += self._is_waiting
        self._run.open -= 1
        if not self._run.open:
            self._run.done.set()


class _Run:
    def __init__(self, rotation: list[bytes], clients: int, requests: int, expected: int) -> None:
        self.rotation = itertools.cycle(rotation)
        self.left = requests
        self.expected = b"%d" % expected
        self.open = clients
        self.latencies: list[float] = []
        self.failures = 0
        self.done = asyncio.Event()


async def _generate(host: str, port: int, clients: int, requests: int, expected: int, rotation: list[bytes]) -> Load:
    """Raises SystemExit as `measure` does."""
    run = _Run(rotation, clients, requests, expected)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(clients):
        await loop.create_connection(lambda: _Client(run), host, port)
    await run.done.wait()
    elapsed = time.perf_counter() - started
    ordered = sorted(run.latencies)
    if len(ordered) + run.failures != requests:
        raise SystemExit(f"of {requests} requests {run.left} were not sent: the server closed all connections")
    if not ordered:
        raise SystemExit(f"none of {requests} requests was answered with {expected}")

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return Load(round(len(ordered) / elapsed, 1), round(elapsed, 3), at(0.5), at(0.95), at(0.99), run.failures)


def _rotation(text: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(text):
        end = at + 4 + int.from_bytes(text[at : at + 4], "big")
        found.append(text[at + 4 : end])
        at = end
    return found


if __name__ == "__main__":
    _numbers = map(int, sys.argv[2:6])
    print(json.dumps(uvloop.run(_generate(sys.argv[1], *_numbers, _rotation(sys.stdin.buffer.read())))._asdict()))
