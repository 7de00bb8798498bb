"""What is kept of a timer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["cron", "interval", "once"]
Moment = int | str
"""A point in time as its owner wrote it: epoch ms, or ISO 8601."""

ADMIN = "ADMIN"
AUTO = "AUTO"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a timer is not active. kind: `AUTO` by the provider, `ADMIN` by an operator."""

    kind: str
    message: str
    statusCode: int | None = None  # noqa: N815 - as clients read it


class Timer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One trigger's schedule, as it is stored; it holds the owner's key, so it must not be logged.

    second: of the minute, where the cron pattern names none. fired: how often the trigger was fired. due_ms: when it is
    to fire next, None when never again.
    """

    namespace: str
    name: str
    auth_key: str
    kind: Kind
    payload: dict[str, Any]
    cron: str | None = None
    timezone: str | None = None
    strict: bool = False
    second: int = 0
    minutes: int | None = None
    date: Moment | None = None
    start_date: Moment | None = None
    stop_date: Moment | None = None
    delete_after_fire: str | None = None
    max_triggers: int = -1
    fired: int = 0
    due_ms: int | None = None
    changed_ms: int = 0
    reason: Reason | None = None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def is_active(self) -> bool:
        return self.reason is None

    def disabled(self, reason: Reason, now_ms: int) -> Timer:
        """The same, never due again until it is updated."""
        return msgspec.structs.replace(self, reason=reason, due_ms=None, changed_ms=now_ms)


_decoder = msgspec.json.Decoder(Timer)


def encode(timer: Timer) -> bytes:
    return msgspec.json.encode(timer)


def decode(document: bytes) -> Timer:
    """Raises msgspec.MsgspecError."""
    return _decoder.decode(document)
