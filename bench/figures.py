"""The measurements, one function for each."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

from bench import library, rivals
from bench.load import Load, measure
from bench.report import Figure
from bench.stage import NODEJS, PYTHON, Stage, at, measure_one, proportional_mb, resident_mb, sandbox_processes

RUNS = 5
LIBRARIES = "import asyncio, decimal, email.message, http.client, sqlite3, unittest, xml.dom.minidom, zipfile\n"


def median_of(runs: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(runs))


def idle_platform(stage: Stage) -> Iterator[Figure]:
    time.sleep(2)
    yield Figure("platform process, idle", resident_mb(stage.platform.process.pid), "MB", "resident", at_most=100)


def cold_python(stage: Stage) -> Iterator[Figure]:
    taken = stage.cold_ms(stage.create("cold", stage.count(300)), 0.02)
    fresh, docker = rivals.process_per_request_ms(), rivals.docker_run_ms()
    yield Figure("cold Python hello, p50", at(taken, 0.5), "ms", f"fresh interpreter alone {fresh:.1f} ms", at_most=12)
    remark = f"docker run {docker:.0f} ms" if docker else "no Docker Engine with a Python image here"
    yield Figure("cold Python hello, p99", at(taken, 0.99), "ms", remark, at_most=20)
    importing = stage.cold_ms(stage.create("lib", stage.count(100), LIBRARIES + PYTHON), 0.02)
    bare = rivals.process_per_request_ms(LIBRARIES)
    yield Figure("cold Python with libraries, p50", at(importing, 0.5), "ms", f"fresh interpreter alone {bare:.1f} ms")


def cold_python_with_a_set(stage: Stage) -> Iterator[Figure]:
    """On a platform that has the library's set."""
    code = f"import {library.NAME}\n{PYTHON}"
    hello = stage.cold_ms(stage.create("beside", stage.count(100)), 0.02)
    bringing = stage.cold_ms(stage.create("bringing", stage.count(50), library.archive(code)), 0.02)
    names = stage.create("set", stage.count(100), code, annotations=[{"key": "dependencies", "value": library.NAME}])
    stage.cold_ms(names[:1], 0)  # starts the zygote
    taken = stage.cold_ms(names[1:], 0.02)
    remark = f"hello {at(hello, 0.5):.1f} ms, the library in the action's archive {at(bringing, 0.5):.0f} ms"
    yield Figure("cold Python, 100 ms library in its set, p50", at(taken, 0.5), "ms", remark, at_most=12)
    yield Figure("cold Python, 100 ms library in its set, p99", at(taken, 0.99), "ms", at_most=20)


def cold_nodejs(stage: Stage) -> Iterator[Figure]:
    taken = stage.cold_ms(stage.create("coldjs", stage.count(40), NODEJS, "nodejs:default", 256), 0.3)
    yield Figure("cold Node.js hello, stem cell ready, p50", at(taken, 0.5), "ms", at_most=15)


def cold_nodejs_without_stem_cells(stage: Stage) -> Iterator[Figure]:
    taken = stage.cold_ms(stage.create("nostem", stage.count(30), NODEJS, "nodejs:default", 256), 0.05)
    bare = rivals.node_ms()
    yield Figure("cold Node.js hello, none ready, p50", at(taken, 0.5), "ms", f"node -e 0: {bare:.0f} ms", at_most=120)


def warm(stage: Stage) -> Iterator[Figure]:
    stage.platform.create_action("echo", PYTHON)
    stage.platform.create_action("echojs", NODEJS, "nodejs:default")
    runs = 1 if stage.quick else RUNS
    one = [stage.load("echo", clients=1, requests=stage.count(2000)) for _ in range(runs)]
    yield Figure("warm Python, one client, p50", statistics.median(r.p50_ms for r in one), "ms", at_most=1)
    yield Figure("warm Python, one client, p99", statistics.median(r.p99_ms for r in one), "ms", at_most=3)
    many = [stage.load("echo", clients=32, requests=stage.count(20000)) for _ in range(runs)]
    node = [stage.load("echojs", clients=32, requests=stage.count(20000)) for _ in range(runs)]
    naked = list(rivals.functions_framework(stage.count(20000), runs))
    ours = statistics.median(r.per_second for r in many)
    theirs = statistics.median(r.per_second for r in naked)
    yield Figure("warm Python a second, 32 clients", ours, "", _latencies(many))
    yield Figure("  functions-framework, gunicorn, naked", theirs, "", _latencies(naked))
    yield Figure("  ratio", ours / theirs, "×", "to functions-framework", at_least=1)
    yield Figure(
        "warm Node.js a second, 32 clients", statistics.median(r.per_second for r in node), "", _latencies(node)
    )
    durable = [stage.load("echo", clients=32, requests=stage.count(10000), blocking=False) for _ in range(runs)]
    yield Figure("accepted a second, on disk, 32 clients", statistics.median(r.per_second for r in durable), "")
    # Answers of non-blocking invocations are 202.
    failures = sum(r.failures for r in (*one, *many, *node))
    yield Figure("answers that were not 200", failures, "", at_most=0.5)


