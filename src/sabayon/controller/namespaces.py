"""Namespaces: which one a key selects, and what limits hold for it."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from sabayon.controller.call import Call
from sabayon.controller.http import Response, json_response

T = TypeVar("T")


class _LimitsView(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    allowed_kinds: tuple[str, ...] | UnsetType
    concurrent_invocations: int
    fires_per_minute: int
    invocations_per_minute: int
    max_action_concurrency: int
    max_action_instances: int
    max_action_logs: int
    max_action_memory: int
    max_action_timeout: int
    max_parameter_size: str
    max_payload_size: str | UnsetType
    min_action_concurrency: int
    min_action_logs: int
    min_action_memory: int
    min_action_timeout: int
    store_activations: bool | UnsetType
    truncation_size: str | UnsetType
    warmed_container_keeping_count: int | UnsetType
    warmed_container_keeping_timeout: str | UnsetType


async def list_namespaces(call: Call) -> Response:
    """`GET /namespaces`: the one that the key selects."""
    return json_response([call.identity.namespace])


async def read_limits(call: Call) -> Response:
    """`GET /namespaces/{ns}/limits`: what holds for the caller."""
    limits, own = call.limits, call.identity.limits
    kept_s = own.warmed_container_keeping_timeout
    return json_response(
        _LimitsView(
            allowed_kinds=_or_unset(own.allowed_kinds),
            concurrent_invocations=limits.concurrent_invocations,
            fires_per_minute=limits.fires_per_minute,
            invocations_per_minute=limits.invocations_per_minute,
            max_action_concurrency=limits.concurrency.maximum,
            max_action_instances=limits.concurrent_invocations,
            max_action_logs=limits.logs_mb.maximum,
            max_action_memory=limits.memory_mb.maximum,
            max_action_timeout=limits.timeout_ms.maximum,
            max_parameter_size=_size(limits.parameters_bytes),
            max_payload_size=UNSET if own.max_payload_size is None else _size(limits.payload_bytes),
            min_action_concurrency=limits.concurrency.minimum,
            min_action_logs=limits.logs_mb.minimum,
            min_action_memory=limits.memory_mb.minimum,
            min_action_timeout=limits.timeout_ms.minimum,
            store_activations=_or_unset(own.store_activations),
            truncation_size=UNSET if own.truncation_size is None else _size(limits.truncation_bytes),
            warmed_container_keeping_count=_or_unset(own.warmed_container_keeping_count),
            warmed_container_keeping_timeout=UNSET if kept_s is None else f"{kept_s} seconds",
        )
    )


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _size(size_bytes: int) -> str:
    return f"{size_bytes} B"
