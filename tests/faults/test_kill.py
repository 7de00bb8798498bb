"""`kill -9` of the platform loses nothing that was returned and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.acceptance.running import Answer, Platform, await_value, lines, running
from tests.faults.leftovers import Watch, cgroups, network

SLOW = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'n': args['n']}\n"
ONCE = [{"key": "delivery", "value": "at-most-once"}]
"""What it interrupts, the platform does not run again at its next start."""

TOO_MANY = 429
FROZEN = {"freezer.state": "FROZEN", "cgroup.events": "frozen 1"}
QUICK = "def main(args):\n    return {'n': args['n']}\n"


def watched(platform: Platform) -> Watch:
    """The platform's processes, of which there are some."""
    watch = Watch(platform.process.pid)
    watch.look()
    assert watch.seen > 2
    assert any(f"sabayon-{platform.process.pid}-" in path for path in cgroups())
    assert any(f"interface sby{platform.process.pid}-" in trace for trace in network())
    assert any(f"table inet sabayon-{platform.process.pid}-" in trace for trace in network())
    return watch


def flood(platform: Platform, returned: list[str], accepted: list[str], started: threading.Semaphore) -> None:
    """200 concurrent invocations, half of them blocking, until the platform is gone."""

    def one(n: int) -> None:
        blocking = n % 2 == 0
        path = f"/namespaces/_/actions/{'quick' if n % 4 < 2 else 'slow'}?blocking={str(blocking).lower()}"
        try:
            while True:
                started.release()
                answer = platform.request("POST", path, {"n": n, "s": 0.2}, timeout=30)
                note(answer)
        except (OSError, HTTPException):
            return

    def note(answer: Answer) -> None:
        if answer.status == 200:
            returned.append(answer.json["activationId"])
        elif answer.status == 202:
            accepted.append(answer.json["activationId"])
        elif answer.status != TOO_MANY:  # more is accepted in a second than is run
            raise AssertionError(f"unexpected answer {answer.status}: {answer.body!r}")

    with ThreadPoolExecutor(200) as threads:
        for future in [threads.submit(one, n) for n in range(200)]:
            future.result()


def test_kill_during_200_concurrent_invocations_loses_nothing_that_was_returned(tmp_path: Path) -> None:
    returned: list[str] = []
    accepted: list[str] = []
    with running(tmp_path) as platform:
        platform.create_action("quick", QUICK)
        platform.create_action("slow", SLOW)
        platform.request("PUT", "/namespaces/_/triggers/t", {})
        platform.request("PUT", "/namespaces/_/rules/r", {"trigger": "/_/t", "action": "/_/quick"})
        entities = {
            kind: platform.request("GET", f"/namespaces/_/{kind}").json for kind in ("actions", "triggers", "rules")
        }
        started = threading.Semaphore(0)
        attack = threading.Thread(target=flood, args=(platform, returned, accepted, started))
        attack.start()
        for _ in range(400):
            assert started.acquire(timeout=30)
        watch = watched(platform)
        platform.kill()
        attack.join(60)
        assert returned
        assert accepted
    await_value(lambda: not [item for item in watch.leftovers() if not item.startswith(("cgroup", "table"))])

    with running(tmp_path) as platform:
        assert watch.leftovers() == set()
        assert {k: platform.request("GET", f"/namespaces/_/{k}").json for k in entities} == entities
        for activation_id in returned:
            assert platform.request("GET", f"/namespaces/_/activations/{activation_id}").status == 200
        for activation_id in accepted:
            record = platform.record(activation_id, within=60)
            assert record["response"]["status"] in ("success", "whisk internal error")
        assert platform.invoke("quick", {"n": 1}).json["response"]["result"] == {"n": 1}
        second = watched(platform)
        assert platform.stop() == 0
    assert second.leftovers() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there is no freezer")
