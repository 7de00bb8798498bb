"""`python -m bench.bus`: what the bus between machines costs, beside a function call.

A host that answers at once is dispatched to over the memory bus, and over a NATS server of our own to another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Raw

from sabayon.balancer.balancer import Balancer
from sabayon.bus.address import bus_address
from sabayon.bus.base import ActivationMessage, Bus
from sabayon.bus.intake import Intake
from sabayon.bus.link import Link
from sabayon.bus.memory import MemoryBus
from sabayon.bus.nats import NatsBus
from sabayon.bus.subjects import Subjects
from sabayon.controller.balancing import Balancing
from sabayon.controller.ending import Ending
from sabayon.entity.action import Action
from sabayon.entity.activation import Activation, Outcome, Response, new_activation_id
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity
from sabayon.errors import Overloaded
from sabayon.store.memory import MemoryStore

CALLS: Final = 4000
CLIENTS: Final = (1, 32)
SUBJECTS: Final = Subjects("bench")
KIND: Final = "python:3.11"
IDENTITY: Final = new_identity("bench")
ACTION: Final = Action(exec=Exec(kind=KIND, binary=False), name="a", namespace="bench", updated=1, version="0.0.1")


class EchoHost:
    """An invoker that answers at once with what it was given."""

    kinds = frozenset({KIND})
    memory_mb = 1 << 20

    def accept(self, message: ActivationMessage) -> asyncio.Future[Activation]:
        future: asyncio.Future[Activation] = asyncio.get_running_loop().create_future()
        future.set_result(
            Activation(
                activation_id=message.activation_id,
                duration=1,
                end=2,
                name="a",
                namespace="bench",
                response=Response(Outcome.SUCCESS, message.arguments),
                start=1,
                subject="bench",
                version="0.0.1",
            )
        )
        return future

    def cancel(self, namespace: str, activation_id: str) -> bool:
        return False

    def release(self, activation_id: str) -> bool:
        return False

    def containers(self) -> dict[tuple[str, str, int], frozenset[int]]:
        return {}

    async def test(self) -> bool:
        return True


def message() -> ActivationMessage:
    return ActivationMessage(
        accepted_ms=1,
        action=ACTION,
        activation_id=new_activation_id(),
        arguments=Raw(b'{"name":"world"}'),
        blocking=True,
        environment={},
        identity=IDENTITY,
        revision=1,
        transaction_id="tx",
    )


async def measure(name: str, bus: Bus, clients: int) -> None:
    """Print how long a call takes when so many are made at once, one after the other each."""
    times: list[float] = []

    async def client() -> None:
        for _ in range(CALLS // clients):
            began = time.perf_counter()
            await bus.dispatch(message())
            times.append((time.perf_counter() - began) * 1000)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    took_s, used_us = time.perf_counter() - began, (time.process_time() - used) * 1e6
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    rate, each_us = len(times) / took_s, used_us / len(times)
    print(f"{name:>6}, {clients:>2} at once: p50 {p50:.3f} ms, p99 {p99:.3f} ms, {rate:,.0f} a second,", end=" ")
    print(f"{each_us:.0f} µs of the controller's processor each")


async def invoker(url: str) -> None:
    link = Link(bus_address(url), "i1")
    intake = Intake(link, SUBJECTS, "i1", EchoHost(), started_ms=time.time_ns() // 1_000_000)
    await link.start(5)
    await intake.start()
    await asyncio.Event().wait()


async def controller(url: str) -> None:
    host = EchoHost()
    for clients in CLIENTS:
        await measure("memory", MemoryBus(host.accept, host.cancel), clients)
    link = Link(bus_address(url), "c1")
    chooser = Balancing(Balancer("c1"), time.monotonic, lambda kinds: None)
    bus = NatsBus(link, SUBJECTS, "c1", chooser, Ending(MemoryStore().activations, lambda: 1))
    await link.start(5)
    await bus.start()
    await until(lambda: bus.dispatch(message()))
    for clients in CLIENTS:
        await measure("nats", bus, clients)
    await bus.aclose()
    await link.aclose()


async def until(call: Callable[[], object]) -> None:
    """Wait until there is an invoker."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Overloaded):
                call()
                return
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a NATS server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = shutil.which("nats-server", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        sys.exit("there is no nats-server; on Debian: apt-get install nats-server")
    with subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.kill()


def main() -> None:
    with server() as url, subprocess.Popen([sys.executable, Path(__file__), url]) as other:
        try:
            uvloop.run(controller(url))
        finally:
            other.kill()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(invoker(sys.argv[1]))
    else:
        main()
