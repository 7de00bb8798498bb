"""Clients that invoke without waiting for results, write down what they are told, and survive the platform's deaths."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from tests.acceptance.running import Platform
from tests.faults.history import Record, Told

CLIENTS: Final = 32
REFUSED: Final = (429, 503)
_BREATH_S: Final = 0.01
"""Before a client that was refused, or found nobody, tries again."""


class Target(NamedTuple):
    """Where a platform is that runs now, and the action that is invoked."""

    host: str
    port: int
    key: str
    action: str

    @classmethod
    def of(cls, platform: Platform, action: str) -> Target:
        address = urlsplit(platform.api_host)
        assert address.hostname
        assert address.port
        return cls(address.hostname, address.port, platform.auth, action)


class CheckedLoad:
    """Sends each number once, with what `payload` gives for it. Where no answer came, it is not sent again."""

    def __init__(self, numbers: Iterable[int], payload: Callable[[int], dict[str, Any]]) -> None:
        self._numbers = iter(numbers)
        self._payload = payload
        self._targets: Iterator[Target] = iter(())
        self._is_up = asyncio.Event()
        self._news = asyncio.Condition()
        self.told: list[Told] = []
        self.unanswered: list[int] = []
        self.refused: Counter[int] = Counter()
        self.wrong: list[str] = []

    def aim(self, *targets: Target) -> None:
        """Send to these from now on, each connection to the next of them; without any there is none at present."""
        self._targets = itertools.cycle(targets)
        if targets:
            self._is_up.set()
        else:
            self._is_up.clear()

    @property
    def accepted(self) -> int:
        """So far."""
        return len(self.told)

    async def until_told(self, number: int) -> None:
        """Until so many were accepted."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.told) >= number)

    async def run(self) -> None:
        """Until all numbers were sent."""
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))
        async with self._news:
            self._news.notify_all()

    async def _client(self) -> None:
        while (number := next(self._numbers, None)) is not None:
            await self._is_up.wait()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with _connected(next(self._targets, None)) as exchange:
                    while number is not None:
                        number = await self._sent(exchange, number)
            await asyncio.sleep(_BREATH_S)

    async def _sent(self, exchange: Exchange, number: int) -> int | None:
        """The next number, None when there is none. Raises when there was no answer."""
        try:
            status, body = await exchange(self._payload(number))
        except (OSError, asyncio.IncompleteReadError):
            self.unanswered.append(number)
            raise
        if status in REFUSED:
            self.refused[status] += 1
            await asyncio.sleep(_BREATH_S)
            return number
        if status == 202:
            self.told.append(Told(number, body["activationId"]))
            async with self._news:
                self._news.notify_all()
        else:
            self.wrong.append(f"{number}: {status} {body}")
        return next(self._numbers, None)


class Exchange:
    """One connection, on which one request follows the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target) -> None:
        self._reader = reader
        self._writer = writer
        key = base64.b64encode(target.key.encode()).decode()
        self._head = (
            f"POST /api/v1/namespaces/_/actions/{target.action} HTTP/1.1\r\nHost: checked\r\n"
            f"Authorization: Basic {key}\r\nContent-Type: application/json\r\nContent-Length: "
        )

    async def __call__(self, payload: dict[str, Any]) -> tuple[int, Any]:
        """Status and body. Raises OSError, IncompleteReadError."""
        text = json.dumps(payload)
        self._writer.write(f"{self._head}{len(text)}\r\n\r\n{text}".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n", 1)[0])
        return int(head.split(" ", 2)[1]), json.loads(await self._reader.readexactly(length))


@contextlib.asynccontextmanager
async def _connected(target: Target | None) -> AsyncIterator[Exchange]:
    if target is None:
        raise ConnectionError("there is no platform")
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        yield Exchange(reader, writer, target)
    finally:
        writer.close()


def records(platform: Platform, action: str) -> list[Record]:
    """All records of that action, page by page."""
    found: list[Record] = []
    while True:
        path = f"/namespaces/_/activations?name={action}&docs=true&limit=200&skip={len(found)}"
        page = platform.request("GET", path).json
        found += [_record(one) for one in page]
        if not page:
            return found


def _record(document: dict[str, Any]) -> Record:
    response = document["response"]
    result = response["result"]
    number = result.get("n") if isinstance(result, dict) else None
    return Record(document["activationId"], number, bool(response["success"]))
