"""What follows from the start of the platform, from a point of the schedule, from the answer to a fire. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from sabayon.provider.alarms.schedule import moment_ms, next_due
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


def reason_at_start(timer: Timer, now_ms: int) -> Reason | None:
    """Why `timer`, active in an earlier run, is not taken up again; None when it is.

    One that fell due meanwhile is, unless its stop date has passed as well.
    """
    if timer.due_ms is None:
        return reason_to_end(timer)
    if timer.stop_date is not None and moment_ms(timer.stop_date) <= now_ms:
        return failed("initialization", "the stop date has expired")
    return None


def begun(timer: Timer, now_ms: int) -> Timer:
    """`timer` once it is being fired: counted, and due again at the first point of its schedule after `now_ms`.

    Raises ValueError when the schedule cannot be read.
    """
    fired = timer.fired + 1
    is_last = 0 < timer.max_triggers <= fired
    return replace(timer, fired=fired, due_ms=None if is_last else next_due(timer, now_ms))


def dropped(timer: Timer, now_ms: int) -> Timer:
    """`timer` when a fire was given up: another one takes its place in the count."""
    fewer = replace(timer, fired=timer.fired - 1)
    is_due_again = timer.due_ms is None and timer.max_triggers > 0
    return replace(fewer, due_ms=next_due(fewer, now_ms)) if is_due_again else fewer


def reason_to_end(timer: Timer) -> Reason | None:
    """Why `timer`, fired as often as it was due, does not fire again; None while it does."""
    if timer.due_ms is not None:
        return None
    if timer.kind == "once":
        return Reason(AUTO, "Automatically disabled after firing once")
    if 0 < timer.max_triggers <= timer.fired:
        return Reason(AUTO, "Automatically disabled after reaching max triggers")
    return Reason(AUTO, f"Automatically disabled after firing last scheduled {timer.kind} trigger")


def failed(stage: str, error: str) -> Reason:
    """The timer cannot be scheduled. stage: `initialization` or `creation`."""
    return Reason(AUTO, f"Automatically disabled after receiving error on trigger {stage}: {error}")
