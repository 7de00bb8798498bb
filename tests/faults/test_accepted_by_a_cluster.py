"""What a cluster has accepted is kept, whatever of it is killed, stopped or cut off: found out as by `test_accepted`.

`make faults` runs it at full size and prints its seed; `FAULTS_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.checked_load import CheckedLoad, Target, records
from tests.faults.cluster import Cluster, cluster
from tests.faults.history import History, violations
from tests.faults.test_accepted import SCALE, SEED, UNTHROTTLED, await_records, told_witness
from tests.faults.witness import ACTION
from tests.servers.postgres import PostgresServer

INVOCATIONS = int(20_000 * SCALE)
FAULTS = max(4, int(20 * SCALE))
STILL_S = 30.0
"""Work of a controller that was killed is taken up when it has been silent for ten seconds, and by one that has heard
all others since its own start."""

HELD_UP_S = 6.0
"""Longer than it takes until an invoker that says nothing is taken for lost."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root, functions cannot tell a witness that they run")


def killed(name: str) -> Callable[[Cluster], None]:
    def fault(cluster: Cluster) -> None:
        member = {**cluster.controllers, **cluster.invokers}[name]
        member.kill()
        member.start()

    return fault


def held_up(name: str) -> Callable[[Cluster], None]:
    def fault(cluster: Cluster) -> None:
        member = {**cluster.controllers, **cluster.invokers}[name]
        member.signal(signal.SIGSTOP)
        time.sleep(HELD_UP_S)
        member.signal(signal.SIGCONT)

    return fault


def bus_restarted(cluster: Cluster) -> None:
    cluster.nats.restart()


def database_restarted(cluster: Cluster) -> None:
    cluster.postgres.kill()
    cluster.postgres.start()


KINDS: dict[str, Callable[[Cluster], None]] = {
    **{f"{name} is killed": killed(name) for name in ("c1", "c2", "i1", "i2")},
    **{f"{name} is held up": held_up(name) for name in ("c1", "i1", "i2")},
    "the bus is killed": bus_restarted,
    "the database is killed": database_restarted,
}


async def flood(one: Cluster, loads: list[CheckedLoad], faults: list[str], invocations: int) -> None:
    """Invoke, and let one fault after the other happen while that goes on."""

    def aim() -> None:
        for load, action in zip(loads, ("told", "told-once"), strict=True):
            load.aim(*(Target.of(controller.platform, action) for controller in one.controllers.values()))

    aim()
    running = [asyncio.create_task(load.run()) for load in loads]
    for number, name in enumerate(faults, start=1):
        await loads[0].until_told(number * invocations // (2 * (len(faults) + 1)))
        print(f"  {loads[0].accepted + loads[1].accepted} accepted: {name}", flush=True)
        await asyncio.to_thread(KINDS[name], one)
        aim()  # what was started again listens elsewhere
    await asyncio.gather(*running)


def test_what_a_cluster_has_accepted_is_in_exactly_one_record_whatever_fails(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    print(f"FAULTS_SEED={SEED}")
    choice = random.Random(SEED)
    faults = [*choice.sample(list(KINDS), min(FAULTS, len(KINDS))), *choice.choices(list(KINDS), k=FAULTS)][:FAULTS]
    once = frozenset(range(1, INVOCATIONS, 2))
    with told_witness() as one, cluster(tmp_path, own_postgres, UNTHROTTLED) as running:
        policy = [{"key": "delivery", "value": "at-most-once"}]
        running.api.create_action("told", ACTION)
        running.api.create_action("told-once", ACTION, annotations=policy)
        loads = [
            CheckedLoad(range(first, INVOCATIONS, 2), lambda n: {"n": n, "host": one.host, "port": one.port})
            for first in (0, 1)
        ]
        asyncio.run(flood(running, loads, faults, INVOCATIONS))
        assert [load.wrong for load in loads] == [[], []]
        for load, action in zip(loads, ("told", "told-once"), strict=True):
            await_records(running.api, load.told, action, STILL_S)
        for invoker in running.invokers.values():
            invoker.stop()  # which may end what others have done in its place: it was held up, and not dead
        runs = one.runs
        found = records(running.api, "told") + records(running.api, "told-once")
        history = History(loads[0].told + loads[1].told, found, runs, Counter(), once)
        print(f"{len(history.told)} accepted, {len(found)} records, {runs.total()} runs")
    assert violations(history) == []
