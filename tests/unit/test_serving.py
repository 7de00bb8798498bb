"""The HTTP server over real sockets: what comes before a body is bounded, and so is how long a client may dawdle."""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

import pytest
import uvloop

from sabayon.serving import MAX_EXTRA_CONNECTIONS, MAX_HEAD_BYTES, HttpServer, Patience, bind

SHORT = Patience(head_s=0.2, stall_s=0.2, idle_s=1)
LONG_S = 10.0
ANSWER_BYTES = 8 << 20
P = ParamSpec("P")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a test on the kind of loop that the platform runs on."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers how much body there was; `/large` much, `/slow` after it has been told to."""
    size, more = 0, True
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * SHORT.stall_s)
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    text = b"x" * ANSWER_BYTES if scope["path"] == "/large" else str(size).encode()
    length = str(len(text)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": text})


@asynccontextmanager
async def serving(patience: Patience = SHORT) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(app, drain_s=1, patience=patience)
    main = bind("127.0.0.1", 0)
    await server.start(main)
    try:
        yield server, main.getsockname()[1]
    finally:
        await server.aclose()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that still comes until the server hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), LONG_S)
    except ConnectionError:
        return b""


async def status(reader: asyncio.StreamReader) -> int:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LONG_S)
    return int(head.split()[1])


def head(size: int, rest: bytes = b"") -> bytes:
    """A whole head of `size` bytes."""
    start, end = b"POST / HTTP/1.1\r\nhost: a\r\n" + rest + b"x: ", b"\r\n\r\n"
    return start + b"y" * (size - len(start) - len(end)) + end


@on_loop
async def test_a_head_up_to_the_bound_is_served() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(head(MAX_HEAD_BYTES, b"content-length: 0\r\n"))
        assert await status(reader) == 200


@on_loop
async def test_a_head_that_never_ends_is_refused_at_the_bound() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(head(2 * MAX_HEAD_BYTES)[:-4])
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")


@on_loop
async def test_many_small_heads_on_one_connection_never_add_up_to_a_large_one() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        for _ in range(3):
            writer.write(head(MAX_HEAD_BYTES - 1000, b"content-length: 1\r\n") + b"z")
            assert await status(reader) == 200
            assert await reader.readexactly(1) == b"1"


@on_loop
async def test_a_body_larger_than_the_bound_of_heads_may_arrive_together_with_its_head() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n" + b"z" * 200_000)
        assert await status(reader) == 200
        assert await reader.readexactly(6) == b"200000"


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST / HT", b"POST / HTTP/1.1\r\nhost: a\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"],
    ids=["says nothing", "breaks off in its first line", "breaks off in its head", "breaks off in its body"],
)
@on_loop
async def test_the_server_hangs_up_on_a_client_that(beginning: bytes) -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(beginning)
        assert await rest(reader) == b""


@on_loop
async def test_a_head_that_trickles_in_gets_no_more_time_than_one_that_stops() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nx: ")
        ended = asyncio.create_task(rest(reader))
        while not ended.done():
            writer.write(b"y")
            await asyncio.wait([ended], timeout=SHORT.head_s / 10)
        assert ended.result() == b""


@on_loop
async def test_the_second_request_of_a_connection_gets_as_little_time_as_the_first() -> None:
    async with serving(SHORT._replace(idle_s=60)) as (_, port), connected(port) as (reader, writer):
        writer.write(head(200, b"content-length: 0\r\n"))
        assert await status(reader) == 200
        assert await reader.readexactly(1) == b"0"
        writer.write(b"POST / HTTP")
        assert await rest(reader) == b""


@on_loop
async def test_a_body_may_take_long_as_long_as_some_of_it_comes() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(SHORT.stall_s / 4)
            writer.write(b"z")
        assert await status(reader) == 200


@on_loop
async def test_a_client_that_waits_for_a_slow_answer_is_not_hung_up_on() -> None:
    async with serving() as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n" + b"z" * 300_000)
        assert await status(reader) == 200


@on_loop
async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async with serving() as (_, port):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
            await asyncio.sleep(5 * SHORT.stall_s)
            client.setblocking(False)
            assert await received_bytes(client) < ANSWER_BYTES


