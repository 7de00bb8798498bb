"""The API where another process serves it: bytes go to and fro, and nobody takes more than a share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from sabayon.errors import OperatorError
from sabayon.relay import MAX_CONNECTIONS, Relay, Upstream, upstream


def listening() -> tuple[socket.socket, int]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock, sock.getsockname()[1]


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
    await close(writer)


Test = Callable[[int, Callable[[], None]], Awaitable[None]]


def play(test: Test) -> None:
    """Runs `test` with the port of a relay to a server that shouts back, and how to stop it."""

    async def main() -> None:
        sock, port = listening()
        async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
            target = Upstream("127.0.0.1", server.sockets[0].getsockname()[1], False)
            stop = Relay(target).listen(sock)
            await asyncio.wait_for(test(port, stop), 10)
            stop()
            await asyncio.sleep(0)
        await quiet()

    asyncio.run(main())


async def quiet() -> None:
    """Until nothing is under way any more, and all that was closed is."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    for _ in range(3):
        await asyncio.sleep(0)


async def say(port: int, text: bytes) -> bytes:
    """The answer; none from who hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        answer = await reader.readline()
    await close(writer)
    return answer


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_what_is_said_is_answered_by_who_is_behind_it() -> None:
    async def test(port: int, stop: Callable[[], None]) -> None:
        assert await asyncio.gather(*(say(port, b"hello %d\n" % n) for n in range(20))) == [
            b"HELLO %d\n" % n for n in range(20)
        ]

    play(test)


def test_one_listener_has_a_bounded_number_of_connections() -> None:
    async def test(port: int, stop: Callable[[], None]) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        for reader, writer in held:
            writer.write(b"x\n")
            assert await reader.readline() == b"X\n"
        assert await say(port, b"one too many\n") == b""
        for _, writer in held:
            await close(writer)

    play(test)


def test_who_stops_it_hangs_up_on_its_clients() -> None:
    async def test(port: int, stop: Callable[[], None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x\n")
        assert await reader.readline() == b"X\n"
        stop()
        assert await reader.read() == b""
        await close(writer)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    play(test)


@pytest.mark.parametrize("is_there", [True, False])
def test_where_there_is_no_api_the_connection_ends(is_there: bool) -> None:
    async def main() -> None:
        gone, gone_port = listening()
        gone.close()
        sock, port = listening()
        stop = Relay(Upstream("127.0.0.1", gone_port, False) if is_there else None).listen(sock)
        assert await say(port, b"hello\n") == b""
        stop()
        await quiet()

    asyncio.run(main())


def test_the_setting_is_a_plain_address() -> None:
    assert upstream("http://a:3233") == ("a", 3233, False)
    assert upstream("https://[::1]") == ("::1", 443, True)
    for wrong in ("a:3233", "ftp://a", "http://", "http://a/path", "http://u:p@a", "http://a:port"):
        with pytest.raises(OperatorError, match="the setting api"):
            upstream(wrong)
