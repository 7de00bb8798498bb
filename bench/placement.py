"""Placement, simulated: 1,000 invokers, 10,000 actions of heavy-tailed popularity, and ours beside other ways.

`python -m bench.placement` needs no platform. All ways get the same jobs, from the same seed. Decisions a second are
those of placing a job and of its end together, by processor time of one core; heartbeats are told apart.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from bench.invokers import KIND, Invoker
from bench.placing import Ours, Placing, all_ways
from bench.report import Figure
from bench.stage import Stage
from sabayon.balancer.instructions import Job, Key

INVOKERS = 1000
ACTIONS = 10_000
MEMORY_MB = 4096
KEEP_ALIVE_S = 60.0
ZIPF = 1.1
NAMESPACES = 300
MEMORY_LIMITS_MB = (128, 256, 256, 512)
UTILISATION = 0.6
COLD_S = 0.01
LONGEST_S = 300.0
DECISIONS = 300_000
QUICK_DECISIONS = 60_000
LEAST_PER_SECOND = 20_000
LEAD = 0.3
"""The part of the jobs by which the invokers are warmed before anything is counted."""


class Arrival(NamedTuple):
    at: float
    job: Job
    duration_s: float


def workload(decisions: int, invokers: int, utilisation: float, seed: int) -> list[Arrival]:
    """Jobs as they come. Durations are log-normal, within an action and among them: half below a second."""
    chance = random.Random(seed)
    weights = [1 / rank**ZIPF for rank in range(1, ACTIONS + 1)]
    typical_s = [chance.lognormvariate(0.0, 1.4) for _ in weights]
    limits = [chance.choice(MEMORY_LIMITS_MB) for _ in weights]
    keys = [Key(f"ns{chance.randrange(NAMESPACES)}", f"pkg/action{number}", 1) for number in range(ACTIONS)]
    chosen = chance.choices(range(ACTIONS), cum_weights=list(accumulate(weights)), k=decisions)
    lasts = [min(LONGEST_S, typical_s[n] * chance.lognormvariate(0.0, 0.8)) for n in chosen]
    mb_s = sum(limits[n] * s for n, s in zip(chosen, lasts, strict=True)) / decisions
    per_second = utilisation * invokers * MEMORY_MB / mb_s
    found, now = [], 0.0
    for number, (n, duration_s) in enumerate(zip(chosen, lasts, strict=True)):
        now += chance.expovariate(per_second)
        found.append(Arrival(now, Job(f"{number}", keys[n], KIND, limits[n]), duration_s))
    return found


@dataclass
class Result:
    """What became of the jobs after the lead. imbalance: max and 99th percentile of load by its mean, each second."""

    jobs: int = 0
    warm: int = 0
    waited_s: list[float] = field(default_factory=list)
    refused: int = 0
    imbalance: list[tuple[float, float]] = field(default_factory=list)
    decisions: int = 0
    decisions_s: float = 0.0
    heartbeats: int = 0
    heartbeats_s: float = 0.0

    @property
    def warm_share(self) -> float:
        return self.warm / max(1, self.jobs)

    @property
    def max_by_mean(self) -> float:
        return statistics.fmean(most for most, _ in self.imbalance)

    @property
    def p99_by_mean(self) -> float:
        return statistics.fmean(p99 for _, p99 in self.imbalance)

    @property
    def per_second(self) -> float:
        return self.decisions / self.decisions_s


class Simulation:
    """The invokers, the jobs on their way, and who places them."""

    def __init__(self, ids: list[str], placing: Placing, arrivals: list[Arrival]) -> None:
        self._placing = placing
        self._arrivals = arrivals
        self._invokers = [Invoker(id, MEMORY_MB, KEEP_ALIVE_S) for id in ids]
        self._ends: list[tuple[float, int, Invoker, Job]] = []
        self._lasts = {arrival.job.id: arrival for arrival in arrivals}
        self._controllers: dict[str, str] = {}
        self._number = 0
        self._counted_from = arrivals[int(len(arrivals) * LEAD)].at
        self.result = Result()

    def run(self) -> Result:
        next_beat = 0.0
        for arrival in self._arrivals:
            while next_beat <= arrival.at:
                self._end_until(next_beat)
                self._beat(next_beat)
                next_beat += 1.0
            self._end_until(arrival.at)
            self._arrive(arrival)
        return self.result

    def _arrive(self, arrival: Arrival) -> None:
        began = time.thread_time()
        choice = self._placing.place(arrival.job)
        self.result.decisions_s += time.thread_time() - began
        self.result.decisions += 1
        if choice is None:
            self.result.refused += arrival.at >= self._counted_from
            return
        invoker = self._invokers[choice]
        if isinstance(self._placing, Ours):
            turn = self._placing.names[self.result.decisions % len(self._placing.names) - 1]
            self._controllers[arrival.job.id] = turn
            invoker.count_for(turn, arrival.job.memory_mb)
        self._start(invoker, arrival.job, arrival.at)

    def _start(self, invoker: Invoker, job: Job, now: float) -> None:
        is_warm = invoker.start(job, now)
        if is_warm is None:
            return
        arrival = self._lasts[job.id]
        if arrival.at >= self._counted_from:
            self.result.jobs += 1
            self.result.warm += is_warm
            self.result.waited_s.append(now - arrival.at)
        self._number += 1
        end = now + arrival.duration_s + (0.0 if is_warm else COLD_S)
        heapq.heappush(self._ends, (end, self._number, invoker, job))

    def _end_until(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            at, _, invoker, job = heapq.heappop(self._ends)
            if controller := self._controllers.pop(job.id, None):
                invoker.count_for(controller, -job.memory_mb)
            following = invoker.end(job, at)
            began = time.thread_time()
            self._placing.finished(job)
            self.result.decisions_s += time.thread_time() - began
            if following:
                self._start(invoker, following, at)

    def _beat(self, now: float) -> None:
        beats = [invoker.heartbeat(now) for invoker in self._invokers]
        began = time.thread_time()
        for number, beat in enumerate(beats):
            self._placing.heard(number, beat)
        self.result.heartbeats_s += time.thread_time() - began
        self.result.heartbeats += len(beats)
        if now >= self._counted_from:
            loads = sorted(invoker.load for invoker in self._invokers)
            mean = statistics.fmean(loads) or 1.0
            self.result.imbalance.append((loads[-1] / mean, loads[int(len(loads) * 0.99)] / mean))


def simulate(decisions: int, seed: int, utilisation: float = UTILISATION) -> Iterator[tuple[str, Result]]:
    """Each way with the same jobs."""
    ids = [f"invoker{number}" for number in range(INVOKERS)]
    arrivals = workload(decisions, INVOKERS, utilisation, seed)
    for name, make in all_ways(ids, MEMORY_MB, seed).items():
        yield name, Simulation(ids, make(), arrivals).run()


def placement(stage: Stage) -> Iterator[Figure]:
    """The figures for `make bench`. The platform is not asked."""
    for name, result in simulate(QUICK_DECISIONS if stage.quick else DECISIONS, seed=1):
        is_ours = name == "ours"
        imbalance = f"load max/mean {result.max_by_mean:.2f}, p99/mean {result.p99_by_mean:.2f}"
        remark = f"warm {result.warm_share:.1%}, {imbalance}"
        at_least = LEAST_PER_SECOND if is_ours else None
        yield Figure(f"placement, 1,000 invokers: {name}", result.per_second, "/s", remark, at_least=at_least)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.placement", description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--utilisation", type=float, default=UTILISATION, help="of all memory, by jobs that run")
    options = parser.parse_args()
    print(f"{INVOKERS} invokers of {MEMORY_MB} MB, {ACTIONS} actions, Zipf {ZIPF}, {options.decisions} jobs,")
    print(f"utilisation {options.utilisation:g}, keep-alive {KEEP_ALIVE_S:g} s, seed {options.seed}\n")
    head = ("warm", "max/mean", "p99/mean", "waited", "p99 wait", "refused", "decisions/s", "µs/heartbeat")
    print(f"{'':<20}", *(f"{each:>12}" for each in head))
    for name, result in simulate(options.decisions, options.seed, options.utilisation):
        waits = sorted(result.waited_s)
        waited = sum(wait > 0 for wait in waits) / len(waits)
        shown = (
            f"{result.warm_share:.2%}",
            f"{result.max_by_mean:.2f}",
            f"{result.p99_by_mean:.2f}",
            f"{waited:.2%}",
            f"{waits[int(len(waits) * 0.99)]:.2f} s",
            f"{result.refused}",
            f"{result.per_second:,.0f}",
            f"{1e6 * result.heartbeats_s / result.heartbeats:.1f}",
        )
        print(f"{name:<20}", *(f"{each:>12}" for each in shown), flush=True)


if __name__ == "__main__":
    main()
