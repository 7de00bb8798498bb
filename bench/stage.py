"""A platform to measure, and what is put on it."""

from __future__ import annotations

import base64
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.docker import Times
from bench.load import Load, answer_length, measure
from tests.acceptance.running import Platform

PYTHON = "def main(args):\n    return {'n': args.get('n')}\n"
NODEJS = "function main(args) { return { n: args.n }; }\n"
BODY = b'{"n":1}'
RUNS = 5
UNTHROTTLED = {"SABAYON_INVOCATIONS_PER_MINUTE": "100000000", "SABAYON_CONCURRENT_INVOCATIONS": "100000"}
"""What is measured would otherwise be how fast invocations are refused."""


@dataclass(frozen=True)
class Stage:
    """One running platform. quick: few repetitions, for trying things out. docker: the times of `docker run`."""

    platform: Platform
    quick: bool
    docker: Times | None = None

    @property
    def runs(self) -> int:
        """Of how many runs a figure is the median."""
        return 1 if self.quick else RUNS

    @property
    def port(self) -> int:
        port = urlsplit(self.platform.api_host).port
        assert port
        return port

    def count(self, full: int) -> int:
        """How often something is done in a run of this kind."""
        return max(1, full // 10) if self.quick else full

    def request(self, action: str, *, blocking: bool = True, auth: str | None = None) -> bytes:
        """The bytes of an invocation."""
        key = base64.b64encode((auth or self.platform.auth).encode()).decode()
        head = (
            f"POST /api/v1/namespaces/_/actions/{action}?blocking={str(blocking).lower()} HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Basic {key}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        return head.encode() + BODY

    def load(self, *actions: str, clients: int, requests: int, blocking: bool = True, warm: bool = True) -> Load:
        """Invoke `actions` in rotation; with `warm` some of it is done before it counts."""
        rotation = [self.request(action, blocking=blocking) for action in actions]
        expected = 200 if blocking else 202
        if warm:
            some = max(clients * 10, len(actions))
            measure(self.port, *rotation, clients=clients, requests=some, expected=expected)
        return measure(self.port, *rotation, clients=clients, requests=requests, expected=expected)

    def create(
        self, prefix: str, number: int, code: str = PYTHON, kind: str = "python:default", memory: int = 128, **rest: Any
    ) -> list[str]:
        """That many actions, none of which has run. rest: what else they are created with."""
        names = [f"{prefix}-{n}" for n in range(number)]
        settings = {"limits": {"memory": memory}, **rest}
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: self.platform.create_action(n, code, kind, **settings), names))
        return names

    def cold_ms(self, names: list[str], pause_s: float) -> list[float]:
        """The time of each action's first invocation, one after the other, ascending."""
        taken = []
        for name in names:
            request = self.request(name)
            time.sleep(pause_s)
            taken.append(measure_one(self.port, request))
        return sorted(taken)


def measure_one(port: int, request: bytes) -> float:
    """One request on a connection that is open already; ms from first byte out to last byte in."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        connection.sendall(request)
        answer = b""
        while (length := answer_length(answer)) is None or len(answer) < length:
            if not (received := connection.recv(65536)):
                raise SystemExit(f"bench: the connection was closed after {answer[:300]!r}")
            answer += received
        taken = (time.perf_counter() - started) * 1000
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"bench: unexpected answer {answer[:300]!r}")
    return taken


def at(ordered: list[float], share: float) -> float:
    """The quantile of an ascending list."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("bench: the platform is gone")


def proportional_mb(pid: int) -> float:
    """A process's memory, what it shares counted in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def sandbox_processes(platform_pid: int) -> list[int]:
    """The processes in the sandboxes of a platform, by their control group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                groups = (entry / "cgroup").read_text()
            except OSError:
                continue
            if f"sabayon-{platform_pid}-" in groups:
                found.append(int(entry.name))
    return found
