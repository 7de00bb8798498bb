"""How an action wants its non-blocking activations delivered: annotations, and what became of earlier attempts."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from sabayon.entity.names import DEFAULT_NAMESPACE, EntityName, MalformedName, is_segment, parse_name
from sabayon.entity.parameters import Parameters, find, has

DELIVERY: Final = "delivery"
RETRIES: Final = "retries"
MAX_AGE: Final = "max-age"
ON_SUCCESS: Final = "on-success"
ON_FAILURE: Final = "on-failure"
ANNOTATIONS: Final = (DELIVERY, RETRIES, MAX_AGE, ON_SUCCESS, ON_FAILURE)

MOST_RETRIES: Final = 10
STANDARD_AGE_S: Final = 6 * 3600
GREATEST_AGE_S: Final = 7 * 24 * 3600

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_DURATION: Final = re.compile(r"(\d{1,9}) ?([smhd]?)", re.ASCII)


class MalformedPolicy(ValueError):
    """An annotation about delivery has no meaning; the text says which one and what it may be."""


class Delivery(StrEnum):
    """What the platform does when it failed itself while an activation may have been running."""

    AT_LEAST_ONCE = "at-least-once"
    AT_MOST_ONCE = "at-most-once"


class Policy(NamedTuple):
    """What holds for the non-blocking activations of one action.

    retries: how often it is run again after its function failed. max_age_ms: since it was due, after which no attempt
    is begun. on_success, on_failure: triggers fired with the record; the namespace `_` is the one that invoked.
    """

    delivery: Delivery = Delivery.AT_LEAST_ONCE
    retries: int = 0
    max_age_ms: int = STANDARD_AGE_S * 1000
    on_success: EntityName | None = None
    on_failure: EntityName | None = None

    @property
    def keeps_failures(self) -> bool:
        """Whether a function that failed for good leaves a dead letter: somebody has said that it matters."""
        return self.retries > 0 or self.on_failure is not None


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of an activation before this attempt.

    attempt: its number, from 1. failures: how many of the earlier ones ended because the function failed.
    earlier: log lines that tell how they ended.
    """

    attempt: int = 1
    failures: int = 0
    earlier: tuple[str, ...] = ()


FIRST: Final = History()


def parse_policy(annotations: Parameters, *, is_composite: bool) -> Policy:
    """The policy that `annotations` ask for; what is absent or null is standard. Raises MalformedPolicy.

    A sequence or a composition (`is_composite`) is by itself delivered at most once: what its first actions did is not
    undone. Who asks for retries lets it run again.
    """
    if not any(has(annotations, key) for key in ANNOTATIONS):
        return _COMPOSITE if is_composite else _STANDARD
    retries = _retries(find(annotations, RETRIES))
    may_repeat = retries > 0 or not is_composite
    standard = Delivery.AT_LEAST_ONCE if may_repeat else Delivery.AT_MOST_ONCE
    policy = Policy(
        _delivery(find(annotations, DELIVERY), standard),
        retries,
        _max_age_ms(find(annotations, MAX_AGE)),
        _destination(ON_SUCCESS, find(annotations, ON_SUCCESS)),
        _destination(ON_FAILURE, find(annotations, ON_FAILURE)),
    )
    if policy.delivery is Delivery.AT_MOST_ONCE and retries:
        raise MalformedPolicy("what is delivered 'at-most-once' cannot have 'retries'")
    return policy


_STANDARD: Final = Policy()
_COMPOSITE: Final = Policy(Delivery.AT_MOST_ONCE)


def _delivery(value: Any, standard: Delivery) -> Delivery:
    if value is None:
        return standard
    try:
        return Delivery(value)
    except ValueError as error:
        raise MalformedPolicy(f"'{DELIVERY}' must be 'at-least-once' or 'at-most-once'") from error


def _retries(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_RETRIES:
        raise MalformedPolicy(f"'{RETRIES}' must be a whole number from 0 to {MOST_RETRIES}")
    return value


def _max_age_ms(value: Any) -> int:
    if value is None:
        return STANDARD_AGE_S * 1000
    is_number = isinstance(value, int) and not isinstance(value, bool)
    match = _DURATION.fullmatch(str(value)) if is_number or isinstance(value, str) else None
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= GREATEST_AGE_S:
        raise MalformedPolicy(f"'{MAX_AGE}' must be seconds, or such as '90s', '15m', '6h' or '2d', up to 7 days")
    return seconds * 1000


def _destination(key: str, value: Any) -> EntityName | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and is_segment(value):
            return EntityName(value, DEFAULT_NAMESPACE)
        if isinstance(value, str) and value.startswith("/") and (name := parse_name(value)).package is None:
            return name
    except MalformedName:
        pass
    raise MalformedPolicy(f"'{key}' must name a trigger: 'trigger', '/_/trigger' or '/namespace/trigger'")
