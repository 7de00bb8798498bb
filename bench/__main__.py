"""`make bench`: the figures that users compare, beside what they would use instead, in one run.

`python -m bench --quick` repeats less, to try it out; its figures are not to be quoted. `--only NAME` runs one group.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import archives, cluster, docker, figures, library, neighbours, placement, report, rivals, stores
from bench.report import Figure
from bench.stage import UNTHROTTLED, Stage
from tests.acceptance.running import Platform, running

Measurement = Callable[[Stage], Iterator[Figure]]

GROUPS: list[tuple[dict[str, str], list[Measurement]]] = [
    ({}, [figures.idle_platform, figures.warm_python]),
    ({}, [figures.warm_nodejs]),
    ({}, [figures.accepted]),
    ({}, [stores.accepted_on_postgres]),
    ({}, [cluster.cluster_on_one_machine]),
    ({}, [figures.cold_python]),
    ({}, [figures.cold_python_with_libraries]),
    ({}, [figures.cold_python_with_a_set]),
    ({}, [figures.cold_nodejs, archives.cold_archives]),
    ({}, [figures.burst]),
    ({}, [figures.sustained]),
    ({}, [neighbours.noisy_neighbour, neighbours.computing_neighbour]),
    (
        {"SABAYON_PAUSE_GRACE_S": "0.5", "SABAYON_STEM_CELLS": "0"},
        [figures.cold_nodejs_without_stem_cells, figures.resume],
    ),
    ({}, [figures.thousand_actions]),
    ({}, [placement.placement]),
]
"""Settings of a fresh platform, and what is measured on it: what one measurement leaves warm is no load of the next."""


@contextmanager
def _running(home: Path, environment: dict[str, str]) -> Iterator[Platform]:
    sets = home / "sets"
    library.write_set(sets)
    settings = {**UNTHROTTLED, "SABAYON_DEPENDENCY_SETS": str(sets), **environment}
    with running(home, environment=settings) as platform:
        yield platform


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--only", metavar="NAME", help="one measurement, by its function's name")
    options = parser.parse_args()
    groups = [(env, [m for m in group if options.only in (None, m.__name__)]) for env, group in GROUPS]
    chosen = [measurement for _, group in groups for measurement in group]
    if not chosen:
        parser.error(f"there is no measurement {options.only!r}")
    facts, found = {**report.heading(), "niceness": _niceness()}, []
    report.print_heading(facts)
    times = _docker_run(options.quick) if any(m in figures.WITH_DOCKER for m in chosen) else None
    for environment, measurements in groups:
        for figure in _measure(environment, measurements, options.quick, times):
            report.print_figure(figure)
            found.append(figure)
    report.print_notes()
    print(f"\nwritten to {report.write_results(facts, found)}")


def _niceness() -> str:
    """Who goes before whom on the shared cores."""
    return f"{rivals.niceness()}: platform, gunicorn, Node.js server; {os.getpriority(os.PRIO_PROCESS, 0)}: all else"


def _docker_run(is_quick: bool) -> docker.Times | None:
    if obstacle := docker.obstacle():
        report.print_note(f"`docker run` is left out: {obstacle}")
        return None
    times = rivals.docker_run(2 if is_quick else 5)
    report.print_note(f"`docker run` is of {times.engine}")
    return times


def _measure(
    environment: dict[str, str], measurements: list[Measurement], is_quick: bool, times: docker.Times | None
) -> Iterator[Figure]:
    """The figures of one group, on a platform of its own."""
    if not measurements:
        return
    with (
        tempfile.TemporaryDirectory(prefix="sabayon-bench-") as home,
        _running(Path(home), environment) as platform,
    ):
        for measurement in measurements:
            yield from measurement(Stage(platform, is_quick, times))


if __name__ == "__main__":
    main()
