"""A client that speaks to an ASGI application without a network between."""

from __future__ import annotations

import asyncio
import base64
import json as json_module
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An answer; headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def error(self) -> str:
        """The sentence of an error body."""
        return str(self.json["error"])


class AsgiClient:
    """Requests to one application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        auth: str | None = None,
        arrival: asyncio.Event | None = None,
        on_send: Callable[[], None] = lambda: None,
    ) -> Answer:
        """path: with its query. json: sent as the body with its content type. auth: `UUID:KEY`.

        arrival: of the body. on_send: called with each piece of the answer.
        """
        sent = dict(headers or {})
        if json is not None:
            body = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        if body is not None:
            sent.setdefault("Content-Length", str(len(body)))
        if auth is not None:
            sent.setdefault("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        }
        events: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if arrival is not None:
                await arrival.wait()
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            events.append(event)
            on_send()

        await self._app(scope, receive, send)
        start = events[0]
        received = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], received_lower(received), b"".join(event["body"] for event in events[1:]))


def received_lower(headers: dict[str, str]) -> dict[str, str]:
    """Header names as they compare: without case."""
    return {name.lower(): value for name, value in headers.items()}
