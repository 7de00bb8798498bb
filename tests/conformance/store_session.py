"""A store of any driver for one test, and a record to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Raw

from sabayon.entity.activation import Activation, Outcome, Response
from sabayon.entity.parameters import parameter
from sabayon.store.memory import MemoryStore
from sabayon.store.postgres import PostgresStore
from sabayon.store.sqlite import SqliteStore

Session = Callable[[Callable[[Any], Awaitable[None]]], None]


def session_on(driver: str, path: Path, url: str) -> Session:
    """Runs a coroutine function with an open store of `driver`; the next one finds what it left."""
    memory = MemoryStore()

    async def open_store() -> Any:
        if driver == "memory":
            return memory
        return await (SqliteStore.open(path) if driver == "sqlite" else PostgresStore.open(url))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        store = await open_store()
        try:
            yield store
        finally:
            await store.aclose()

    def run(body: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with opened() as store:
                await body(store)

        asyncio.run(main())

    return run  # type: ignore[return-value]


def activation(number: int, *, namespace: str = "ns", name: str = "a", start: int = 0, path: str = "") -> Activation:
    return Activation(
        activation_id=f"{number:032x}",
        annotations=(parameter("path", path or f"{namespace}/{name}"),),
        name=name,
        namespace=namespace,
        start=start,
        end=start + 1,
        duration=1,
        logs=("line",),
        response=Response(Outcome.SUCCESS, Raw(b'{"n":1}')),
        subject="someone",
        version="0.0.1",
    )
