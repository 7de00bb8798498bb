"""What comes after an attempt: the end, or another one. Pure: the clock and the dice are passed in."""

from __future__ import annotations

from typing import Final, NamedTuple

from sabayon.entity.activation import Outcome
from sabayon.entity.delivery import Delivery, History, Policy

RETRY_BASE_MS: Final = 1_000
RETRY_MOST_MS: Final = 10 * 60_000
"""Between attempts of a function that fails: about a second, doubled each time, at most this."""

FAULT_BASE_MS: Final = 500
FAULT_MOST_MS: Final = 60_000
"""The same after a fault of the platform's own, which may be over soon."""

EXHAUSTED: Final = "its function failed, and its retries are used up"
TOO_OLD: Final = "it is older than the max-age of its action"
INTERRUPTED: Final = "the platform failed while it may have been running, and it is delivered at most once"
CANNOT_RUN: Final = "the platform cannot run it"


class Ending(NamedTuple):
    """How one attempt ended.

    has_begun: whether the function may have been called. is_hopeless: the platform has failed, and will each time.
    is_final: nothing is to follow, whatever its author allowed: it was cancelled.
    """

    outcome: Outcome
    has_begun: bool
    is_hopeless: bool = False
    is_final: bool = False


class Settle(NamedTuple):
    """It ends with a record. reason: why it is a dead letter besides, None if it is none."""

    reason: str | None = None


class Retry(NamedTuple):
    """It is tried again at `due_ms`, with that behind it."""

    due_ms: int
    history: History


def after(
    policy: Policy, ending: Ending, history: History, *, since_ms: int, now_ms: int, chance: float
) -> Settle | Retry:
    """What follows on an attempt that ended. since_ms: when it was due first. chance: at random, from 0 to 1.

    Faults of the platform do not count against the retries that its author allowed.
    """
    failures = history.failures
    if ending.outcome is Outcome.SUCCESS or ending.is_final:
        return Settle()
    if ending.outcome is Outcome.WHISK_ERROR:
        if ending.is_hopeless:
            return Settle(CANNOT_RUN)
        if ending.has_begun and policy.delivery is Delivery.AT_MOST_ONCE:
            return Settle(INTERRUPTED)
        delay_ms = backoff_ms(history.attempt - failures, FAULT_BASE_MS, FAULT_MOST_MS, chance)
    else:
        failures += 1
        if failures > policy.retries:
            return Settle(EXHAUSTED if policy.keeps_failures else None)
        delay_ms = backoff_ms(failures, RETRY_BASE_MS, RETRY_MOST_MS, chance)
    due_ms = now_ms + delay_ms
    if due_ms > since_ms + policy.max_age_ms:
        return Settle(TOO_OLD)
    return Retry(due_ms, History(history.attempt + 1, failures, history.earlier))


def before(policy: Policy, *, lost: int, since_ms: int, now_ms: int) -> Settle | None:
    """Why something out of the journal is not run any more, None if it is.

    lost: attempts of which nothing is known but that they were begun: the platform was killed meanwhile.
    """
    if lost and policy.delivery is Delivery.AT_MOST_ONCE:
        return Settle(INTERRUPTED)
    if now_ms > since_ms + policy.max_age_ms:
        return Settle(TOO_OLD)
    return None


def backoff_ms(number: int, base_ms: int, most_ms: int, chance: float) -> int:
    """How long to wait after failure `number`, from 1: half of it is certain, so that none follows at once."""
    full = min(most_ms, base_ms << min(number - 1, 32))
    return full // 2 + round(full / 2 * chance)
