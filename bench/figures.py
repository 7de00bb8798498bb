"""The measurements, one function for each; those of tenants beside each other are in `neighbours`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from bench import library, rivals
from bench.load import Load, measure
from bench.report import Figure
from bench.stage import NODEJS, PYTHON, Stage, at, proportional_mb, resident_mb, sandbox_processes

LIBRARIES = "import asyncio, decimal, email.message, http.client, sqlite3, unittest, xml.dom.minidom, zipfile\n"


def idle_platform(stage: Stage) -> Iterator[Figure]:
    time.sleep(2)
    yield Figure("platform process, idle", resident_mb(stage.platform.process.pid), "MB", "resident", at_most=100)


def cold_python(stage: Stage) -> Iterator[Figure]:
    runs = [stage.cold_ms(stage.create(f"cold-{run}", stage.count(200)), 0.02) for run in range(stage.runs)]
    fresh = rivals.process_per_request_ms()
    beside = f"docker run {stage.docker.python_ms:.0f} ms, " if stage.docker else ""
    remark = f"{beside}fresh interpreter, not isolated, {fresh:.0f} ms"
    yield Figure("cold Python hello, p50", _quantile(runs, 0.5), "ms", remark, at_most=12)
    yield Figure("cold Python hello, p99", _quantile(runs, 0.99), "ms", at_most=20)


def cold_python_with_libraries(stage: Stage) -> Iterator[Figure]:
    """Libraries that are in no zygote: each start imports them."""
    names = [stage.create(f"lib-{run}", stage.count(30), LIBRARIES + PYTHON) for run in range(stage.runs)]
    runs = [stage.cold_ms(batch, 0.02) for batch in names]
    bare = rivals.process_per_request_ms(LIBRARIES)
    remark = f"fresh interpreter, not isolated, {bare:.0f} ms"
    yield Figure("cold Python with libraries, p50", _quantile(runs, 0.5), "ms", remark)


def cold_python_with_a_set(stage: Stage) -> Iterator[Figure]:
    """On a platform that has the library's set."""
    code = f"import {library.NAME}\n{PYTHON}"
    use = [{"key": "dependencies", "value": library.NAME}]
    stage.cold_ms(stage.create("first", 1, code, annotations=use), 0)  # starts the zygote
    hello, bringing, taken = [], [], []
    for run in range(stage.runs):
        hello.append(stage.cold_ms(stage.create(f"beside-{run}", stage.count(50)), 0.02))
        bringing.append(stage.cold_ms(stage.create(f"bringing-{run}", stage.count(10), library.archive(code)), 0.02))
        taken.append(stage.cold_ms(stage.create(f"set-{run}", stage.count(100), code, annotations=use), 0.02))
    beside, archived = _quantile(hello, 0.5), _quantile(bringing, 0.5)
    remark = f"hello {beside:.1f} ms, the library in the action's archive {archived:.0f} ms"
    yield Figure("cold Python, 100 ms library in its set, p50", _quantile(taken, 0.5), "ms", remark, at_most=12)
    yield Figure("cold Python, 100 ms library in its set, p99", _quantile(taken, 0.99), "ms", at_most=20)


def cold_nodejs(stage: Stage) -> Iterator[Figure]:
    yield _cold_nodejs(stage, "stem cell ready", pause_s=0.3, at_most=15)


def cold_nodejs_without_stem_cells(stage: Stage) -> Iterator[Figure]:
    yield _cold_nodejs(stage, "none ready", pause_s=0.05, at_most=120)


def _cold_nodejs(stage: Stage, how: str, pause_s: float, at_most: float) -> Figure:
    """pause_s: between two starts, for the next stem cell to get ready."""
    names = [stage.create(f"js-{run}", stage.count(20), NODEJS, "nodejs:default", 256) for run in range(stage.runs)]
    runs = [stage.cold_ms(batch, pause_s) for batch in names]
    taken = {"docker run": stage.docker and stage.docker.nodejs_ms, "node -e 0, not isolated,": rivals.node_ms()}
    remark = ", ".join(f"{what} {ms:.0f} ms" for what, ms in taken.items() if ms)
    return Figure(f"cold Node.js hello, {how}, p50", _quantile(runs, 0.5), "ms", remark, at_most=at_most)


