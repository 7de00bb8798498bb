"""What a namespace reads about its limits."""

from __future__ import annotations

from typing import Any

import pytest

from sabayon.entity.identity import Identity
from sabayon.entity.limits import Bounds, NamespaceLimits, SystemLimits
from tests.unit.asgi import Answer
from tests.unit.stage import Stage, on_stage, on_stage_with

NO_ROUTE = "The requested resource could not be found."


def check(answer: Answer, status: int, text: str) -> None:
    assert (answer.status, answer.json) == (status, {"code": answer.headers["x-request-id"], "error": text})
    assert "retry-after" not in answer.headers


STANDARD: dict[str, Any] = {
    "concurrentInvocations": 30,
    "firesPerMinute": 61,
    "invocationsPerMinute": 60,
    "maxActionConcurrency": 1,
    "maxActionInstances": 30,
    "maxActionLogs": 10,
    "maxActionMemory": 512,
    "maxActionTimeout": 300_000,
    "maxParameterSize": "1048576 B",
    "minActionConcurrency": 1,
    "minActionLogs": 0,
    "minActionMemory": 128,
    "minActionTimeout": 100,
}
SYSTEM = SystemLimits(
    invocations_per_minute=60,
    concurrent_invocations=30,
    fires_per_minute=61,
    concurrency=Bounds(1, 1, 1),
)


@on_stage_with(limits=SYSTEM)
async def test_a_namespace_without_limits_of_its_own_reads_the_systems(stage: Stage) -> None:
    answer = await stage.request("GET", "_/limits")
    assert (answer.status, answer.json) == (200, STANDARD)
    assert list(answer.json) == sorted(STANDARD)


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (NamespaceLimits(invocations_per_minute=0), {"invocationsPerMinute": 0}),
        (NamespaceLimits(invocations_per_minute=500), {"invocationsPerMinute": 500}),
        (NamespaceLimits(fires_per_minute=7), {"firesPerMinute": 7}),
        (NamespaceLimits(concurrent_invocations=5), {"concurrentInvocations": 5, "maxActionInstances": 5}),
        (NamespaceLimits(max_action_memory=256), {"maxActionMemory": 256}),
        (NamespaceLimits(max_action_memory=4096), {}),
        (NamespaceLimits(min_action_memory=256), {"minActionMemory": 256}),
        (NamespaceLimits(min_action_memory=64), {}),
        (NamespaceLimits(min_action_logs=1, max_action_logs=5), {"minActionLogs": 1, "maxActionLogs": 5}),
        (NamespaceLimits(max_action_logs=11), {}),
        (NamespaceLimits(min_action_timeout=200), {"minActionTimeout": 200}),
        (NamespaceLimits(max_action_timeout=1000), {"maxActionTimeout": 1000}),
        (NamespaceLimits(max_action_timeout=300_001), {}),
        (NamespaceLimits(max_action_concurrency=10), {}),
        (NamespaceLimits(max_parameter_size=1000), {"maxParameterSize": "1000 B"}),
        (NamespaceLimits(max_parameter_size=2 << 20), {}),
        (NamespaceLimits(allowed_kinds=("python:3.11",)), {"allowedKinds": ["python:3.11"]}),
        (NamespaceLimits(allowed_kinds=()), {"allowedKinds": []}),
        (NamespaceLimits(store_activations=False), {"storeActivations": False}),
        (NamespaceLimits(store_activations=True), {"storeActivations": True}),
        (NamespaceLimits(max_payload_size=2048), {"maxPayloadSize": "2048 B"}),
        (NamespaceLimits(truncation_size=512), {"truncationSize": "512 B"}),
        (NamespaceLimits(warmed_container_keeping_count=3), {"warmedContainerKeepingCount": 3}),
        (NamespaceLimits(warmed_container_keeping_timeout=90), {"warmedContainerKeepingTimeout": "90 seconds"}),
    ],
)
def test_limits_of_a_namespace_are_shown_as_far_as_the_system_allows_them(
    own: NamespaceLimits, shown: dict[str, Any]
) -> None:
    @on_stage_with(limits=SYSTEM, own=own)
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", "acme/limits")
        assert (answer.status, answer.json) == (200, {**STANDARD, **shown})
        stranger: Identity = stage.other
        assert (await stage.request("GET", "_/limits", by=stranger)).json == STANDARD

    test()


@pytest.mark.parametrize("inner", ["x", "invocationsPerMinute", "a/b", "x/"])
def test_limits_have_no_inner_resources(inner: str) -> None:
    async def test(stage: Stage) -> None:
        text = "Inner entity level routes for limits are not yet implemented."
        check(await stage.request("GET", f"_/limits/{inner}"), 400, text)

    on_stage(test)()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_limits_cannot_be_changed_by_a_namespace(method: str) -> None:
    async def test(stage: Stage) -> None:
        check(await stage.request(method, "_/limits", {"invocationsPerMinute": 9}), 404, NO_ROUTE)

    on_stage(test)()


@on_stage
async def test_the_limits_of_another_namespace_cannot_be_read(stage: Stage) -> None:
    text = "The supplied authentication is not authorized to access 'other'."
    check(await stage.request("GET", "other/limits"), 403, text)


@on_stage_with(own=NamespaceLimits(max_action_memory=200, min_action_timeout=90_000))
async def test_an_action_without_limits_gets_the_standard_as_far_as_its_namespace_allows(stage: Stage) -> None:
    answer = await stage.request("PUT", "_/actions/a", {"exec": {"kind": "python:3.11", "code": "x"}})
    assert answer.json["limits"] == {"concurrency": 1, "logs": 10, "memory": 200, "timeout": 90_000}


@on_stage_with(own=NamespaceLimits(max_action_memory=256, max_parameter_size=64))
async def test_the_limits_that_are_shown_are_those_that_are_enforced(stage: Stage) -> None:
    exec_ = {"kind": "python:3.11", "code": "x"}
    answer = await stage.request("PUT", "_/actions/a", {"exec": exec_, "limits": {"memory": 257}})
    text = "requirement failed: memory size 257 MB exceeds allowed threshold of 256 MB"
    assert (answer.status, text in answer.error) == (400, True)
    parameters = [{"key": "k", "value": "v" * 62}]
    answer = await stage.request("PUT", "_/actions/a", {"exec": exec_, "parameters": parameters})
    check(answer, 413, "parameters larger than allowed: 65 > 64 bytes.")
    parameters = [{"key": "k", "value": "v" * 61}]
    body = {"exec": exec_, "parameters": parameters, "limits": {"memory": 256}}
    assert (await stage.request("PUT", "_/actions/a", body)).status == 200
