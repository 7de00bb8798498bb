"""`make bench`: the figures that users compare, beside what they would use instead, in one run.

`python -m bench --quick` repeats less, to try it out; its figures are not to be quoted. `--only NAME` runs one group.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import figures, library, report
from bench.report import Figure
from bench.stage import Stage
from tests.acceptance.running import Platform, running

Measurement = Callable[[Stage], Iterator[Figure]]

UNTHROTTLED = {"SABAYON_INVOCATIONS_PER_MINUTE": "100000000", "SABAYON_CONCURRENT_INVOCATIONS": "100000"}
"""What is measured would otherwise be how fast invocations are refused."""

GROUPS: list[tuple[dict[str, str], list[Measurement]]] = [
    (
        {},
        [figures.idle_platform, figures.cold_python, figures.cold_python_with_a_set, figures.cold_nodejs, figures.warm],
    ),
    ({}, [figures.burst, figures.sustained, figures.noisy_neighbour]),
    (
        {"SABAYON_PAUSE_GRACE_S": "0.5", "SABAYON_STEM_CELLS": "0"},
        [figures.cold_nodejs_without_stem_cells, figures.resume],
    ),
    ({}, [figures.thousand_actions]),
]
"""Settings of a fresh platform, and what is measured on it."""


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
    facts, found = report.heading(), []
    report.print_heading(facts)
    for environment, measurements in GROUPS:
        chosen = [m for m in measurements if options.only in (None, m.__name__)]
        if not chosen:
            continue
        with (
            tempfile.TemporaryDirectory(prefix="sabayon-bench-") as home,
            _running(Path(home), environment) as platform,
        ):
            stage = Stage(platform, options.quick)
            for measurement in chosen:
                for figure in measurement(stage):
                    report.print_figure(figure)
                    found.append(figure)
    print(f"\nwritten to {report.write_results(facts, found)}")


if __name__ == "__main__":
    main()
