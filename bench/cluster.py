"""A cluster on this machine beside the single process: what a bus, a shared store and a second of each process cost."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench import report
from bench.load import Load
from bench.report import Figure
from bench.stage import PYTHON, UNTHROTTLED, Stage
from tests.faults.cluster import Cluster, cluster
from tests.servers.nats import has_nats
from tests.servers.postgres import PostgresServer, binary

CLIENTS = 32
"""Half of them at each controller."""


def cluster_on_one_machine(stage: Stage) -> Iterator[Figure]:
    """By turns with the single process, which idles meanwhile."""
    if binary("initdb") is None or not has_nats():
        report.print_note("the cluster is left out: PostgreSQL or NATS is missing (Debian's postgresql, nats-server)")
        return
    stage.platform.create_action("echo", PYTHON)
    with _cluster() as running:
        running.api.create_action("echo", PYTHON)
        members = [Stage(controller.platform, stage.quick) for controller in running.controllers.values()]
        alone, one, single, many = [], [], [], []
        for _ in range(stage.runs):
            alone.append(stage.load("echo", clients=1, requests=stage.count(2000)))
            one.append(members[0].load("echo", clients=1, requests=stage.count(2000)))
            single.append(stage.load("echo", clients=CLIENTS, requests=stage.count(15000)))
            many.append(_at_both(members, stage.count(15000)))
    beside = f"the single process {_median(alone, 'p50_ms'):.2f} ms"
    yield Figure("cluster on one machine, warm, one client, p50", _median(one, "p50_ms"), "ms", beside, at_most=2.5)
    ours = statistics.median(sum(load.per_second for load in pair) for pair in many)
    theirs = _median(single, "per_second")
    remark = f"p50 {statistics.median(load.p50_ms for pair in many for load in pair):.1f} ms"
    yield Figure(f"cluster on one machine, warm a second, {CLIENTS} clients", ours, "", remark)
    yield Figure("  against the single process", ours / theirs, "×", f"{theirs:,.0f} a second", at_least=0.6)
    failures = sum(load.failures for load in (*alone, *one, *single, *(load for pair in many for load in pair)))
    yield Figure("  not answered 200, cluster and single process", failures, "", at_most=0)


@contextmanager
def _cluster() -> Iterator[Cluster]:
    server = PostgresServer("fsync=on", "full_page_writes=on")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sabayon-bench-") as home,
            cluster(Path(home), server, UNTHROTTLED) as running,
        ):
            yield running
    finally:
        server.close()


def _at_both(members: list[Stage], requests: int) -> list[Load]:
    """At the same time, by a load generator for each controller."""
    share = {"clients": CLIENTS // len(members), "requests": requests // len(members)}
    with ThreadPoolExecutor(len(members)) as threads:
        return list(threads.map(lambda member: member.load("echo", **share), members))


def _median(loads: list[Load], field: str) -> float:
    return float(statistics.median(getattr(load, field) for load in loads))
