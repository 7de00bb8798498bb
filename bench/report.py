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

OPENWHISK = (
    "Apache OpenWhisk, as its developers published, on other machines, not measured here:",
    "  130 to 425 ms to pause or resume a container, 700 to 1300 ms to remove or create one (2018),",
    "  https://github.com/apache/openwhisk/issues/3621",
    "  about 20,000 invocations a second of one action, 30 to 40 a second of 100 actions, on the same three machines",
    "  of 40 cores (2018), https://github.com/apache/openwhisk/issues/3501",
)

GOOD, BAD = "#2a7f4f", "#b5402f"
WIDEST = 1.6
"""Of the chart: a bar that is longer would make all others hard to tell apart."""


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
    def share(self) -> float | None:
        """How much it takes of what is allowed: 1 is just enough, less is better. None where nothing is compared."""
        if self.at_most:
            return self.value / self.at_most
        return self.at_least / max(self.value, 1e-9) if self.at_least else None

    @property
    def shown(self) -> str:
        if isinstance(self.value, int):
            return f"{self.value:,} {self.unit}".strip()
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


def print_note(text: str) -> None:
    print(f"note: {text}", flush=True)


def print_notes() -> None:
    """What can only be quoted."""
    print("", *OPENWHISK, sep="\n")


def write_results(facts: dict[str, str], figures: list[Figure]) -> Path:
    """Keep the run as JSON and as a chart; the JSON's path."""
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / time.strftime("%Y%m%d-%H%M%S")
    path = stem.with_suffix(".json")
    path.write_text(json.dumps({**facts, "figures": [asdict(figure) for figure in figures]}, indent=2) + "\n")
    _draw(facts, figures, stem.with_suffix(".png"))
    return path


def _draw(facts: dict[str, str], figures: list[Figure], path: Path) -> None:
    """How much of what is allowed each figure takes; those that must be nothing are in the table alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [figure for figure in reversed(figures) if figure.share is not None]
    if not shown:
        return
    chart, axes = pyplot.subplots(figsize=(14, 0.42 * len(shown) + 1.5))
    colours = [GOOD if figure.mark == "yes" else BAD for figure in shown]
    shares = [min(figure.share or 0.0, WIDEST) for figure in shown]
    axes.barh([figure.what.strip() for figure in shown], shares, color=colours, height=0.62)
    for row, (figure, share) in enumerate(zip(shown, shares, strict=True)):
        told = f"{figure.shown}  ({figure.reach})"
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(share + 0.02, row, told, va="center", fontsize=9, bbox=behind, zorder=3)
        axes.text(WIDEST + 0.5, row, figure.remark, va="center", fontsize=8, color="#555555")
    axes.axvline(1, color="#333333", linewidth=1, zorder=2)
    axes.set_xlim(0, WIDEST + 2)
    axes.set_xticks([0, 0.5, 1, 1.5], ["0", "half", "what is allowed", "1.5 ×"])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title("Shorter is better", loc="left", fontsize=12, fontweight="bold")
    chart.text(0.01, 0.005, f"{facts['commit']} · {facts['date']} · {facts['machine']}", fontsize=7, color="#666666")
    chart.tight_layout(rect=(0, 0.02, 1, 1))
    chart.savefig(path, dpi=130)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
