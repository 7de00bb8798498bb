"""A controller and an invoker that share a store and know each other from the bus alone.

Both are in one process here, as SQLite is in one process only; the bus between them is a real one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from sabayon.controller_app import Controller
from sabayon.invoker_app import InvokerHost
from sabayon.settings import Settings
from sabayon.store.sqlite import SqliteStore
from sabayon.stores import Store
from tests.acceptance.running import Answer
from tests.servers.nats import NatsServer, nats_server

HELLO = "def main(args):\n    print('hello')\n    return {'greeting': 'hello ' + args.get('name', '')}\n"
NEIGHBOUR = """
import os, urllib.request
def main(args):
    with urllib.request.urlopen(os.environ['__OW_API_HOST'] + '/api/v1') as reply:
        return {'status': reply.status}
"""


class NoSignals:
    """Nobody interrupts."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()


class Borrowed:
    """A store that the test closes."""

    def __init__(self, store: SqliteStore) -> None:
        self.artifacts, self.activations = store.artifacts, store.activations
        self.journal, self.identities = store.journal, store.identities
        self.dead_letters, self.keys = store.dead_letters, store.keys
        self.lease = store.lease
        self.ledger, self.providers, self.all_records = store.ledger, store.providers, store.all_records

    async def aclose(self) -> None:
        pass


class Cluster:
    """Two components, and requests to one of them."""

    def __init__(self, server: NatsServer, home: Path, store: SqliteStore) -> None:
        self._url = server.url
        self._home = home
        self._store = store
        self._auth = ""
        self.api_host = ""

    async def _open_store(self, _: Settings, name: str) -> Store:
        return Borrowed(self._store)

    async def add_controller(self, stack: AsyncExitStack) -> None:
        settings = Settings(bus=self._url, port=0, data_dir=self._home / "controller")
        controller = Controller(settings, NoSignals(), 0, self._open_store)  # type: ignore[arg-type]
        await controller.start(stack)
        self.api_host = controller.api_host
        guest = await self._store.identities.by_namespace("guest")
        assert guest is not None
        self._auth = base64.b64encode(guest.auth_key.encode()).decode()

    async def add_invoker(self, stack: AsyncExitStack) -> None:
        settings = Settings(
            bus=self._url, name="i1", api=self.api_host, data_dir=self._home / "i1", stem_cells=0, pool_memory_mb=2048
        )
        await InvokerHost(settings, NoSignals(), 0, self._open_store).start(stack)  # type: ignore[arg-type]

    async def request(self, method: str, path: str, body: Any = None) -> Answer:
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: Any) -> Answer:
        request = urllib.request.Request(self.api_host + path, method=method)
        request.add_header("Authorization", f"Basic {self._auth}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return Answer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    async def action(self, name: str, code: str = "", **exec: Any) -> None:
        body = {"exec": {"kind": "python:default", "code": code, **exec}}
        answer = await self.request("PUT", f"/api/v1/namespaces/_/actions/{name}", body)
        assert answer.status == 200, answer.body

    async def invoke(self, name: str, body: Any = None, query: str = "blocking=true") -> Answer:
        return await self.request("POST", f"/api/v1/namespaces/_/actions/{name}?{query}", body or {})

    async def until(self, probe: Callable[[], Awaitable[bool]]) -> None:
        """What other components find out in their own time."""
        async with asyncio.timeout(20):
            while not await probe():  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.05)

    async def knows_kinds(self) -> bool:
        """Whether actions can be made."""
        return "python" in (await self.request("GET", "/")).json["runtimes"]

    async def says_hello(self) -> bool:
        """Whether actions can be run."""
        return (await self.invoke("hello")).status == 200

    async def has_run(self, activation_id: str) -> bool:
        return (await self.request("GET", f"/api/v1/namespaces/_/activations/{activation_id}")).status == 200


@asynccontextmanager
async def cluster_on(server: NatsServer, home: Path) -> AsyncIterator[Cluster]:
    store = await SqliteStore.open(home / "shared.db")
    cluster = Cluster(server, home, store)
    try:
        async with AsyncExitStack() as controller, AsyncExitStack() as invoker:
            await cluster.add_controller(controller)
            await cluster.add_invoker(invoker)
            await cluster.until(cluster.knows_kinds)
            await cluster.action("hello", HELLO)
            await cluster.until(cluster.says_hello)
            yield cluster
    finally:
        await store.aclose()


def test_an_action_is_made_at_one_runs_at_the_other_and_reaches_the_api_from_there(tmp_path: Path) -> None:
    async def test(server: NatsServer) -> None:
        async with cluster_on(server, tmp_path) as cluster:
            await cluster.action("neighbour", NEIGHBOUR)
            await cluster.action("both", kind="sequence", components=["/guest/hello", "/guest/hello"])
            assert (await cluster.invoke("hello", {"name": "you"}, "blocking=true&result=true")).json == {
                "greeting": "hello you"
            }
            activation_id = (await cluster.invoke("hello")).json["activationId"]
            record = (await cluster.request("GET", f"/api/v1/namespaces/_/activations/{activation_id}")).json
            assert [line.endswith("stdout: hello") for line in record["logs"]] == [True]
            both = await cluster.invoke("both")
            assert (both.status, both.json["response"]["result"]) == (200, {"greeting": "hello "})
            assert (await cluster.invoke("neighbour", query="blocking=true&result=true")).json == {"status": 200}
            accepted = await cluster.invoke("hello", query="")
            assert accepted.status == 202
            await cluster.until(lambda: cluster.has_run(accepted.json["activationId"]))

    with nats_server(tmp_path) as server:
        uvloop.run(test(server))


def test_while_the_bus_is_away_the_client_is_told_to_come_again_and_then_it_works(tmp_path: Path) -> None:
    async def test(server: NatsServer) -> None:
        async with cluster_on(server, tmp_path) as cluster:
            await asyncio.to_thread(server.kill)

            async def is_refused() -> bool:
                return (await cluster.invoke("hello", query="")).status == 503

            await cluster.until(is_refused)
            answer = await cluster.invoke("hello")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            await asyncio.to_thread(server.start)
            await cluster.until(cluster.says_hello)

    with nats_server(tmp_path) as server:
        uvloop.run(test(server))
