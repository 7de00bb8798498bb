"""`make bench`: the figures that users compare, with ratios to what they would use instead.

All with isolation, authentication and stored records on, load generator included, on this machine's cores.
"""

from __future__ import annotations

import base64
import os
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench import rivals
from bench.load import Load, measure
from tests.acceptance.running import Platform, running

ECHO = "def main(args):\n    return {'n': args.get('n')}\n"
ECHO_JS = "function main(args) { return { n: args.n }; }\n"
COLD_STARTS = 40


def main() -> None:
    print(f"{os.cpu_count()} cores, load generator included; isolation, authentication and records on\n")
    with tempfile.TemporaryDirectory(prefix="sabayon-bench-") as home, running(Path(home)) as platform:
        print(platform.ready_line)
        time.sleep(2)
        idle_mb = resident_mb(platform.process.pid)
        platform.create_action("echo", ECHO)
        platform.create_action("echojs", ECHO_JS, "nodejs:default")
        one, many = load_of(platform, "echo", 1, 2000), load_of(platform, "echo", 32, 20000)
        one_js, many_js = load_of(platform, "echojs", 1, 2000), load_of(platform, "echojs", 32, 20000)
        cold, cold_js = (
            cold_start_ms(platform, ECHO, "python:default"),
            cold_start_ms(platform, ECHO_JS, "nodejs:default"),
        )
        loaded_mb = resident_mb(platform.process.pid)
        accepted = load_of(platform, "echo", 32, 10000, blocking=False)
    with rivals.uvicorn_function() as port:
        plain_one, plain_many = plain(port, 1, 2000), plain(port, 32, 20000)
    fresh, docker = rivals.process_per_request_ms(), rivals.docker_run_ms()

    row("warm blocking invoke, 1 client, p50", f"{one.p50_ms:.2f} ms", "≤ 2 ms")
    row(
        "",
        f"× {one.p50_ms / plain_one.p50_ms:.1f}",
        f"of the same function bare under uvicorn ({plain_one.p50_ms:.2f} ms)",
    )
    row("  the same in Node.js", f"{one_js.p50_ms:.2f} ms")
    row(
        "warm invokes a second, 32 clients",
        f"{many.per_second:,.0f}",
        f"≥ 2,000; p50 {many.p50_ms:.1f}, p99 {many.p99_ms:.1f} ms",
    )
    row("", f"× {many.per_second / plain_many.per_second:.2f}", f"of bare uvicorn ({plain_many.per_second:,.0f})")
    row("  the same in Node.js", f"{many_js.per_second:,.0f}", f"p50 {many_js.p50_ms:.1f}, p99 {many_js.p99_ms:.1f} ms")
    row("accepted a second, non-blocking, on disk", f"{accepted.per_second:,.0f}", f"p50 {accepted.p50_ms:.1f} ms")
    row("cold start, Python hello, p50", f"{cold[0]:.1f} ms", f"≤ 40 ms; p95 {cold[1]:.1f} ms")
    row("", f"× {cold[0] / fresh:.2f}", f"of a fresh interpreter without isolation ({fresh:.1f} ms)")
    if docker:
        row("", f"× {cold[0] / docker:.2f}", f"of docker run ({docker:.0f} ms)")
    row(
        "cold start, Node.js hello, p50",
        f"{cold_js[0]:.1f} ms",
        f"p95 {cold_js[1]:.1f} ms; from a stem cell when one is ready",
    )
    row("platform process, idle", f"{idle_mb:.0f} MB", f"≤ 120 MB; {loaded_mb:.0f} MB after the load")
    failures = sum(load.failures for load in (one, many, one_js, many_js))
    row("answers that were not 200", str(failures), "of 44,000")


def row(what: str, figure: str, remark: str = "") -> None:
    print(f"{what:<44}{figure:>12}   {remark}")


def request_of(platform: Platform, action: str, *, blocking: bool) -> bytes:
    auth = base64.b64encode(platform.auth.encode()).decode()
    body = b'{"n":1}'
    head = (
        f"POST /api/v1/namespaces/_/actions/{action}?blocking={str(blocking).lower()} HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Basic {auth}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load_of(platform: Platform, action: str, clients: int, requests: int, *, blocking: bool = True) -> Load:
    address = urlsplit(platform.api_host)
    request = request_of(platform, action, blocking=blocking)
    assert address.hostname
    assert address.port
    measure(address.hostname, address.port, request, clients=clients, requests=clients * 10)
    return measure(address.hostname, address.port, request, clients=clients, requests=requests)


def plain(port: int, clients: int, requests: int) -> Load:
    body = b'{"n":1}'
    request = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    measure("127.0.0.1", port, request, clients=clients, requests=clients * 10)
    return measure("127.0.0.1", port, request, clients=clients, requests=requests)


def cold_start_ms(platform: Platform, code: str, kind: str) -> tuple[float, float]:
    """p50 and p95 of the first blocking invocation of actions that never ran."""
    taken = []
    for number in range(COLD_STARTS):
        name = f"cold-{kind.partition(':')[0]}-{number}"
        platform.create_action(name, code, kind)
        started = time.perf_counter()
        answer = platform.invoke(name, {"n": 1})
        taken.append((time.perf_counter() - started) * 1000)
        assert answer.status == 200, answer.body
        time.sleep(0.15)  # a person's pace: stem cells are refilled meanwhile
    ordered = sorted(taken)
    return statistics.median(ordered), ordered[int(0.95 * len(ordered))]


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("bench: the platform is gone")


if __name__ == "__main__":
    main()
