"""What the bus promises, asked of every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from msgspec.structs import replace

from sabayon.bus.base import Bus
from sabayon.entity.activation import Outcome
from sabayon.entity.identity import new_identity
from tests.conformance.bus_stage import Host, memory_bus, message, nats_bus, result_of
from tests.servers.nats import nats_server

Test = Callable[[Bus, Host], Coroutine[Any, Any, None]]
Play = Callable[[Test], None]


@pytest.fixture(params=["memory", "nats"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Runs a coroutine function with a bus and the host at its other end."""

    async def on_memory(test: Test) -> None:
        host = Host()
        async with memory_bus(host) as bus:
            await asyncio.wait_for(test(bus, host), 20)

    async def on_nats(test: Test) -> None:
        host = Host()
        with nats_server(tmp_path) as server:
            async with nats_bus(host, server) as bus:
                await asyncio.wait_for(test(bus, host), 20)

    return lambda test: uvloop.run((on_memory if request.param == "memory" else on_nats)(test))


def test_who_dispatches_gets_the_finished_activation_as_it_is(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        sent = message(b'{ "float":1.0, "text": "\xc3\xa9\\u00e9", "none":null }')
        finished = await bus.dispatch(sent)
        assert bytes(finished.response.result) == bytes(sent.arguments)
        assert (finished.activation_id, finished.response.outcome) == (sent.activation_id, Outcome.SUCCESS)
        assert (finished.response.size, finished.duration, finished.start, finished.end) == (9, 7, 2, 9)
        assert {entry.key: bytes(entry.value) for entry in finished.annotations}["path"] == b'"acme/a"'

    play(test)


def test_the_invoker_gets_the_message_as_it_is(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        sent = message(b'{"n": 1.50}', binding="acme/b", cause="0" * 32, is_stored=False, is_journaled=True)
        await bus.dispatch(sent)
        [came] = host.messages
        assert bytes(came.arguments) == bytes(sent.arguments)
        assert replace(came, arguments=sent.arguments) == sent
        assert came.identity.auth_key == sent.identity.auth_key

    play(test)


def test_each_of_many_gets_its_own(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        ended = await asyncio.gather(*(bus.dispatch(message(b'{"n":%d}' % n)) for n in range(300)))
        assert [result_of(each)["n"] for each in ended] == list(range(300))
        assert len(set(host.begun)) == len(host.begun) == 300

    play(test)


def test_what_is_longer_than_a_server_takes_arrives_whole(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        texts = [b'{"text":"%s"}' % (digit * 3_000_000) for digit in (b"1", b"2", b"3")]
        ended = await asyncio.gather(*(bus.dispatch(message(text)) for text in texts))
        assert [bytes(each.response.result) for each in ended] == texts

    play(test)


def test_who_stops_waiting_does_not_stop_the_run(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        host.is_holding = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bus.dispatch(message()), 0.2)
        await host.has_begun(1)
        other = asyncio.ensure_future(bus.dispatch(message()))
        await host.has_begun(2)
        host.let_go()
        assert (await other).response.outcome is Outcome.SUCCESS
        assert len(host.begun) == 2

    play(test)


def test_what_runs_can_be_cancelled_and_who_dispatched_it_hears_so(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        host.is_holding = True
        sent = message()
        running = asyncio.ensure_future(bus.dispatch(sent))
        await host.has_begun(1)
        assert await bus.cancel("acme", sent.activation_id)
        assert (await running).is_cancelled
        assert not await bus.cancel("acme", sent.activation_id)

    play(test)


def test_others_cannot_cancel_it_nor_can_what_is_not_there_be(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        host.is_holding = True
        sent = message()
        running = asyncio.ensure_future(bus.dispatch(sent))
        await host.has_begun(1)
        assert not await bus.cancel(new_identity("stranger").namespace, sent.activation_id)
        assert not await bus.cancel("acme", message().activation_id)
        host.let_go()
        assert not (await running).is_cancelled

    play(test)


def test_a_bus_that_is_there_takes_promises(play: Play) -> None:
    async def test(bus: Bus, host: Host) -> None:
        bus.check()

    play(test)
