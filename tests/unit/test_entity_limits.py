"""Limits: how they are read, what bounds them, and with which words they are refused."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.limits import (
    ActionLimits,
    Bounds,
    KeptWarm,
    LimitsPatch,
    MalformedLimits,
    NamespaceLimits,
    SystemLimits,
    check_limits,
    effective_limits,
    parse_limits,
)
from sabayon.errors import Rejection

SYSTEM = SystemLimits()
STANDARD = effective_limits(SYSTEM, NamespaceLimits())


def test_an_action_that_asks_for_nothing_gets_the_standard_limits() -> None:
    assert msgspec.json.encode(ActionLimits()) == b'{"concurrency":1,"logs":10,"memory":256,"timeout":60000}'


def test_a_limit_of_instances_is_shown_only_when_there_is_one() -> None:
    assert msgspec.json.decode(msgspec.json.encode(ActionLimits(instances=3)))["instances"] == 3


@pytest.mark.parametrize("value", [100, 100.0, 1e2])
def test_whole_numbers_may_be_written_with_a_fraction_of_nothing(value: float) -> None:
    (timeout,) = [parse_limits({"timeout": value}).timeout]
    assert timeout == 100 and isinstance(timeout, int)


def test_limits_that_are_not_mentioned_or_null_or_unknown_stay_open() -> None:
    assert parse_limits({"memory": 128, "logs": None, "color": "red"}) == LimitsPatch(memory=128)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("timeout", "time"),
        ("memory", "memory"),
        ("logs", "log"),
        ("concurrency", "concurrency"),
        ("instances", "instance concurrency"),
    ],
)
@pytest.mark.parametrize("value", ["256", True, [], {}])
def test_what_is_no_number_is_refused(field: str, name: str, value: Any) -> None:
    with pytest.raises(MalformedLimits, match=f"^{name} limit malformed$"):
        parse_limits({field: value})


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("timeout", "time"),
        ("memory", "memory"),
        ("logs", "log"),
        ("concurrency", "intra concurrency"),
        ("instances", "instance concurrency"),
    ],
)
@pytest.mark.parametrize("value", [0.5, 256.1, -1.5, float("inf")])
def test_what_is_no_whole_number_is_refused(field: str, name: str, value: float) -> None:
    with pytest.raises(MalformedLimits, match=f"^requirement failed: {name} limit must be whole number$"):
        parse_limits({field: value})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("memory", "requirement failed: a negative size of an object is not allowed."),
        ("logs", "requirement failed: a negative size of an object is not allowed."),
        (
            "instances",
            "requirement failed: Action container concurrency must be greater than or equal to 0.",
        ),
    ],
)
def test_sizes_and_numbers_of_instances_cannot_be_negative(field: str, text: str) -> None:
    with pytest.raises(MalformedLimits, match=re.escape(text)):
        parse_limits({field: -1})


@pytest.mark.parametrize("body", [None, [], "limits", 1])
def test_limits_that_are_no_object_are_refused(body: Any) -> None:
    with pytest.raises(MalformedLimits):
        parse_limits(body)


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        (LimitsPatch(memory=1024), "memory size 1024 MB exceeds allowed threshold of 512 MB"),
        (LimitsPatch(memory=64), "memory size 64 MB below allowed threshold of 128 MB"),
        (LimitsPatch(logs=11), "log size 11 MB exceeds allowed threshold of 10 MB"),
        (LimitsPatch(timeout=300_001), "duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds"),
        (LimitsPatch(timeout=0), "duration 0 milliseconds below allowed threshold of 100 milliseconds"),
        (LimitsPatch(timeout=-5), "duration -5 milliseconds below allowed threshold of 100 milliseconds"),
        (LimitsPatch(concurrency=501), "concurrency 501 exceeds allowed threshold of 500"),
        (LimitsPatch(concurrency=0), "concurrency 0 below allowed threshold of 1"),
    ],
)
def test_a_limit_out_of_bounds_is_refused_with_its_bound(patch: LimitsPatch, text: str) -> None:
    with pytest.raises(Rejection) as raised:
        check_limits(patch, STANDARD)
    assert (raised.value.status, raised.value.text) == (400, f"requirement failed: {text}")


def test_a_bound_of_the_namespace_is_the_one_that_is_named() -> None:
    allowed = effective_limits(SYSTEM, NamespaceLimits(min_action_logs=3, max_action_memory=256))
    with pytest.raises(Rejection, match="log size 1 MB below allowed threshold of 3 MB"):
        check_limits(LimitsPatch(logs=1), allowed)
    with pytest.raises(Rejection, match="memory size 512 MB exceeds allowed threshold of 256 MB"):
        check_limits(LimitsPatch(memory=512), allowed)


@pytest.mark.parametrize(
    "patch",
    [
        LimitsPatch(),
        LimitsPatch(memory=128, timeout=100, logs=0, concurrency=1, instances=0),
        LimitsPatch(memory=512, timeout=300_000, logs=10, concurrency=500, instances=1000),
    ],
)
def test_the_bounds_themselves_are_allowed(patch: LimitsPatch) -> None:
    check_limits(patch, STANDARD)


def test_more_instances_than_the_namespace_may_have_at_once_are_refused() -> None:
    allowed = effective_limits(SYSTEM, NamespaceLimits(concurrent_invocations=30))
    check_limits(LimitsPatch(instances=30), allowed)
    with pytest.raises(Rejection) as raised:
        check_limits(LimitsPatch(instances=31), allowed)
    text = "Max action instance concurrency must not exceed your namespace concurrency of 30."
    assert (raised.value.status, raised.value.text) == (400, text)


def test_a_patch_replaces_only_what_it_mentions() -> None:
    base = ActionLimits(memory=512, timeout=1000, instances=4)
    assert LimitsPatch(logs=0, instances=0).over(base) == ActionLimits(memory=512, timeout=1000, logs=0, instances=0)
    assert LimitsPatch().over(base) == base


@given(low=st.none() | st.integers(0, 1000), high=st.none() | st.integers(0, 1000))
def test_a_namespace_can_narrow_the_bounds_of_the_system_but_not_widen_them(low: int | None, high: int | None) -> None:
    own = NamespaceLimits(min_action_memory=low, max_action_memory=high)
    bounds = effective_limits(SYSTEM, own).memory_mb
    assert bounds.minimum == max(128, low or 0)
    assert bounds.maximum == min(512, 1000 if high is None else high)


@given(own=st.integers(0, 10**9))
def test_sizes_of_a_namespace_are_clamped_and_rates_are_not(own: int) -> None:
    limits = effective_limits(
        SYSTEM,
        NamespaceLimits(
            max_parameter_size=own,
            max_payload_size=own,
            truncation_size=own,
            invocations_per_minute=own,
            concurrent_invocations=own,
            fires_per_minute=own,
        ),
    )
    assert limits.parameters_bytes == min(own, SYSTEM.parameters_bytes)
    assert limits.payload_bytes == min(own, SYSTEM.payload_bytes)
    assert limits.truncation_bytes == min(own, SYSTEM.truncation_bytes)
    assert {limits.invocations_per_minute, limits.concurrent_invocations, limits.fires_per_minute} == {own}


def test_each_override_narrows_its_own_limit() -> None:
    limits = effective_limits(
        SystemLimits(concurrency=Bounds(1, 500, 1)),
        NamespaceLimits(max_action_timeout=7000, max_action_logs=5, min_action_timeout=200, max_action_concurrency=9),
    )
    assert (limits.timeout_ms.minimum, limits.timeout_ms.maximum) == (200, 7000)
    assert (limits.logs_mb.maximum, limits.concurrency.maximum) == (5, 9)
    assert limits.memory_mb == SYSTEM.memory_mb


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        (NamespaceLimits(), KeptWarm(0, 0)),
        (NamespaceLimits(warmed_container_keeping_count=3), KeptWarm(3, 600)),
        (NamespaceLimits(warmed_container_keeping_timeout=5), KeptWarm(1, 5)),
        (NamespaceLimits(warmed_container_keeping_count=0, warmed_container_keeping_timeout=5), KeptWarm(0, 5)),
    ],
)
def test_containers_are_kept_warm_for_longer_where_a_namespace_says_so(own: NamespaceLimits, kept: KeptWarm) -> None:
    assert effective_limits(SYSTEM, own).kept_warm == kept


@pytest.mark.parametrize(("own", "stores"), [(None, True), (True, True), (False, False)])
def test_activations_are_stored_unless_the_namespace_says_no(own: bool | None, stores: bool) -> None:
    assert effective_limits(SYSTEM, NamespaceLimits(store_activations=own)).store_activations is stores
