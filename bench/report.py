"""What a run found: a table on the terminal, JSON and a chart in `bench/results/`."""

from __future__ import annotations

import json
import os
import platform as machine
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured value. at_most, at_least: what it should be."""

    what: str
    value: float
    unit: str
    remark: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def reach(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else ""

    @property
    def mark(self) -> str:
        """Whether the figure is where it should be."""
        if self.at_most is None and self.at_least is None:
            return ""
        is_met = self.value <= self.at_most if self.at_most is not None else self.value >= (self.at_least or 0)
        return "yes" if is_met else "NO"

    @property
    def shown(self) -> str:
        digits = 0 if abs(self.value) >= 1000 else 1 if abs(self.value) >= 20 else 2
        return f"{self.value:,.{digits}f} {self.unit}".strip()


def heading() -> dict[str, str]:
    """Where and when, and of which code."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = int(next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")).split()[1]) // 1024
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory} MB, Linux {machine.release()}",
        "python": machine.python_version(),
        "commit": commit.stdout.strip() or "unknown",
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def print_heading(facts: dict[str, str]) -> None:
    for name, value in facts.items():
        print(f"{name:<8} {value}")
    print("The load generator shares the cores. Isolation, authentication and records are on.\n")
    print(f"{'what':<52}{'measured':>14}  {'reach':<10}{'met':<5}remark", flush=True)


def print_figure(figure: Figure) -> None:
    print(f"{figure.what:<52}{figure.shown:>14}  {figure.reach:<10}{figure.mark:<5}{figure.remark}", flush=True)


def write_results(facts: dict[str, str], figures: list[Figure]) -> Path:
    """Keep the run as JSON and as a chart; the JSON's path."""
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / time.strftime("%Y%m%d-%H%M%S")
    path = stem.with_suffix(".json")
    path.write_text(json.dumps({**facts, "figures": [asdict(figure) for figure in figures]}, indent=2) + "\n")
    _draw(facts, figures, stem.with_suffix(".png"))
    return path


def _draw(facts: dict[str, str], figures: list[Figure], path: Path) -> None:
    """How far each figure is from its reach: below 1 is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    bounded = [figure for figure in reversed(figures) if figure.mark]
    shares = [
        figure.value / figure.at_most if figure.at_most else (figure.at_least or 0) / max(figure.value, 1e-9)
        for figure in bounded
    ]
    chart, axes = pyplot.subplots(figsize=(10, 0.4 * len(bounded) + 1.6))
    colours = ["#2a7f4f" if figure.mark == "yes" else "#b5402f" for figure in bounded]
    axes.barh([figure.what for figure in bounded], shares, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("share of what is allowed (shorter is better)")
    axes.set_title(f"{facts['commit']} · {facts['machine']}", fontsize=8)
    chart.tight_layout()
    chart.savefig(path, dpi=120)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
