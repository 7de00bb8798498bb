"""A load generator that keeps to a rate whether or not it is answered, as many independent callers would.

Run as `python -m bench.pace PORT RATE SECONDS CONNECTIONS AFTER` with the request on standard input; prints JSON.
What is due while all connections wait for an answer is not sent later, but counted as held back.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import NamedTuple

import uvloop

from bench.load import answer_length


class Pace(NamedTuple):
    """Answers by kind, requests that could not be sent in time, and latencies of answers with 200 in ms."""

    accepted: int
    refused: int
    other: int
    held_back: int
    p50_ms: float
    p99_ms: float


def start(
    port: int, request: bytes, *, per_second: int, seconds: float, connections: int, after_s: float = 0.0
) -> subprocess.Popen[bytes]:
    """Begin to send, `after_s` after it is connected, in a process of its own. `result` waits for its end."""
    arguments = [str(port), str(per_second), str(seconds), str(connections), str(after_s)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.pace", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(request)
    process.stdin.close()
    process.stdin = None
    return process


def result(process: subprocess.Popen[bytes]) -> Pace:
    """What a process of `start` has found."""
    output, _ = process.communicate(timeout=120)
    if process.returncode:
        raise SystemExit("bench: a load generator failed")
    return Pace(**json.loads(output))


class _Connection(asyncio.Protocol):
    """Asks one thing at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._answer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._run.release(self)

    def ask(self, request: bytes) -> None:
        self._sent = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        length = answer_length(self._answer)
        if length is None or len(self._answer) < length:
            return
        self._run.take(self._answer[9:12], time.perf_counter() - self._sent)
        self._answer = b""
        self._run.release(self)


class _Run:
    def __init__(self, connections: int) -> None:
        self._connections = connections
        self.free: list[_Connection] = []
        self.latencies: list[float] = []
        self.refused = self.other = self.held_back = 0
        self.all_answered = asyncio.Event()

    def take(self, status: bytes, latency_s: float) -> None:
        if status == b"200":
            self.latencies.append(latency_s)
        else:
            self.refused += status == b"429"
            self.other += status != b"429"

    def release(self, connection: _Connection) -> None:
        """It has its answer, or is new."""
        self.free.append(connection)
        if len(self.free) == self._connections:
            self.all_answered.set()

    async def keep_up(self, request: bytes, per_second: int, seconds: float) -> None:
        """Send what is due, every millisecond at most: the timers of the loop are no finer."""
        began, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < seconds:
            due = int(elapsed * per_second) - sent
            for _ in range(due):
                if self.free:
                    self.all_answered.clear()
                    self.free.pop().ask(request)
                else:
                    self.held_back += 1
            sent += due
            await asyncio.sleep(max(0.001, 0.5 / per_second))


async def _generate(
    port: int, per_second: int, seconds: float, connections: int, after_s: float, request: bytes
) -> Pace:
    run = _Run(connections)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    await asyncio.sleep(after_s)
    await run.keep_up(request, per_second, seconds)
    await run.all_answered.wait()
    ordered = sorted(run.latencies) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return Pace(len(run.latencies), run.refused, run.other, run.held_back, at(0.5), at(0.99))


if __name__ == "__main__":
    _port, _rate, _seconds, _connections, _after = sys.argv[1:6]
    _arguments = int(_port), int(_rate), float(_seconds), int(_connections), float(_after)
    print(json.dumps(uvloop.run(_generate(*_arguments, sys.stdin.buffer.read()))._asdict()))
