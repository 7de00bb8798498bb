"""Stopping activations, as their owner sees it: what runs, what waits, what is made of others; who is not harmed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Answer, Platform, await_value, running

SPIN = "import time\ndef main(args):\n    print('begun', flush=True)\n    time.sleep(50)\n    return args\n"
MEET = """
import asyncio, uuid
process = str(uuid.uuid4())
async def main(args):
    print("begun", args["n"])
    await asyncio.sleep(args["s"])
    print("ended", args["n"])
    return {"process": process}
"""
CANCELLED = {"error": "The activation was cancelled."}
SMALL = {"SABAYON_POOL_MEMORY_MB": "512"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With room for little, so that something has to wait."""
    with running(tmp_path_factory.mktemp("platform"), environment=SMALL) as platform:
        platform.create_action("spin", SPIN)
        platform.create_action("echo", "def main(args):\n    return args\n")
        yield platform


def accept(platform: Platform, name: str, payload: Any = None) -> str:
    answer = platform.request("POST", f"/namespaces/_/actions/{name}", payload or {})
    assert answer.status == 202, answer.body
    activation_id: str = answer.json["activationId"]
    return activation_id


def cancel(platform: Platform, activation_id: str, **rest: Any) -> Answer:
    return platform.request("DELETE", f"/namespaces/_/activations/{activation_id}", **rest)


def check_cancelled(record: Any) -> None:
    assert record["response"] == {"result": CANCELLED, "status": "application error", "success": False}
    assert {"key": "cancelled", "value": True} in record["annotations"]


def test_who_waits_for_what_runs_gets_its_record_and_so_does_who_cancels(platform: Platform) -> None:
    with ThreadPoolExecutor() as threads:
        key = {"Idempotency-Key": "the one that is cancelled"}
        path = "/namespaces/_/actions/spin?blocking=true"
        waiting = threads.submit(platform.request, "POST", path, {}, headers=key)
        again = platform.request("POST", f"{path}&timeout=1500", {}, headers=key)
        assert again.status == 202
        answer = cancel(platform, again.json["activationId"])
        assert answer.status == 200, answer.body
        check_cancelled(answer.json)
        assert [line.partition("stdout: ")[2] for line in answer.json["logs"]] == ["begun"]
        assert answer.json["duration"] < 30_000
        returned = waiting.result(10)
    assert (returned.status, returned.json) == (502, {**answer.json, "logs": []})
    assert platform.record(answer.json["activationId"]) == answer.json


def test_what_waits_never_starts_and_what_runs_makes_room(platform: Platform) -> None:
    key = platform.namespace("crowd")
    ids = [accept(platform, "spin") for _ in range(4)]
    answers = [cancel(platform, activation_id) for activation_id in reversed(ids)]
    assert [answer.status for answer in answers] == [200] * 4
    for answer in answers:
        check_cancelled(answer.json)
    assert any(answer.json["logs"] == [] for answer in answers)
    assert platform.invoke("echo", {"n": 1}, timeout=20).json["response"]["result"] == {"n": 1}
    assert cancel(platform, ids[0], auth=key).status == 404


def test_a_sequence_stops_with_what_it_runs(platform: Platform) -> None:
    body = {"exec": {"kind": "sequence", "components": ["/_/echo", "/_/spin", "/_/echo"]}}
    assert platform.request("PUT", "/namespaces/_/actions/steps", body).status == 200
    activation_id = accept(platform, "steps")
    await_value(lambda: platform.request("GET", "/namespaces/_/activations?name=echo&limit=1").json)
    answer = cancel(platform, activation_id)
    assert answer.status == 200, answer.body
    check_cancelled(answer.json)
    records = [platform.record(id) for id in answer.json["logs"]]
    assert [record["name"] for record in records] in (["echo"], ["echo", "spin"])
    if len(records) == 2:
        check_cancelled(records[1])


def test_others_in_the_container_go_on_and_nobody_joins_them(platform: Platform) -> None:
    platform.create_action("meet", MEET, limits={"concurrency": 5})
    before = platform.invoke("meet", {"n": 1, "s": 0}).json["response"]["result"]
    other, cancelled = accept(platform, "meet", {"n": 2, "s": 2}), accept(platform, "meet", {"n": 3, "s": 50})
    check_cancelled(cancel(platform, cancelled).json)
    record = platform.record(other)
    assert record["response"]["result"] == before
    assert [line.partition("stdout: ")[2] for line in record["logs"]] == ["begun 2", "ended 2"]
    assert platform.invoke("meet", {"n": 4, "s": 0}).json["response"]["result"] != before


def test_what_has_finished_or_never_was_is_told_apart_also_by_wsk(platform: Platform) -> None:
    finished = platform.invoke("echo").json["activationId"]
    answer = cancel(platform, finished)
    assert (answer.status, answer.json["error"]) == (409, "The activation has finished already.")
    assert cancel(platform, "0" * 32).status == 404
    assert cancel(platform, "x").status == 400
    activation_id = accept(platform, "spin")
    done = platform.wsk("activation", "cancel", activation_id)
    assert (done.returncode, done.stdout) == (0, f"ok: cancelled activation {activation_id}\n")
    assert "has finished already" in platform.wsk("activation", "cancel", activation_id).stderr


def test_what_was_cancelled_does_not_run_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path, environment=SMALL) as platform:
        platform.create_action("spin", SPIN)
        ids = [accept(platform, "spin") for _ in range(3)]
        records = [cancel(platform, activation_id).json for activation_id in ids]
        platform.kill()
    with running(tmp_path) as platform:
        assert [platform.record(activation_id) for activation_id in ids] == records
        assert len(platform.request("GET", "/namespaces/_/activations?name=spin").json) == 3
