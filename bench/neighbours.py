"""Tenants beside each other: what one notices when another asks for a hundred times of what it may have."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench import pace
from bench.report import Figure
from bench.stage import PYTHON, Stage

STEADY_PER_SECOND = 100
QUOTA_PER_MINUTE = 600
NOISY_PER_SECOND = 100 * QUOTA_PER_MINUTE // 60
CONNECTIONS = 32
LEAD_S = 0.5
"""The noisy one begins so much earlier and ends so much later than the steady one is measured."""


def noisy_neighbour(stage: Stage) -> Iterator[Figure]:
    """Alone and beside the noisy one by turns, each tenant from a process of its own."""
    platform = stage.platform
    steady, noisy = platform.namespace("steady"), platform.namespace("noisy")
    quota = platform.sabayon("namespace", "limits", "set", "noisy", "--invocations-per-minute", str(QUOTA_PER_MINUTE))
    assert quota.returncode == 0, quota.stderr
    for key in (steady, noisy):
        platform.create_action("echo", PYTHON, auth=key)
        platform.invoke("echo", {}, auth=key)
    seconds = 2.0 if stage.quick else 6.0
    alone, beside, noise = [], [], []
    for _ in range(stage.runs):
        alone.append(_steady(stage, steady, seconds))
        shouting = pace.start(
            stage.port, stage.request("echo", auth=noisy),
            per_second=NOISY_PER_SECOND, seconds=seconds + 2 * LEAD_S, connections=CONNECTIONS,
        )  # fmt: skip
        beside.append(_steady(stage, steady, seconds, after_s=LEAD_S))
        noise.append(pace.result(shouting))
    yield from _figures(alone, beside, noise, seconds + 2 * LEAD_S)


def _steady(stage: Stage, key: str, seconds: float, after_s: float = 0.0) -> pace.Pace:
    request = stage.request("echo", auth=key)
    return pace.result(
        pace.start(
            stage.port, request,
            per_second=STEADY_PER_SECOND, seconds=seconds, connections=CONNECTIONS, after_s=after_s,
        )
    )  # fmt: skip


def _figures(
    alone: list[pace.Pace], beside: list[pace.Pace], noise: list[pace.Pace], noisy_s: float
) -> Iterator[Figure]:
    quiet, loud = (statistics.median(run.p99_ms for run in runs) for runs in (alone, beside))
    asked = sum(run.accepted + run.refused + run.other for run in noise) / len(noise) / noisy_s
    refused = sum(run.refused for run in noise) / max(1, sum(run.accepted + run.refused for run in noise))
    remark = f"{quiet:.2f} → {loud:.2f} ms; the noisy one sends {asked:,.0f}/s, {refused:.0%} refused"
    yield Figure("steady tenant's p99 beside a noisy one", loud / quiet, "×", remark, at_most=1.25)
    lost = sum(run.refused + run.other + run.held_back for run in (*alone, *beside))
    yield Figure("  the steady one's requests that failed", lost, "", at_most=0)