def thousand_actions(stage: Stage) -> Iterator[Figure]:
    stage.platform.create_action("single", PYTHON, limits={"memory": 128})
    names = stage.create("many", stage.count(1000))
    runs = 1 if stage.quick else 3
    stage.load(*names, clients=8, requests=len(names), warm=False)
    one = median_of(runs, lambda: stage.load("single", clients=32, requests=stage.count(20000)).per_second)
    all_ = median_of(runs, lambda: stage.load(*names, clients=32, requests=stage.count(20000)).per_second)
    yield Figure(f"{len(names):,} actions in rotation against one", all_ / one, "×", f"{all_:,.0f}/s", at_least=0.9)
    processes = sandbox_processes(stage.platform.process.pid)
    total = sum(proportional_mb(pid) for pid in processes)
    each = total / max(1, len(processes))
    yield Figure("idle warm Python container", each, "MB", f"proportional, of {len(processes)}", at_most=2.5)
    yield Figure("all of them", total, "MB", at_most=3072)


def burst(stage: Stage) -> Iterator[Figure]:
    names = stage.create("burst", stage.count(200))
    load = measure(stage.port, *(stage.request(n) for n in names), clients=len(names), requests=len(names))
    yield Figure(f"burst of {len(names)} fresh actions, all answered", load.elapsed_s, "s", _failed(load), at_most=3)


def sustained(stage: Stage) -> Iterator[Figure]:
    names = stage.create("flow", stage.count(1000))
    load = measure(stage.port, *(stage.request(n) for n in names), clients=4, requests=len(names))
    yield Figure("sustained cold starts a second", load.per_second, "", _failed(load), at_least=100)


def resume(stage: Stage) -> Iterator[Figure]:
    """On a platform that pauses idle containers after half a second."""
    names = stage.create("pausing", 5)
    for name in names:
        stage.platform.invoke(name, {})
    unpaused = statistics.median(ms for _ in range(5) for ms in stage.cold_ms(names, 0))
    paused = statistics.median(ms for _ in range(3) for ms in _after_pause(stage, names))
    yield Figure(
        "resume from pause, added", max(0.0, paused - unpaused), "ms", f"{unpaused:.2f} → {paused:.2f}", at_most=1
    )


def _after_pause(stage: Stage, names: list[str]) -> list[float]:
    time.sleep(2.5)
    return stage.cold_ms(names, 0)


def noisy_neighbour(stage: Stage) -> Iterator[Figure]:
    """A steady tenant alone, then beside one that asks for a hundred times of what it may have."""
    platform = stage.platform
    steady, noisy = platform.namespace("steady"), platform.namespace("noisy")
    quota = platform.sabayon("namespace", "limits", "set", "noisy", "--invocations-per-minute", "600")
    assert quota.returncode == 0, quota.stderr
    for key in (steady, noisy):
        platform.create_action("echo", PYTHON, auth=key)
        platform.invoke("echo", {}, auth=key)
    alone = _steady_p99(stage, steady)
    stop = threading.Event()

    def shout() -> None:
        while not stop.is_set():
            measure(stage.port, stage.request("echo", auth=noisy), clients=4, requests=2000)

    thread = threading.Thread(target=shout)
    thread.start()
    time.sleep(1)
    beside = _steady_p99(stage, steady)
    stop.set()
    thread.join()
    yield Figure(
        "steady tenant's p99 beside a noisy one", beside / alone, "×", f"{alone:.2f} → {beside:.2f} ms", at_most=1.25
    )


def _steady_p99(stage: Stage, key: str) -> float:
    request = stage.request("echo", auth=key)
    taken = []
    for _ in range(stage.count(1000)):
        taken.append(measure_one(stage.port, request))
        time.sleep(0.005)
    return at(sorted(taken), 0.99)


def _latencies(loads: list[Load]) -> str:
    middle = sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
    return f"p50 {middle.p50_ms:.1f}, p99 {middle.p99_ms:.1f} ms"


def _failed(load: Load) -> str:
    return f"{load.failures} failed, p50 {load.p50_ms:.0f}, p99 {load.p99_ms:.0f} ms"
