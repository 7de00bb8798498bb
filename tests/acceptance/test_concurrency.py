"""Several activations of one action at once in one container, as its owner sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.running import Platform, running

COUNT = 50
PAUSE_S = 0.3

CODE = {
    "python": """
import asyncio, os, uuid
process, begun = str(uuid.uuid4()), 0
async def main(args):
    global begun
    begun += 1
    mine = begun
    print("begin", args["n"])
    await asyncio.sleep(args["s"])
    print("end", os.environ["__OW_ACTIVATION_ID"])
    return {"process": process, "mine": mine, "id": os.environ["__OW_ACTIVATION_ID"]}
""",
    "nodejs": """
const process_ = require('crypto').randomUUID();
let begun = 0;
async function main({ n, s }) {
  const mine = ++begun;
  console.log('begin', n);
  await new Promise((done) => setTimeout(done, 1000 * s));
  console.log('end', process.env.__OW_ACTIVATION_ID);
  return { process: process_, mine, id: process.env.__OW_ACTIVATION_ID };
}
""",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


def kind_of(platform: Platform, language: str) -> str:
    if language not in platform.request("GET", "//").json["runtimes"]:
        if os.environ.get("CI"):
            pytest.fail("there is no `node` on the PATH")
        pytest.skip("there is no `node` on the PATH")
    return f"{language}:default"


def printed(platform: Platform, record: Any) -> list[str]:
    """What the log of an activation says, without times and streams."""
    return [line.split(": ", 1)[1] for line in platform.record(record["activationId"])["logs"]]


@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_fifty_activations_that_wait_do_so_together_in_one_container(platform: Platform, language: str) -> None:
    platform.create_action(language, CODE[language], kind_of(platform, language), limits={"concurrency": COUNT})

    def invoke(n: int) -> Any:
        return platform.invoke(language, {"n": n, "s": PAUSE_S}).json

    started = time.monotonic()
    with ThreadPoolExecutor(COUNT) as clients:
        records = list(clients.map(invoke, range(COUNT)))
    assert time.monotonic() - started < COUNT * PAUSE_S / 3
    results = [record["response"]["result"] for record in records]
    assert len({result["process"] for result in results}) == 1
    assert sorted(result["mine"] for result in results) == list(range(1, COUNT + 1))
    for n, record in enumerate(records):
        assert record["response"]["result"]["id"] == record["activationId"]
        assert printed(platform, record) == [f"begin {n}", f"end {record['activationId']}"]


def test_past_its_concurrency_an_action_takes_another_container(platform: Platform) -> None:
    platform.create_action("three", CODE["python"], limits={"concurrency": 3})
    with ThreadPoolExecutor(6) as clients:
        records = list(clients.map(lambda n: platform.invoke("three", {"n": n, "s": 1}).json, range(6)))
    processes = [record["response"]["result"]["process"] for record in records]
    assert sorted(processes.count(process) for process in set(processes)) == [3, 3]


def test_beside_an_activation_that_times_out_the_others_end_well_and_the_next_has_a_new_container(
    platform: Platform,
) -> None:
    platform.create_action("slow", CODE["python"], limits={"concurrency": 5, "timeout": 1000})
    with ThreadPoolExecutor(1) as clients:
        late = clients.submit(platform.invoke, "slow", {"n": 0, "s": 60})
        before, beside = (platform.invoke("slow", {"n": n, "s": 0.8}).json["response"]["result"] for n in (1, 2))
        late_record = late.result().json
    assert "exceeded its time limits" in late_record["response"]["result"]["error"]
    assert {"key": "timeout", "value": True} in late_record["annotations"]
    assert (beside["process"], beside["mine"]) == (before["process"], 3)
    again = platform.invoke("slow", {"n": 3, "s": 0}).json["response"]["result"]
    assert again["process"] != beside["process"]


def test_a_function_that_is_not_async_runs_in_turn_and_is_not_held_to_the_time_of_others(platform: Platform) -> None:
    code = "import time\ndef main(args):\n  time.sleep(0.3)\n  print(args['n'])\n  return {}"
    platform.create_action("turns", code, limits={"concurrency": COUNT, "timeout": 1000})
    with ThreadPoolExecutor(6) as clients:
        records = list(clients.map(lambda n: platform.invoke("turns", {"n": n}).json, range(6)))
    for n, record in enumerate(records):
        assert record["response"]["success"], record
        assert printed(platform, record) == [str(n)]


def test_more_than_the_platform_allows_is_refused_with_its_bound(platform: Platform) -> None:
    body = {"exec": {"kind": "python:default", "code": CODE["python"]}, "limits": {"concurrency": 501}}
    answer = platform.request("PUT", "/namespaces/_/actions/many", body)
    text = "requirement failed: concurrency 501 exceeds allowed threshold of 500"
    assert (answer.status, answer.json["error"]) == (400, text)
    assert platform.request("GET", "/namespaces/_/limits").json["maxActionConcurrency"] == 500


def test_the_operator_chooses_how_much_is_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("one"), environment={"SABAYON_MAX_CONCURRENCY": "1"}) as platform:
        body = {"exec": {"kind": "python:default", "code": CODE["python"]}, "limits": {"concurrency": 2}}
        answer = platform.request("PUT", "/namespaces/_/actions/two", body)
        text = "requirement failed: concurrency 2 exceeds allowed threshold of 1"
        assert (answer.status, answer.json["error"]) == (400, text)
