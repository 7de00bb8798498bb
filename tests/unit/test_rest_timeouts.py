"""Requests that do not end, and answers that do not come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sabayon.controller.app import create_app
from sabayon.entity.limits import NamespaceLimits, SystemLimits
from sabayon.store.base import Document
from sabayon.store.memory import MemoryArtifacts
from tests.unit.asgi import Answer, AsgiClient
from tests.unit.patient_loop import run_patiently
from tests.unit.scripted_bus import Hold
from tests.unit.stage import Stage

TEXT = "text/plain; charset=UTF-8"
BODY_TIMEOUT = "Request timed out after 30 seconds while waiting for entity data"
HANDLER_TIMEOUT = (
    "The server was not able to produce a timely response to your request.\r\nPlease try again in a short while!"
)


def patiently(test: Callable[[Stage], Any], own: NamespaceLimits | None = None) -> None:
    async def play() -> None:
        stage = await Stage(SystemLimits(), own or NamespaceLimits()).open()
        await test(stage)
        await stage.services.running.drain()

    run_patiently(play())


async def seconds(work: Any) -> tuple[float, Any]:
    """How long `work` took, rounded, and its result."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    result = await work
    return round(loop.time() - start, 1), result


class Trickle:
    """Sends a request in pieces: each a delay in seconds and an event. After the last one, nothing any more."""

    def __init__(self, app: Any, *pieces: tuple[float, dict[str, Any]]) -> None:
        self._app = app
        self._pieces = iter(pieces)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self._app(scope, self._receive, send)

    async def _receive(self) -> dict[str, Any]:
        delay_s, event = next(self._pieces, (1e6, {}))
        await asyncio.sleep(delay_s)
        return event


def part(body: bytes, *, is_last: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": not is_last}


async def invoke(stage: Stage, *pieces: tuple[float, dict[str, Any]]) -> Answer:
    """A blocking invocation of acme/a whose body arrives in pieces."""
    await stage.action("acme/a", lambda args: args)
    client = AsgiClient(Trickle(create_app(stage.services), *pieces))
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    path = "/api/v1/namespaces/_/actions/a?blocking=true&result=true"
    return await client.request("POST", path, headers=headers, auth=stage.acme.auth_key)


def test_a_body_may_come_in_parts() -> None:
    async def test(stage: Stage) -> None:
        answer = await invoke(stage, (9, part(b'{"n"')), (9, part(b"")), (9, part(b":1}", is_last=True)))
        assert (answer.status, answer.json) == (200, {"n": 1})

    patiently(test)


def test_a_body_that_is_not_there_after_30_seconds_is_408_in_plain_text() -> None:
    async def test(stage: Stage) -> None:
        took_s, answer = await seconds(invoke(stage, (29, part(b"{")), (2, part(b"}", is_last=True))))
        assert (took_s, answer.status, answer.text) == (30, 408, BODY_TIMEOUT)
        assert answer.headers["content-type"] == TEXT
        assert answer.headers["x-request-id"]
        assert not stage.bus.messages

    patiently(test)


@pytest.mark.parametrize("pieces", [(), ((0, part(b"{}")),)])
def test_a_client_that_goes_away_within_its_body_invokes_nothing(pieces: tuple[Any, ...]) -> None:
    async def test(stage: Stage) -> None:
        answer = await invoke(stage, *pieces, (1, {"type": "http.disconnect"}))
        assert answer.status == 400
        assert not stage.bus.messages

    patiently(test)


class Stuck(MemoryArtifacts):
    """A store that does not answer."""

    async def read(self, id: str) -> Document | None:
        await asyncio.sleep(1e6)
        return None


@pytest.mark.parametrize(("method", "path"), [("GET", "actions/a"), ("POST", "actions/a"), ("POST", "triggers/t")])
def test_a_handler_that_takes_more_than_65_seconds_is_503_in_plain_text(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        client = AsgiClient(create_app(replace(stage.services, artifacts=Stuck())))
        for _ in range(2):
            request = client.request(method, f"/api/v1/namespaces/_/{path}", auth=stage.acme.auth_key)
            took_s, answer = await seconds(request)
            assert (took_s, answer.status, answer.text) == (65, 503, HANDLER_TIMEOUT)
            assert answer.headers["content-type"] == TEXT

    patiently(test, NamespaceLimits(concurrent_invocations=1))


@pytest.mark.parametrize(("query", "waited_s"), [("blocking=true", 60), ("blocking=true&timeout=1500", 1.5)])
def test_a_blocking_call_waits_for_as_long_as_it_was_told_and_a_minute_at_most(query: str, waited_s: float) -> None:
    async def test(stage: Stage) -> None:
        await stage.action("acme/a", hold := Hold(), timeout=300_000)
        took_s, answer = await seconds(stage.invoke("a", query=query))
        assert (took_s, answer.status) == (waited_s, 202)
        assert answer.json == {"activationId": answer.headers["x-openwhisk-activation-id"]}
        hold.release.set()

    patiently(test)
