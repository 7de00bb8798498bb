"""The provider's own small API, which the feed actions call with their caller's key.

`/provider/alarms/v1/triggers/{namespace}/{name}` with POST, GET, PUT and DELETE for the four
events in a feed's life. Whoever may read the trigger with the given key may do all of them.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import unquote

import msgspec

from sabayon.provider.alarms.clock import Clock
from sabayon.provider.alarms.firing import UNREACHABLE
from sabayon.provider.alarms.platform import Platform
from sabayon.provider.alarms.timer import Timer
from sabayon.provider.alarms.validation import Invalid, Owner, Policy, new_timer, updated_timer

PREFIX: Final = ("provider", "alarms", "v1", "triggers")
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
OWN: Final = "_"
_NOT_AUTHENTICATED: Final = "Trigger authentication request failed."

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, dict[str, Any]]

_DONE: Final[Answer] = (200, {"status": "success"})
_FAILURES: Final = {
    "POST": "error creating alarm trigger.",
    "GET": "there was an error while reading the trigger from the database.",
    "PUT": "there was an error while updating the trigger in the database.",
    "DELETE": "there was an error while deleting the trigger from the database.",
}

logger = logging.getLogger("sabayon.alarms")


class _Refused(Exception):
    def __init__(self, status: int, text: str, **more: str) -> None:
        super().__init__(text)
        self.answer: Answer = (status, {"error": text, **more})


class Timers(Protocol):
    """Those there are, by `namespace/name` of their triggers."""

    async def started(self) -> None:
        """Wait until the timers of earlier runs are known."""
        ...

    async def read(self, key: str) -> Timer | None: ...

    async def put(self, timer: Timer) -> None:
        """Keep `timer` in place of the one of its trigger."""
        ...

    async def remove(self, key: str) -> None: ...


class AlarmsApi:
    """ASGI application."""

    def __init__(self, timers: Timers, platform: Platform, clock: Clock, policy: Policy = Policy()) -> None:  # noqa: B008
        self._timers = timers
        self._platform = platform
        self._clock = clock
        self._policy = policy

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            status, document = await self._respond(scope, receive)
        except _Refused as refused:
            status, document = refused.answer
        except Invalid as invalid:
            status, document = 400, {"error": str(invalid)}
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            status, document = 500, {"error": _FAILURES.get(scope["method"], "internal error")}
        body = msgspec.json.encode(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: dict[str, Any], receive: Receive) -> Answer:
        segments = [unquote(part) for part in scope["raw_path"].decode("latin-1").split("/")[1:]]
        if tuple(segments[:4]) != PREFIX or len(segments) != 6 or not all(segments[4:]):
            raise _Refused(404, "no trigger name parameter was provided")
        handler = {"POST": self._create, "GET": self._read, "PUT": self._update, "DELETE": self._delete}.get(
            scope["method"]
        )
        if handler is None:
            raise _Refused(405, "unsupported lifecycleEvent")
        auth_key = _auth_key(scope)
        given = await _parameters(receive)
        namespace = segments[4] if segments[4] != OWN else await self._own_namespace(auth_key)
        owner = Owner(namespace, segments[5], auth_key)
        if scope["method"] == "POST":
            # A timer that cannot be is refused whoever asks, as ever.
            new_timer(owner, given, self._clock.now_ms(), self._policy)
        await self._check(owner, is_gone_tolerated=scope["method"] == "DELETE")
        await self._timers.started()
        return await handler(owner, given)

    async def _own_namespace(self, auth_key: str) -> str:
        status, namespace = await self._platform.namespace_of(auth_key)
        if not namespace:
            raise _not_authenticated(status)
        return namespace

    async def _check(self, owner: Owner, *, is_gone_tolerated: bool) -> None:
        """Raises _Refused unless the key has a right to the trigger."""
        status = await self._platform.check_trigger(*owner)
        if status != 200 and not (status == 404 and is_gone_tolerated):
            raise _not_authenticated(status)

    async def _create(self, owner: Owner, given: dict[str, Any]) -> Answer:
        await self._timers.put(new_timer(owner, given, self._clock.now_ms(), self._policy))
        return _DONE

    async def _read(self, owner: Owner, given: dict[str, Any]) -> Answer:
        return 200, _view(await self._find(owner))

    async def _update(self, owner: Owner, given: dict[str, Any]) -> Answer:
        timer = updated_timer(await self._find(owner), given, self._clock.now_ms(), self._policy)
        await self._timers.put(msgspec.structs.replace(timer, auth_key=owner.auth_key))
        return _DONE

    async def _delete(self, owner: Owner, given: dict[str, Any]) -> Answer:
        await self._timers.remove((await self._find(owner)).key)
        return _DONE

    async def _find(self, owner: Owner) -> Timer:
        timer = await self._timers.read(f"{owner.namespace}/{owner.name}")
        if timer is None:
            raise _Refused(404, f"could not find trigger /{owner.namespace}/{owner.name} in the database")
        return timer


def _view(timer: Timer) -> dict[str, Any]:
    """A timer as its owner sees it; the key is not shown."""
    config = {
        "name": timer.name,
        "namespace": timer.namespace,
        "payload": timer.payload,
        "strict": timer.strict,
        "date": timer.date,
        "deleteAfterFire": timer.delete_after_fire,
        "startDate": timer.start_date,
        "stopDate": timer.stop_date,
        "minutes": timer.minutes,
        "cron": timer.cron,
        "timezone": timer.timezone,
    }
    changed = datetime.fromtimestamp(timer.changed_ms // 1000, UTC)
    status: dict[str, Any] = {
        "active": timer.is_active,
        "dateChanged": timer.changed_ms,
        "dateChangedISO": f"{changed:%Y-%m-%dT%H:%M:%SZ}",
    }
    if timer.reason is not None:
        status["reason"] = timer.reason
    return {"config": {key: value for key, value in config.items() if value is not None}, "status": status}


def _not_authenticated(status: int) -> _Refused:
    if status == UNREACHABLE:
        return _Refused(400, _NOT_AUTHENTICATED, message="the API host did not answer")
    return _Refused(status, _NOT_AUTHENTICATED)


def _auth_key(scope: dict[str, Any]) -> str:
    header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    scheme, _, encoded = header.partition(" ")
    try:
        key = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        key = ""
    if scheme.lower() != "basic" or ":" not in key:
        raise _Refused(401, _NOT_AUTHENTICATED)
    return key


async def _parameters(receive: Receive) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, "The parameters are too large.")
        if not message.get("more_body"):
            break
    try:
        given = msgspec.json.decode(body) if body else {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _Refused(400, "The parameters must be a JSON object.") from error
    if not isinstance(given, dict):
        raise _Refused(400, "The parameters must be a JSON object.")
    return given
