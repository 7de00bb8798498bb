"""Controllers and invokers on a bus, with hosts whose actions end when the test says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sabayon.balancer.balancer import Balancer
from sabayon.balancer.instructions import State
from sabayon.bus.address import bus_address
from sabayon.bus.base import ActivationMessage, Bus
from sabayon.bus.chooser import Fate, Orders
from sabayon.bus.codec import Frame, decode
from sabayon.bus.heartbeat import Heartbeat
from sabayon.bus.intake import Intake
from sabayon.bus.link import Link
from sabayon.bus.memory import MemoryBus
from sabayon.bus.nats import NatsBus
from sabayon.bus.subjects import Subjects
from sabayon.controller.balancing import Balancing
from sabayon.entity.action import Action
from sabayon.entity.activation import (
    Activation,
    Outcome,
    Response,
    cancelled,
    cancelled_response,
    error_response,
    new_activation_id,
)
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity
from sabayon.entity.parameters import parameter
from tests.servers.nats import NatsServer

KIND = "python:3.11"
ACME = new_identity("acme", "acme-dev")
ACTION = Action(exec=Exec(kind=KIND, binary=False), name="a", namespace="acme", updated=1, version="0.0.1")


def message(arguments: bytes = b'{"n":1}', **fields: Any) -> ActivationMessage:
    """A blocking run of `acme/a`, unless `fields` say otherwise."""
    plain = ActivationMessage(
        accepted_ms=1,
        action=ACTION,
        activation_id=new_activation_id(),
        arguments=Raw(arguments),
        blocking=True,
        environment={"KEY": "value"},
        identity=ACME,
        revision=1,
        transaction_id="tx",
    )
    return replace(plain, **fields)


def activation(of: ActivationMessage, response: Response) -> Activation:
    return Activation(
        activation_id=of.activation_id,
        annotations=(parameter("path", "acme/a"), parameter("kind", KIND)),
        duration=7,
        end=9,
        logs=("a line",),
        name=of.action.name,
        namespace=of.identity.namespace,
        response=response,
        start=2,
        subject=of.identity.subject,
        version=of.action.version,
    )


class Host:
    """An invoker with `slots` containers, whose actions return their arguments; at once, or when they are let go.

    begun: ids in the order in which they began. is_holding: whether actions wait for `let_go`.
    """

    kinds = frozenset({KIND})
    memory_mb = 1 << 20

    def __init__(self, *, slots: int = 1000, is_holding: bool = False) -> None:
        self.begun: list[str] = []
        self.messages: list[ActivationMessage] = []
        self.is_holding = is_holding
        self.is_well = True
        self._slots = slots
        self._futures: dict[str, asyncio.Future[Activation]] = {}
        self._waiting: list[ActivationMessage] = []
        self._running: dict[str, ActivationMessage] = {}
        self._changed = asyncio.Event()

    def accept(self, message: ActivationMessage) -> asyncio.Future[Activation]:
        future = self._futures[message.activation_id] = asyncio.get_running_loop().create_future()
        self.messages.append(message)
        self._waiting.append(message)
        self._serve()
        return future

    def cancel(self, namespace: str, activation_id: str) -> bool:
        for held in (*self._running.values(), *self._waiting):
            if held.activation_id == activation_id and held.identity.namespace == namespace:
                self._end(held, cancelled(activation(held, cancelled_response())))
                return True
        return False

    def release(self, activation_id: str) -> bool:
        for held in self._waiting:
            if held.activation_id == activation_id:
                self._waiting.remove(held)
                self._futures.pop(activation_id).cancel()
                return True
        return False

    def containers(self) -> dict[tuple[str, str, int], frozenset[int]]:
        return {("acme", "acme/a", 1): frozenset({1})} if self.begun else {}

    async def test(self) -> bool:
        return self.is_well

    def let_go(self, outcome: Outcome = Outcome.SUCCESS) -> None:
        """All that runs ends, and what begins from now on ends at once."""
        self.is_holding = False
        for held in list(self._running.values()):
            self._end(held, activation(held, Response(outcome, held.arguments, 9)))
        self._serve()

    async def has_begun(self, count: int) -> None:
        """Wait until that many have begun."""
        while len(self.begun) < count:
            self._changed.clear()
            await self._changed.wait()

    def _serve(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            message = self._waiting.pop(0)
            self._running[message.activation_id] = message
            self.begin(message)
        self._changed.set()

    def begin(self, message: ActivationMessage) -> None:
        """It runs from now on."""
        self.begun.append(message.activation_id)
        if not self.is_holding:
            asyncio.get_running_loop().call_soon(self.succeed, message)

    def succeed(self, message: ActivationMessage) -> None:
        """It ends, if it has not."""
        if message.activation_id in self._running:
            self._end(message, activation(message, Response(Outcome.SUCCESS, message.arguments, 9)))

    def _end(self, message: ActivationMessage, activation: Activation) -> None:
        self._running.pop(message.activation_id, None)
        if message in self._waiting:
            self._waiting.remove(message)
        future = self._futures.pop(message.activation_id)
        if not future.done():
            future.set_result(activation)
        self._serve()


class Endings:
    """What is lost and journaled is sent again, everything else ends. fates: by id, each that was asked about."""

    def __init__(self) -> None:
        self.fates: dict[str, list[Fate]] = {}

    async def end(self, message: ActivationMessage, fate: Fate) -> Activation | None:
        self.fates.setdefault(message.activation_id, []).append(fate)
        if fate is Fate.LOST and message.is_journaled:
            return None
        response = cancelled_response() if fate is Fate.CANCELLED else error_response(Outcome.WHISK_ERROR, fate.value)
        return activation(message, response)


class WatchedBalancing(Balancing):
    """Says when something has happened to the invokers. sent_to: who was chosen, in order."""

    def __init__(self, balancer: Balancer) -> None:
        super().__init__(balancer, time.monotonic, lambda kinds: None)
        self.news = asyncio.Event()
        self.sent_to: list[str] = []

    def choose(self, message: ActivationMessage, number: int, avoid: frozenset[str]) -> str:
        invoker = super().choose(message, number, avoid)
        self.sent_to.append(invoker)
        return invoker

    def heard(self, heartbeat: Heartbeat) -> Orders:
        self.news.set()
        return super().heard(heartbeat)

    def tested(self, invoker: str, number: int, *, is_good: bool) -> Orders:
        self.news.set()
        return super().tested(invoker, number, is_good=is_good)

    def tick(self) -> Orders:
        self.news.set()
        return super().tick()


Fault = Callable[[Frame], int]
"""How often a frame is sent: 0 loses it, 2 doubles it."""


class FaultyLink(Link):
    """A link on which what is posted may be lost, or come twice."""

    fault: Fault | None = None

    def post(self, subject: str, payload: bytes, reply: str = "") -> None:
        for _ in range(1 if self.fault is None else self.fault(decode(payload))):
            super().post(subject, payload, reply)


class Cluster:
    """One controller and some invokers, each with a connection of its own to `server`."""

    def __init__(self, server: NatsServer, installation: str = "test", name: str = "c1") -> None:
        self._server = server
        self.subjects = Subjects(installation)
        self.endings = Endings()
        self.balancer = Balancer(name)
        self.controller_link = self.link(name)
        self.chooser = WatchedBalancing(self.balancer)
        self.bus = NatsBus(self.controller_link, self.subjects, name, self.chooser, self.endings)
        self.intakes: dict[str, Intake] = {}
        self.links: dict[str, FaultyLink] = {}

    def link(self, name: str) -> FaultyLink:
        """A connection, to be started."""
        return FaultyLink(bus_address(self._server.url), name)

    async def open(self) -> Cluster:
        await self.controller_link.start(5)
        await self.bus.start()
        return self

    async def add(self, name: str, host: Host, *, started_ms: int = 1) -> Intake:
        """An invoker comes, and is up."""
        link = self.links[name] = self.link(name)
        intake = self.intakes[name] = Intake(link, self.subjects, name, host, started_ms=started_ms)
        await link.start(5)
        await intake.start()
        await self.until(name, State.UP)
        return intake

    async def until(self, name: str, state: State) -> None:
        """Wait for what the controller takes an invoker for."""
        while self.balancer.states().get(name) is not state:
            self.chooser.news.clear()
            await self.chooser.news.wait()

    async def remove(self, name: str) -> None:
        """An invoker goes without a word: its process is killed."""
        await self.links.pop(name).aclose()
        self.intakes.pop(name)

    async def aclose(self) -> None:
        for intake in self.intakes.values():
            await intake.aclose()
        await self.bus.aclose()
        for link in (*self.links.values(), self.controller_link):
            await link.aclose()


@asynccontextmanager
async def cluster_on(server: NatsServer, **hosts: Host) -> AsyncIterator[Cluster]:
    """A cluster whose invokers are up."""
    cluster = await Cluster(server).open()
    try:
        for name, host in hosts.items():
            await cluster.add(name, host)
        yield cluster
    finally:
        await cluster.aclose()


@asynccontextmanager
async def memory_bus(host: Host) -> AsyncIterator[Bus]:
    yield MemoryBus(host.accept, host.cancel)


@asynccontextmanager
async def nats_bus(host: Host, server: NatsServer) -> AsyncIterator[Bus]:
    async with cluster_on(server, i1=host) as cluster:
        yield cluster.bus


def result_of(activation: Activation) -> Any:
    return msgspec.json.decode(activation.response.result)
