"""The platform as a timer sees it: its own REST API, asked with the owner's key."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol
from urllib.parse import quote

from sabayon.client import ConnectionFailed, Response
from sabayon.provider.alarms.clock import Clock
from sabayon.provider.alarms.firing import UNREACHABLE
from sabayon.provider.alarms.timer import Timer

logger = logging.getLogger("sabayon.alarms")

THREADS: Final = 16
_RETRIES: Final = 5
_RETRY_DELAY_S: Final = 1.0
_CONFLICT: Final = 409


class Platform(Protocol):
    """What timers need of it."""

    async def namespace_of(self, auth_key: str) -> tuple[int, str]:
        """HTTP status, and the namespace of a key."""
        ...

    async def check_trigger(self, namespace: str, name: str, auth_key: str) -> int:
        """The status of reading a trigger: 200 when the key has the right to."""
        ...

    async def fire(self, timer: Timer) -> int:
        """The status of firing, `UNREACHABLE` when there is no answer."""
        ...

    async def remove_trigger(self, timer: Timer, *, with_rules: bool) -> None:
        """Delete the timer's trigger, and the rules on it."""
        ...


class RestClient(Protocol):
    """What is asked of `sabayon.client.Client`."""

    def with_key(self, auth_key: str) -> RestClient: ...

    def request(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Raises ConnectionFailed."""
        ...


class RestPlatform:
    """Over HTTP, in threads of its own: the client blocks."""

    def __init__(self, client: RestClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="alarms")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def namespace_of(self, auth_key: str) -> tuple[int, str]:
        response = await self._request(auth_key, "GET", "namespaces")
        names = _json(response)
        return (response.status if response else UNREACHABLE), names[0] if isinstance(names, list) and names else ""

    async def check_trigger(self, namespace: str, name: str, auth_key: str) -> int:
        response = await self._request(auth_key, "GET", _route(namespace, "triggers", name))
        return response.status if response else UNREACHABLE

    async def fire(self, timer: Timer) -> int:
        route = _route(timer.namespace, "triggers", timer.name)
        # It is due until it has been fired: who is killed in between leaves it to one who does not know.
        headers = {"Idempotency-Key": f"alarm-{timer.changed_ms}"} if timer.kind == "once" else None
        response = await self._request(timer.auth_key, "POST", route, timer.payload, headers)
        return response.status if response else UNREACHABLE

    async def remove_trigger(self, timer: Timer, *, with_rules: bool) -> None:
        route = _route(timer.namespace, "triggers", timer.name)
        rules: list[str] = []
        if with_rules:
            trigger = _json(await self._request(timer.auth_key, "GET", route))
            rules = list(trigger.get("rules") or ()) if isinstance(trigger, dict) else []
        for rule in rules:
            namespace, _, name = rule.rpartition("/")
            await self._delete(timer.auth_key, _route(namespace, "rules", name))
        await self._delete(timer.auth_key, route)

    async def _delete(self, auth_key: str, route: str) -> None:
        for retries_left in range(_RETRIES, -1, -1):
            response = await self._request(auth_key, "DELETE", route)
            if response is None or response.status != _CONFLICT:
                return
            if retries_left:
                await self._clock.sleep(_RETRY_DELAY_S)
        logger.warning("%s could not be deleted: it is changed all the time", route)

    async def _request(
        self, auth_key: str, method: str, route: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response | None:
        request = functools.partial(self._client.with_key(auth_key).request, method, route, body=body, headers=headers)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, request)
        except ConnectionFailed as error:
            logger.warning("%s", error)
            return None


def _route(namespace: str, collection: str, name: str) -> str:
    return f"namespaces/{quote(namespace, safe='')}/{collection}/{quote(name, safe='')}"


def _json(response: Response | None) -> Any:
    try:
        return response.json() if response and response.is_success else None
    except ValueError:
        return None
