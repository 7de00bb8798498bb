"""One activation for all requests with one key, as clients see it: at once, later, and after kills."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.acceptance.running import Answer, Platform, await_value, running

ONCE = "import time, uuid\ndef main(args):\n    time.sleep(args.get('s', 0.5))\n    return {'run': str(uuid.uuid4())}\n"
COUNT = 500


def invoke(platform: Platform, key: str, payload: Any = None, query: str = "", name: str = "once") -> Answer:
    path = f"/namespaces/_/actions/{name}?{query}"
    return platform.request("POST", path, payload or {}, headers={"Idempotency-Key": key})


def records(platform: Platform, name: str = "once") -> list[str]:
    found = platform.request("GET", f"/namespaces/_/activations?name={name}&limit=100").json
    return [record["activationId"] for record in found]


def test_500_requests_at_once_with_one_key_are_one_activation_with_one_result(fresh_platform: Platform) -> None:
    platform = fresh_platform
    platform.create_action("once", ONCE)
    with ThreadPoolExecutor(COUNT) as threads:
        asked = [threads.submit(invoke, platform, "k", {}, "blocking=true") for _ in range(COUNT)]
        answers = [future.result() for future in asked]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert records(platform) == [answers[0].json["activationId"]]


def test_what_is_told_apart_and_what_wsk_says(platform: Platform) -> None:
    platform.create_action("told", "def main(args):\n    return args\n")
    first = invoke(platform, "one", {"n": 1}, name="told")
    assert invoke(platform, "one", {"n": 1}, "blocking=true&result=true", name="told").json == {"n": 1}
    other = invoke(platform, "one", {"n": 2}, name="told")
    assert other.status == 409
    assert "was used for another request" in other.json["error"]
    assert invoke(platform, "x" * 256, name="told").status == 400
    assert len(records(platform, "told")) == 1
    run = platform.wsk("action", "invoke", "told", "-p", "n", "1", "--idempotency-key", "two")
    again = platform.wsk("action", "invoke", "told", "-p", "n", "1", "--idempotency-key", "two")
    assert run.stdout == again.stdout
    assert first.json["activationId"] not in run.stdout


def test_a_trigger_is_fired_once(platform: Platform) -> None:
    platform.create_action("fired", "def main(args):\n    return args\n")
    platform.request("PUT", "/namespaces/_/triggers/t", {})
    platform.request("PUT", "/namespaces/_/rules/r", {"trigger": "/_/t", "action": "/_/fired"})
    with ThreadPoolExecutor(20) as threads:
        runs = list(threads.map(lambda _: platform.wsk("trigger", "fire", "t", "--idempotency-key", "k"), range(5)))
    assert len({run.stdout for run in runs}) == 1
    assert [run.returncode for run in runs] == [0] * 5
    await_value(lambda: records(platform, "fired"))
    assert len(records(platform, "fired")) == 1


def test_a_key_is_known_after_a_restart_and_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        platform.create_action("once", ONCE)
        first = invoke(platform, "k", {}, "blocking=true")
        assert first.status == 200
        assert platform.stop() == 0
    with running(tmp_path) as platform:
        assert invoke(platform, "k", {}, "blocking=true").body == first.body
        platform.kill()
    with running(tmp_path) as platform:
        assert invoke(platform, "k", {}, "blocking=true").body == first.body
        assert invoke(platform, "k", {"s": 1}).status == 409
        assert records(platform) == [first.json["activationId"]]
