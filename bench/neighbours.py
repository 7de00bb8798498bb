"""Tenants beside each other: what one notices of another that asks for a hundred times its quota, or computes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from bench import pace
from bench.report import Figure
from bench.stage import PYTHON, Stage

STEADY_PER_SECOND = 100
QUOTA_PER_MINUTE = 600
NOISY_PER_SECOND = 100 * QUOTA_PER_MINUTE // 60
CONNECTIONS = 32
LEAD_S = 0.5
"""The other one begins so much earlier and ends so much later than the steady one is measured."""

COMPUTING_MS = 20
COMPUTING_PER_SECOND = 40
COMPUTING_QUOTA_PER_MINUTE = COMPUTING_PER_SECOND * 60
"""It may have that: 0.8 cores of computing."""

COMPUTING = f"""import time
def main(args):
    end = time.thread_time() + {COMPUTING_MS / 1000}
    while time.thread_time() < end: pass
    return {{"n": args.get("n")}}
"""


class _Runs(NamedTuple):
    """The steady tenant's, alone and beside the other; the other's; and how long one of those lasts."""

    alone: list[pace.Pace]
    beside: list[pace.Pace]
    other: list[pace.Pace]
    other_s: float

    @property
    def p99_ms(self) -> tuple[float, float]:
        """Alone, and beside."""
        quiet, loud = (statistics.median(run.p99_ms for run in runs) for runs in (self.alone, self.beside))
        return quiet, loud

    @property
    def asked_per_second(self) -> float:
        asked = sum(run.accepted + run.refused + run.other for run in self.other)
        return asked / len(self.other) / self.other_s

    @property
    def failures(self) -> Figure:
        lost = sum(run.refused + run.other + run.held_back for run in (*self.alone, *self.beside))
        return Figure("  the steady one's requests that failed", lost, "", at_most=0)


def noisy_neighbour(stage: Stage) -> Iterator[Figure]:
    """One that is refused nearly all it asks for."""
    runs = _measure(stage, "noisy", PYTHON, QUOTA_PER_MINUTE, NOISY_PER_SECOND)
    quiet, loud = runs.p99_ms
    refused = sum(run.refused for run in runs.other) / sum(run.accepted + run.refused for run in runs.other)
    remark = f"{quiet:.2f} → {loud:.2f} ms; the noisy one sends {runs.asked_per_second:,.0f}/s, {refused:.0%} refused"
    yield Figure("steady tenant's p99 beside a noisy one", loud / quiet, "×", remark, at_most=1.25)
    yield runs.failures


def computing_neighbour(stage: Stage) -> Iterator[Figure]:
    """One that keeps to its quota, and uses much of what the machine can compute."""
    runs = _measure(stage, "computing", COMPUTING, COMPUTING_QUOTA_PER_MINUTE, COMPUTING_PER_SECOND)
    quiet, loud = runs.p99_ms
    remark = f"{quiet:.2f} → {loud:.2f} ms; that one computes {COMPUTING_MS} ms, {runs.asked_per_second:,.0f}/s"
    yield Figure("steady tenant's p99 beside one that computes", loud / quiet, "×", remark)
    yield runs.failures
    refused = sum(run.refused + run.other for run in runs.other)
    yield Figure("  the computing one's requests that failed", refused, "", at_most=0)


def _measure(stage: Stage, name: str, code: str, quota: int, per_second: int) -> _Runs:
    """Alone and beside the other one by turns, each tenant from a process of its own."""
    platform = stage.platform
    steady, other = platform.namespace(f"beside-{name}"), platform.namespace(name)
    limit = platform.sabayon("namespace", "limits", "set", name, "--invocations-per-minute", str(quota))
    assert limit.returncode == 0, limit.stderr
    for key, action in ((steady, PYTHON), (other, code)):
        platform.create_action("run", action, auth=key)
        platform.invoke("run", {}, auth=key)
    seconds = 2.0 if stage.quick else 6.0
    runs = _Runs([], [], [], seconds + 2 * LEAD_S)
    for _ in range(stage.runs):
        runs.alone.append(_steady(stage, steady, seconds))
        busy = pace.start(
            stage.port, stage.request("run", auth=other),
            per_second=per_second, seconds=runs.other_s, connections=CONNECTIONS,
        )  # fmt: skip
        runs.beside.append(_steady(stage, steady, seconds, after_s=LEAD_S))
        runs.other.append(pace.result(busy))
    return runs


def _steady(stage: Stage, key: str, seconds: float, after_s: float = 0.0) -> pace.Pace:
    request = stage.request("run", auth=key)
    return pace.result(
        pace.start(
            stage.port, request,
            per_second=STEADY_PER_SECOND, seconds=seconds, connections=CONNECTIONS, after_s=after_s,
        )
    )  # fmt: skip
