"""Limits: what one action asks for, what the system allows, what a namespace is granted.

Units are the wire's: memory and logs in MB (1,048,576 bytes), time in milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from sabayon import messages
from sabayon.errors import Rejection

MB: Final = 1024 * 1024
N = TypeVar("N", int, float)


class MalformedLimits(ValueError):
    """The `limits` object cannot be read; the text is the contract's detail."""


class ActionLimits(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an action runs with.

    `concurrency` is how many activations one container takes at once; `instances` is kept for those who read it.
    """

    concurrency: int = 1
    instances: int | UnsetType = UNSET
    logs: int = 10
    memory: int = 256
    timeout: int = 60_000


class Bounds(msgspec.Struct, frozen=True):
    """Inclusive bounds and the default in between."""

    minimum: int
    maximum: int
    standard: int


class SystemLimits(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What this platform allows at most. Each field is a setting."""

    timeout_ms: Bounds = Bounds(100, 300_000, 60_000)
    memory_mb: Bounds = Bounds(128, 512, 256)
    logs_mb: Bounds = Bounds(0, 10, 10)
    concurrency: Bounds = Bounds(1, 500, 1)
    code_bytes: int = 48 * MB
    parameters_bytes: int = MB
    payload_bytes: int = MB
    truncation_bytes: int = MB
    sequence_length: int = 50
    list_standard: int = 30
    list_maximum: int = 200
    invocations_per_minute: int = 100_000
    concurrent_invocations: int = 1_000
    fires_per_minute: int = 100_000


class NamespaceLimits(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", cache_hash=True):
    """Overrides for one namespace; None leaves the system's value. Clamped to the system's bounds when used.

    Timeouts of actions are in ms, memory and logs in MB, sizes in bytes.
    warmed_container_keeping_count, _timeout: how many idle containers of an action outlive the keep-alive time, and by
    how many seconds.
    """

    allowed_kinds: tuple[str, ...] | None = None
    concurrent_invocations: int | None = None
    fires_per_minute: int | None = None
    invocations_per_minute: int | None = None
    max_action_concurrency: int | None = None
    max_action_logs: int | None = None
    max_action_memory: int | None = None
    max_action_timeout: int | None = None
    max_parameter_size: int | None = None
    max_payload_size: int | None = None
    min_action_concurrency: int | None = None
    min_action_logs: int | None = None
    min_action_memory: int | None = None
    min_action_timeout: int | None = None
    store_activations: bool | None = None
    truncation_size: int | None = None
    warmed_container_keeping_count: int | None = None
    warmed_container_keeping_timeout: int | None = None


class KeptWarm(msgspec.Struct, frozen=True):
    """How many idle containers of one action are kept for longer than others, and for how much longer."""

    count: int = 0
    extra_s: float = 0.0


class EffectiveLimits(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What holds for one namespace: the system's limits narrowed by its overrides."""

    timeout_ms: Bounds
    memory_mb: Bounds
    logs_mb: Bounds
    concurrency: Bounds
    parameters_bytes: int
    payload_bytes: int
    truncation_bytes: int
    invocations_per_minute: int
    concurrent_invocations: int
    fires_per_minute: int
    store_activations: bool
    kept_warm: KeptWarm


STANDARD_KEPT: Final = KeptWarm(count=1, extra_s=600)
"""What holds for the one of both that a namespace does not set."""


@lru_cache(maxsize=1024)
def effective_limits(system: SystemLimits, own: NamespaceLimits) -> EffectiveLimits:
    """The limits in force for a namespace with the overrides `own`."""
    return EffectiveLimits(
        timeout_ms=_narrow(system.timeout_ms, own.min_action_timeout, own.max_action_timeout),
        memory_mb=_narrow(system.memory_mb, own.min_action_memory, own.max_action_memory),
        logs_mb=_narrow(system.logs_mb, own.min_action_logs, own.max_action_logs),
        concurrency=_narrow(system.concurrency, own.min_action_concurrency, own.max_action_concurrency),
        parameters_bytes=_least(system.parameters_bytes, own.max_parameter_size),
        payload_bytes=_least(system.payload_bytes, own.max_payload_size),
        truncation_bytes=_least(system.truncation_bytes, own.truncation_size),
        invocations_per_minute=_either(own.invocations_per_minute, system.invocations_per_minute),
        concurrent_invocations=_either(own.concurrent_invocations, system.concurrent_invocations),
        fires_per_minute=_either(own.fires_per_minute, system.fires_per_minute),
        store_activations=own.store_activations is not False,
        kept_warm=_kept_warm(own),
    )


def _kept_warm(own: NamespaceLimits) -> KeptWarm:
    count, extra_s = own.warmed_container_keeping_count, own.warmed_container_keeping_timeout
    if count is None and extra_s is None:
        return KeptWarm()
    return KeptWarm(_either(count, STANDARD_KEPT.count), _either(extra_s, STANDARD_KEPT.extra_s))


def _narrow(bounds: Bounds, minimum: int | None, maximum: int | None) -> Bounds:
    low = bounds.minimum if minimum is None else max(minimum, bounds.minimum)
    high = _least(bounds.maximum, maximum)
    return Bounds(low, high, min(max(bounds.standard, low), high))


def _least(system: int, own: int | None) -> int:
    return system if own is None else min(system, own)


def _either(own: N | None, system: N) -> N:
    return system if own is None else own


class LimitsPatch(msgspec.Struct, frozen=True, kw_only=True):
    """The limits a PUT body mentions; None for those it does not."""

    concurrency: int | None = None
    instances: int | None = None
    logs: int | None = None
    memory: int | None = None
    timeout: int | None = None

    def over(self, base: ActionLimits) -> ActionLimits:
        """`base` with the mentioned limits replaced."""
        mentioned = {f: v for f in self.__struct_fields__ if (v := getattr(self, f)) is not None}
        return msgspec.structs.replace(base, **mentioned)


_MALFORMED = {
    "concurrency": ("concurrency", "intra concurrency"),
    "instances": ("instance concurrency", "instance concurrency"),
    "logs": ("log", "log"),
    "memory": ("memory", "memory"),
    "timeout": ("time", "time"),
}


def parse_limits(body: Any) -> LimitsPatch:
    """The `limits` object of a body. Whole numbers may be written `60000.0`. Raises MalformedLimits."""
    if not isinstance(body, dict):
        raise MalformedLimits("Object expected in field 'limits'")
    known = {f: v for f in LimitsPatch.__struct_fields__ if (v := body.get(f)) is not None}
    return LimitsPatch(**{field: _whole(field, value) for field, value in known.items()})


def _whole(field: str, value: Any) -> int:
    malformed, whole = _MALFORMED[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedLimits(f"{malformed} limit malformed")
    if value != value // 1:
        raise MalformedLimits(f"requirement failed: {whole} limit must be whole number")
    if value < 0 and field in ("logs", "memory"):
        raise MalformedLimits(messages.NEGATIVE_SIZE)
    if value < 0 and field == "instances":
        raise MalformedLimits(messages.NEGATIVE_INSTANCES)
    return int(value)


def check_limits(patch: LimitsPatch, allowed: EffectiveLimits) -> None:
    """Raises Rejection 400 when a mentioned limit is out of bounds; those not mentioned are not checked."""
    if text := limits_out_of_bounds(patch, allowed):
        raise Rejection(400, f"requirement failed: {text}")
    if patch.instances is not None and patch.instances > allowed.concurrent_invocations:
        raise Rejection(400, messages.instances_exceed(allowed.concurrent_invocations))


@lru_cache(maxsize=1024)
def limits_out_of_bounds(limits: LimitsPatch | ActionLimits, allowed: EffectiveLimits) -> str | None:
    """Which of `limits` is the first that is not allowed; None when all are, or are not mentioned."""
    checks = (
        (limits.timeout, allowed.timeout_ms, "duration {} milliseconds", "{} milliseconds"),
        (limits.memory, allowed.memory_mb, "memory size {} MB", "{} MB"),
        (limits.logs, allowed.logs_mb, "log size {} MB", "{} MB"),
        (limits.concurrency, allowed.concurrency, "concurrency {}", "{}"),
    )
    for value, bounds, what, unit in checks:
        if value is not None and not bounds.minimum <= value <= bounds.maximum:
            verb, threshold = ("exceeds", bounds.maximum) if value > bounds.maximum else ("below", bounds.minimum)
            return f"{what.format(value)} {verb} allowed threshold of {unit.format(threshold)}"
    return None
