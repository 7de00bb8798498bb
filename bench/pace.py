"""A load generator that keeps to a rate whether or not it is answered, as many independent callers would.

Run as `python -m bench.pace PORT RATE SECONDS CONNECTIONS AFTER` with the request on standard input; prints JSON.
Latencies count from when a request was due: one that is sent late has waited. What is due while all connections wait
for an answer is not sent later, but counted as held back.
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
    """Answers by kind, `other` with those that did not come; requests that could not be sent; latencies of answers
    with 200 in ms."""

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
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._run.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        length = answer_length(self._answer)
        if length is None or len(self._answer) < length or self._due is None:
            return
        self._run.take(self._answer[9:12], time.perf_counter() - self._due)
        self._answer, self._due = b"", None
        self._run.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._run.take(b"", 0.0)
        elif self in self._run.free:
            self._run.free.remove(self)


class _Run:
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._unanswered = 0
        self._is_all_asked = False
        self.free: list[_Connection] = []
        self.latencies: list[float] = []
        self.refused = self.other = self.held_back = 0
        self.is_over = asyncio.Event()

    def take(self, status: bytes, latency_s: float) -> None:
        """An answer, or that there will be none: an empty status."""
        if status == b"200":
            self.latencies.append(latency_s)
        else:
            self.refused += status == b"429"
            self.other += status != b"429"
        self._unanswered -= 1
        self._look()

    def ask(self, due: float) -> None:
        if self.free:
            self._unanswered += 1
            self.free.pop().ask(self._request, due)
        else:
            self.held_back += 1

    def end(self) -> None:
        """There is nothing more to ask."""
        self._is_all_asked = True
        self._look()

    def _look(self) -> None:
        if self._is_all_asked and not self._unanswered:
            self.is_over.set()


def _keep_up(run: _Run, loop: asyncio.AbstractEventLoop, per_second: int, seconds: float) -> None:
    """Have the loop ask whenever it is due. From a thread, whose sleep is exact: the loop's timers are not, by 1 ms."""
    began = time.perf_counter()
    for number in range(int(seconds * per_second)):
        due = began + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        loop.call_soon_threadsafe(run.ask, due)
    loop.call_soon_threadsafe(run.end)


async def _generate(
    port: int, per_second: int, seconds: float, connections: int, after_s: float, request: bytes
) -> Pace:
    run = _Run(request)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    await asyncio.sleep(after_s)
    await asyncio.to_thread(_keep_up, run, loop, per_second, seconds)
    await run.is_over.wait()
    ordered = sorted(run.latencies) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return Pace(len(run.latencies), run.refused, run.other, run.held_back, at(0.5), at(0.99))


if __name__ == "__main__":
    _port, _rate, _seconds, _connections, _after = sys.argv[1:6]
    _arguments = int(_port), int(_rate), float(_seconds), int(_connections), float(_after)
    print(json.dumps(uvloop.run(_generate(*_arguments, sys.stdin.buffer.read()))._asdict()))