def warm_python(stage: Stage) -> Iterator[Figure]:
    """By turns with functions-framework: the machine does not stay as fast as it was."""
    stage.platform.create_action("echo", PYTHON)
    one, many, naked_one, naked_many = [], [], [], []
    tuning, trials = rivals.best_tuning()
    with rivals.python_framework(tuning) as naked:
        for _ in range(stage.runs):
            one.append(stage.load("echo", clients=1, requests=stage.count(2000)))
            naked_one.append(naked.load(1, stage.count(2000)))
            many.append(stage.load("echo", clients=32, requests=stage.count(20000)))
            naked_many.append(naked.load(32, stage.count(20000)))
        theirs_mb = max(proportional_mb(pid) for pid in naked.pids)
    beside = f"functions-framework, gunicorn, naked: {_median_of(naked_one, 'p50_ms'):.2f} ms"
    yield Figure("warm Python, one client, p50", _median_of(one, "p50_ms"), "ms", beside, at_most=1)
    beside = f"functions-framework {_median_of(naked_one, 'p99_ms'):.2f} ms"
    yield Figure("warm Python, one client, p99", _median_of(one, "p99_ms"), "ms", beside, at_most=3)
    ours, theirs = (_median_of(runs, "per_second") for runs in (many, naked_many))
    yield Figure("warm Python a second, 32 clients", ours, "", _latencies(many))
    tried = ", ".join(f"{tuning}: {rate:,.0f}/s" for tuning, rate in trials.items())
    remark = f"{_latencies(naked_many)}; {tuning}, the best of a trial ({tried}); a worker holds {theirs_mb:.0f} MB"
    yield Figure("  functions-framework, gunicorn, naked", theirs, "", remark)
    yield Figure("  against functions-framework", ours / theirs, "×", "warm Python, 32 clients", at_least=1)
    yield _failures("Python", [*one, *many])
    yield _failures("functions-framework", [*naked_one, *naked_many])


def warm_nodejs(stage: Stage) -> Iterator[Figure]:
    stage.platform.create_action("echojs", NODEJS, "nodejs:default")
    if not rivals.has_nodejs_framework():
        runs = [stage.load("echojs", clients=32, requests=stage.count(20000)) for _ in range(stage.runs)]
        remark = f"{_latencies(runs)}; functions-framework for Node.js is missing: scripts/setup bench installs it"
        yield Figure("warm Node.js a second, 32 clients", _median_of(runs, "per_second"), "", remark)
        yield _failures("Node.js", runs)
        return
    runs, naked_runs = [], []
    with rivals.nodejs_framework() as naked:
        for _ in range(stage.runs):
            runs.append(stage.load("echojs", clients=32, requests=stage.count(20000)))
            naked_runs.append(naked.load(32, stage.count(20000)))
    ours, theirs = (_median_of(loads, "per_second") for loads in (runs, naked_runs))
    yield Figure("warm Node.js a second, 32 clients", ours, "", _latencies(runs))
    yield Figure("  functions-framework, one process, naked", theirs, "", _latencies(naked_runs))
    yield Figure("  against functions-framework, Node.js", ours / theirs, "×")
    yield _failures("Node.js", runs)
    yield _failures("functions-framework, Node.js", naked_runs)


def accepted(stage: Stage) -> Iterator[Figure]:
    """Non-blocking: answered once it is on the disk."""
    stage.platform.create_action("later", PYTHON)
    runs = [stage.load("later", clients=32, requests=stage.count(10000), blocking=False) for _ in range(stage.runs)]
    yield Figure("accepted a second, on disk, 32 clients", _median_of(runs, "per_second"), "")
    yield _failures("accepted", runs, expected=202)


