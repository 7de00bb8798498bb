"""The platform on PostgreSQL: a server of the bench's own on the same machine, which waits for the disk."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import report
from bench.report import Figure
from bench.stage import PYTHON, UNTHROTTLED, Stage
from tests.acceptance.running import Platform, running
from tests.servers.postgres import PostgresServer, binary

CLIENTS = 16


def accepted_on_postgres(stage: Stage) -> Iterator[Figure]:
    """Non-blocking: answered once it is on the server's disk; what is accepted runs meanwhile on the same cores."""
    if binary("initdb") is None:
        report.print_note("PostgreSQL is left out: there is no server (Debian's package postgresql)")
        return
    with _platform() as platform:
        own = Stage(platform, stage.quick)
        platform.create_action("later", PYTHON)
        count = own.count(8000)
        runs = [own.load("later", clients=CLIENTS, requests=count, blocking=False) for _ in range(own.runs)]
    rate, p50, p99 = (
        statistics.median(getattr(run, name) for run in runs) for name in ("per_second", "p50_ms", "p99_ms")
    )
    yield Figure(f"accepted a second on PostgreSQL, {CLIENTS} clients", rate, "", at_least=1500)
    yield Figure("the same, p50", p50, "ms", at_most=5)
    yield Figure("the same, p99", p99, "ms", at_most=20)
    failures = sum(run.failures for run in runs)
    yield Figure("accepted on PostgreSQL, other answers than 202", failures, "", at_most=0)


@contextlib.contextmanager
def _platform() -> Iterator[Platform]:
    with contextlib.ExitStack() as stack:
        server = PostgresServer("fsync=on", "full_page_writes=on")
        stack.callback(server.close)
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="sabayon-bench-"))
        settings = {**UNTHROTTLED, "SABAYON_STORE": server.create_database()}
        yield stack.enter_context(running(Path(home), environment=settings))