@on_loop
async def test_an_answer_that_is_taken_slowly_arrives_whole() -> None:
    async with serving() as (_, port):
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            client.setblocking(False)
            assert await received_bytes(client, pause_s=SHORT.stall_s / 50) > ANSWER_BYTES


async def received_bytes(client: socket.socket, pause_s: float = 0.0) -> int:
    """How much comes until the end, however that comes, read in small parts."""
    loop, total = asyncio.get_running_loop(), 0
    try:
        while part := await asyncio.wait_for(loop.sock_recv(client, 64 * 1024), LONG_S):
            total += len(part)
            await asyncio.sleep(pause_s)
    except ConnectionError:
        pass
    return total


@on_loop
async def test_an_extra_listener_serves_a_bounded_number_of_connections_at_a_time() -> None:
    async with serving(Patience()) as (server, main_port):
        extra = bind("127.0.0.1", 0)
        port = extra.getsockname()[1]
        stop = server.listen(extra)
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_EXTRA_CONNECTIONS)]
        async with connected(port) as (reader, _):
            assert await rest(reader) == b""
        async with connected(main_port) as (reader, writer):
            writer.write(head(200, b"content-length: 0\r\n"))
            assert await status(reader) == 200
        stop()
        for reader, writer in held:
            assert await rest(reader) == b""
            writer.transport.abort()


@on_loop
async def test_a_listener_that_is_closed_accepts_nobody_any_more() -> None:
    async with serving() as (server, _):
        extra = bind("127.0.0.1", 0)
        port = extra.getsockname()[1]
        stop = server.listen(extra)
        async with connected(port) as (reader, writer):
            writer.write(head(200, b"content-length: 0\r\n"))
            assert await status(reader) == 200
        stop()
        with pytest.raises(ConnectionError):
            while True:
                async with connected(port):
                    await asyncio.sleep(0.01)


REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@on_loop
async def test_a_server_that_retires_answers_each_connection_once_more_and_says_that_it_is_the_last_time() -> None:
    async with serving() as (server, port), connected(port) as (kept, to_kept), connected(port) as (busy, to_busy):
        to_kept.write(REQUEST)
        assert b"connection: close" not in await kept.readuntil(b"\r\n\r\n0")
        to_busy.write(REQUEST.replace(b"/ ", b"/slow "))
        retiring = asyncio.create_task(server.retire(LONG_S))
        assert b"connection: close" in await rest(busy)
        with pytest.raises(ConnectionRefusedError):
            await until_refused(port)
        assert not retiring.done()
        to_kept.write(REQUEST)
        assert b"connection: close" in await rest(kept)
        await asyncio.wait_for(retiring, 1)


@on_loop
async def test_a_server_that_retires_waits_for_connections_without_a_request_for_a_bounded_time() -> None:
    async with serving() as (server, port), connected(port) as (idle, _):
        await asyncio.wait_for(server.retire(0.1), 2)
        await server.aclose()
        assert await rest(idle) == b""


@on_loop
async def test_nobody_who_gets_a_connection_to_a_server_that_retires_is_hung_up_on() -> None:
    async with serving() as (server, port):
        callers = [asyncio.create_task(asyncio.to_thread(call_until_refused, port)) for _ in range(4)]
        await asyncio.sleep(0.2)
        await server.retire(LONG_S)
        assert min(await asyncio.gather(*callers)) > 0


async def until_refused(port: int) -> None:
    """Raises ConnectionRefusedError, within a few seconds."""
    async with asyncio.timeout(5):
        while True:
            async with connected(port):
                await asyncio.sleep(0.05)


def call_until_refused(port: int) -> int:
    """How many calls were answered, each on a connection of its own. Raises OSError when one is hung up on."""
    for answered in itertools.count():
        try:
            connection = socket.create_connection(("127.0.0.1", port), LONG_S)
        except ConnectionRefusedError:
            return answered
        with connection:
            connection.sendall(REQUEST)
            if not connection.recv(4096):
                raise ConnectionError("no answer")
    raise AssertionError
