"""Each process of a cluster is restarted in turn under load, and whoever calls through a load balancer sees nothing.

`make faults` does it five times over, and under 200 calls a second.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from pathlib import Path

import pytest

from tests.faults.checked_load import Target, records
from tests.faults.cluster import CONTROLLERS, INVOKERS, Cluster, cluster
from tests.faults.front import Front, NoReply, front
from tests.faults.history import History, Told, violations
from tests.faults.test_accepted import SCALE, UNTHROTTLED, await_records, told_witness
from tests.faults.witness import ACTION, Witness
from tests.servers.postgres import PostgresServer

PER_SECOND = 200 if SCALE >= 1 else 50
"""At full size what a machine of two cores takes that does nothing else, with some to spare."""
ROUNDS = max(1, int(5 * SCALE))
POOL_MB = 65_536
"""A process that starts takes one of few cores for a second or more. What comes meanwhile is refused for overload if it
finds no room to wait."""
QUIET_S = 1.0
"""Between two restarts: what one has left open must not be what the next one closes."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root, functions cannot tell a witness that they run")


class SteadyLoad:
    """So many invocations a second, whether or not earlier ones are answered; every other one waits for its result."""

    def __init__(self, balancer: Front, witness: Witness) -> None:
        self._balancer = balancer
        self._witness = witness
        self._sent: set[asyncio.Task[None]] = set()
        self.told: list[Told] = []
        self.wrong: list[str] = []
        self.slowest_s = 0.0

    async def run(self) -> None:
        """Until it is cancelled; `finish` waits for the answers that are still to come."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count():
            await asyncio.sleep(began + number / PER_SECOND - loop.time())
            task = asyncio.create_task(self._invoke(number))
            self._sent.add(task)
            task.add_done_callback(self._sent.discard)

    async def finish(self) -> None:
        await asyncio.gather(*self._sent)

    async def _invoke(self, number: int) -> None:
        is_blocking = number % 2 == 0
        payload = {"n": number, "host": self._witness.host, "port": self._witness.port}
        began = time.monotonic()
        try:
            reply = await self._balancer.post(f"blocking={str(is_blocking).lower()}", payload)
        except NoReply as error:
            self.wrong.append(f"{number}: {error}")
            return
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if reply.status == (200 if is_blocking else 202):
            self.told.append(Told(number, reply.body["activationId"]))
        else:
            self.wrong.append(f"{number}: {reply.status} {reply.body}")


def restart(one: Cluster, name: str) -> None:
    """As an operator does, who waits until it has taken up its work."""
    member = {**one.controllers, **one.invokers}[name]
    member.stop()
    member.start()
    one.await_invokers()


async def restarted_under_load(load: SteadyLoad, one: Cluster) -> None:
    running = asyncio.create_task(load.run())
    loop = asyncio.get_running_loop()
    await asyncio.sleep(QUIET_S)
    for _ in range(ROUNDS):
        for name in (*CONTROLLERS, *INVOKERS):
            began = loop.time()
            await asyncio.to_thread(restart, one, name)
            print(f"  {name} restarted in {loop.time() - began:.1f} s", flush=True)
            await asyncio.sleep(QUIET_S)
    running.cancel()
    await load.finish()


@pytest.mark.timeout(600)
def test_a_rolling_restart_of_all_processes_is_seen_by_no_client_and_loses_nothing(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    with told_witness() as witness, cluster(tmp_path, own_postgres, UNTHROTTLED, POOL_MB) as one:
        one.api.create_action("told", ACTION, limits={"memory": 128})
        targets = [lambda c=controller: Target.of(c.platform, "told") for controller in one.controllers.values()]
        with front(targets) as balancer:
            load = SteadyLoad(balancer, witness)
            asyncio.run(restarted_under_load(load, one))
        await_records(one.api, load.told)
        found = records(one.api, "told")
        runs = witness.runs
        print(f"{len(load.told)} answered within {load.slowest_s:.1f} s, {len(load.wrong)} errors")
        print(f"{len(found)} records, {runs.total()} runs")
        history = History(load.told, found, runs, witness.runs - runs, once=frozenset(runs))
    assert load.wrong == []
    assert violations(history) == []