def thousand_actions(stage: Stage) -> Iterator[Figure]:
    """One and all by turns; then what they hold."""
    stage.platform.create_action("single", PYTHON, limits={"memory": 128})
    names = stage.create("many", stage.count(1000))
    stage.load(*names, clients=8, requests=len(names), warm=False)
    one, all_ = [], []
    for _ in range(stage.runs):
        one.append(stage.load("single", clients=32, requests=stage.count(15000)))
        all_.append(stage.load(*names, clients=32, requests=stage.count(15000)))
    ratio = _median_of(all_, "per_second") / _median_of(one, "per_second")
    remark = f"{_median_of(all_, 'per_second'):,.0f}/s to {_median_of(one, 'per_second'):,.0f}/s"
    yield Figure(f"{len(names):,} actions in rotation against one", ratio, "×", remark, at_least=0.9)
    yield _failures("rotation", [*one, *all_])
    processes = sandbox_processes(stage.platform.process.pid)
    total = sum(proportional_mb(pid) for pid in processes)
    each = total / max(1, len(processes))
    yield Figure("idle warm Python container", each, "MB", f"proportional, of {len(processes)}", at_most=2.5)
    yield Figure("all idle containers together", total, "MB", at_most=3072)


def burst(stage: Stage) -> Iterator[Figure]:
    runs = [_first_calls(stage, f"burst-{run}", stage.count(200), None) for run in range(stage.runs)]
    what = f"burst of {stage.count(200)} fresh actions, all answered"
    yield Figure(what, _median_of(runs, "elapsed_s"), "s", _latencies(runs), at_most=3)
    yield _failures("burst", runs)


def sustained(stage: Stage) -> Iterator[Figure]:
    runs = [_first_calls(stage, f"flow-{run}", stage.count(500), 4) for run in range(stage.runs)]
    beside = f"docker run {stage.docker.per_second:.1f} a second" if stage.docker else _latencies(runs)
    yield Figure("sustained cold starts a second", _median_of(runs, "per_second"), "", beside, at_least=100)
    yield _failures("sustained", runs)


def _first_calls(stage: Stage, prefix: str, number: int, clients: int | None) -> Load:
    """The first invocation of that many actions, by so many clients or all at once."""
    names = stage.create(prefix, number)
    return measure(stage.port, *map(stage.request, names), clients=clients or number, requests=number)


def resume(stage: Stage) -> Iterator[Figure]:
    """On a platform that pauses idle containers after half a second."""
    names = stage.create("pausing", 5)
    for name in names:
        stage.platform.invoke(name, {})
    rounds = [(stage.cold_ms(names, 0), _after_pause(stage, names)) for _ in range(stage.runs)]
    unpaused, paused = (statistics.median(ms for found in rounds for ms in found[side]) for side in (0, 1))
    remark = f"{unpaused:.2f} → {paused:.2f} ms"
    if stage.docker:
        remark += f"; Docker pauses in {stage.docker.pause_ms:.1f} ms, unpauses in {stage.docker.unpause_ms:.1f} ms"
    yield Figure("resume from pause, added", max(0.0, paused - unpaused), "ms", remark, at_most=1)


def _after_pause(stage: Stage, names: list[str]) -> list[float]:
    time.sleep(2.5)
    return stage.cold_ms(names, 0)


WITH_DOCKER: tuple[Callable[[Stage], Iterator[Figure]], ...] = (
    cold_python, cold_nodejs, cold_nodejs_without_stem_cells, sustained, resume,
)  # fmt: skip
"""Those that are compared with `docker run`."""


def _quantile(runs: list[list[float]], share: float) -> float:
    """The median of the runs' quantiles; each run is ascending."""
    return statistics.median(at(run, share) for run in runs)


def _median_of(loads: list[Load], field: str) -> float:
    return float(statistics.median(getattr(load, field) for load in loads))


def _latencies(loads: list[Load]) -> str:
    middle = sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
    return f"p50 {middle.p50_ms:.1f}, p99 {middle.p99_ms:.1f} ms"


def _failures(what: str, loads: list[Load], expected: int = 200) -> Figure:
    """Other answers than the expected one, and none."""
    return Figure(f"  not answered {expected}, {what}", sum(load.failures for load in loads), "", at_most=0)