def test_a_killed_platform_leaves_no_paused_sandbox_behind(tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_PAUSE_GRACE_S": "0"}) as platform:
        platform.create_action("quick", QUICK)
        assert platform.invoke("quick", {"n": 2}).status == 200
        own = f"sabayon-{platform.process.pid}-"
        await_value(lambda: any(is_frozen(Path(path)) for path in cgroups() if own in path))
        watch = watched(platform)
        platform.kill()
    await_value(lambda: not [item for item in watch.leftovers() if item.startswith("process")], within=3)


def is_frozen(group: Path) -> bool:
    """By either version's file."""
    states = {file: (group / file).read_text() for file in FROZEN if (group / file).exists()}
    return any(FROZEN[file] in text for file, text in states.items())


@pytest.mark.parametrize("how", ["term", "interrupt"])
def test_a_stopped_platform_leaves_nothing_behind_and_exits_0(tmp_path: Path, how: str) -> None:
    with running(tmp_path) as platform:
        platform.create_action("quick", QUICK)
        assert platform.invoke("quick", {"n": 2}).status == 200
        watch = watched(platform)
        platform.process.send_signal(signal.SIGTERM if how == "term" else signal.SIGINT)
        assert platform.process.wait(30) == 0
    assert watch.leftovers() == set()


def test_stopping_lets_running_activations_finish_and_ends_the_others_with_a_record(tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_DRAIN_S": "2"}) as platform:
        platform.create_action("slow", SLOW, annotations=ONCE)
        short = platform.request("POST", "/namespaces/_/actions/slow", {"n": 1, "s": 1}).json["activationId"]
        endless = platform.request("POST", "/namespaces/_/actions/slow", {"n": 2, "s": 50}).json["activationId"]
        blocked = platform.request("POST", "/namespaces/_/actions/slow", {"n": 3, "s": 0.01}).json["activationId"]
        platform.record(blocked)
        assert platform.stop() == 0
    with running(tmp_path) as platform:
        assert platform.record(short)["response"]["result"] == {"n": 1}
        record = platform.record(endless)
        assert record["response"]["status"] == "whisk internal error"
        assert record["response"]["result"] == {"error": "The platform stopped before the action finished."}


@pytest.mark.parametrize(
    "code", [SLOW, f"import time\ntime.sleep(50)\n{QUICK}"], ids=["while it runs", "while it loads"]
)
def test_a_second_signal_waits_for_nobody_and_still_leaves_a_record(tmp_path: Path, code: str) -> None:
    with running(tmp_path, environment={"SABAYON_DRAIN_S": "100"}) as platform:
        platform.create_action("slow", code, annotations=ONCE)
        platform.create_action("quick", QUICK)
        endless = platform.request("POST", "/namespaces/_/actions/slow", {"n": 1, "s": 50}).json["activationId"]
        for n in range(3):  # by then what was accepted before them has begun
            platform.create_action("quick", QUICK)
            assert platform.invoke("quick", {"n": n}).status == 200
        host, _, port = platform.api_host.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as dawdler:
            dawdler.sendall(b"PUT /api/v1/namespaces/_/actions/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
            assert platform.request("GET", "//ping").body == b"pong"
            platform.process.send_signal(signal.SIGINT)
            await_value(lambda: "stopping" in (tmp_path / "platform.log").read_text())
            platform.process.send_signal(signal.SIGINT)
            assert platform.process.wait(20) == 0
    with running(tmp_path) as platform:
        assert platform.record(endless)["response"]["status"] == "whisk internal error"


def test_the_demonstration_platform_log_is_free_of_keys(tmp_path: Path) -> None:
    with running(tmp_path, "--log-level", "debug", environment={"SABAYON_ACCESS_LOG": "true"}) as platform:
        platform.create_action("quick", QUICK)
        platform.invoke("quick", {"n": "a-parameter-value"})
        secret = platform.auth.partition(":")[2]
        platform.stop()
    log = (tmp_path / "platform.log").read_text()
    assert lines(log)
    assert secret not in log
    assert "a-parameter-value" not in log
