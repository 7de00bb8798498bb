"""What follows from the answer to a fire. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sabayon.provider.alarms.timer import AUTO, Reason, Timer

MAX_RETRIES: Final = 10
UNREACHABLE: Final = 0
"""Stands for the status when there was no answer."""
_TEMPORARY: Final = (408, 409, 429)
_THROTTLED: Final = 429


@dataclass(frozen=True)
class Done:
    """The trigger was fired."""


@dataclass(frozen=True)
class Retry:
    """The same fire is tried once more."""

    delay_s: float


@dataclass(frozen=True)
class Dropped:
    """This fire is given up, the timer goes on."""


@dataclass(frozen=True)
class Disabled:
    """The timer must stop."""

    reason: Reason


Verdict = Done | Retry | Dropped | Disabled


def verdict(status: int, attempts: int, throttled: int) -> Verdict:
    """After the `attempts`-th attempt was answered with `status`; `throttled` of them were refused by a throttle."""
    if UNREACHABLE < status < 400:
        return Done()
    if is_final(status):
        text = f"Trigger automatically disabled: Received a {status} status code when firing the trigger"
        return Disabled(Reason(AUTO, text, status))
    if attempts <= MAX_RETRIES:
        return Retry(max(1.0, float(throttled * throttled)))
    if throttled == attempts:
        text = "Automatically disabled after continuously receiving a 429 status code when firing the trigger"
        return Disabled(Reason(AUTO, text, _THROTTLED))
    return Dropped()


def is_throttled(status: int) -> bool:
    return status == _THROTTLED


def is_final(status: int) -> bool:
    """Whether trying again cannot help."""
    return 400 <= status < 500 and status not in _TEMPORARY


def reason_to_end(timer: Timer) -> Reason | None:
    """Why `timer`, just fired and counted, does not fire again; None while it does."""
    if timer.kind == "once":
        return Reason(AUTO, "Automatically disabled after firing once")
    if 0 < timer.max_triggers <= timer.fired:
        return Reason(AUTO, "Automatically disabled after reaching max triggers")
    if timer.due_ms is None:
        return Reason(AUTO, f"Automatically disabled after firing last scheduled {timer.kind} trigger")
    return None
