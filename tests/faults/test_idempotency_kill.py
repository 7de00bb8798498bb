"""`kill -9` anywhere between a key and its record: the retry finds the one activation, and that has its record."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.acceptance.running import Answer, Platform, running

SLOW = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'n': args['n']}\n"
KEYS = 60
TOO_MANY = 429


def invoke(platform: Platform, n: int) -> Answer:
    """Every third request waits for the result; what a request means depends on `n` alone."""
    path = f"/namespaces/_/actions/slow?blocking={str(n % 3 == 0).lower()}"
    return platform.request("POST", path, {"n": n, "s": 0.05}, headers={"Idempotency-Key": f"key {n}"}, timeout=30)


def flood(platform: Platform, told: dict[int, set[str]], numbers: Iterable[int]) -> None:
    """Each key from two clients, until the platform is gone."""

    def one(n: int) -> None:
        try:
            answer = invoke(platform, n)
        except (OSError, HTTPException):
            return
        assert answer.status in (200, 202), answer.body
        told[n].add(answer.json["activationId"])

    with ThreadPoolExecutor(16) as threads:
        for future in [threads.submit(one, n) for n in numbers for _ in range(2)]:
            future.result()


@pytest.mark.timeout(180)
def test_each_key_has_one_activation_with_one_record_however_often_the_platform_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print("seed", seed)
    told: dict[int, set[str]] = {n: set() for n in range(KEYS)}
    for kill in range(3):
        with running(tmp_path) as platform:
            if kill == 0:
                platform.create_action("slow", SLOW)
            attack = threading.Thread(target=flood, args=(platform, told, list(told)))
            attack.start()
            time.sleep(chance.uniform(0.02, 0.6))  # the moment is the experiment
            platform.kill()
            attack.join(60)
            assert not attack.is_alive()
    with running(tmp_path) as platform:
        for n, ids in told.items():
            again = platform.request(
                "POST",
                "/namespaces/_/actions/slow?blocking=true&result=true",
                {"n": n, "s": 0.05},
                headers={"Idempotency-Key": f"key {n}"},
            )
            assert (again.status, again.json) == (200, {"n": n})
            ids.add(again.headers["x-openwhisk-activation-id"])
        assert [len(ids) for ids in told.values()] == [1] * KEYS
        count = platform.request("GET", "/namespaces/_/activations?name=slow&count=true").json
        assert count == {"activations": KEYS}


def test_a_blocking_call_that_a_kill_interrupted_runs_again_under_its_id_and_its_retry_gets_the_result(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as platform:
        platform.create_action("slow", SLOW)
        caller = ThreadPoolExecutor(1)
        waiting = caller.submit(
            platform.request,
            "POST",
            "/namespaces/_/actions/slow?blocking=true",
            {"n": 1, "s": 5},
            headers={"Idempotency-Key": "k"},
        )
        begun = platform.request(
            "POST", "/namespaces/_/actions/slow", {"n": 1, "s": 5}, headers={"Idempotency-Key": "k"}
        )
        assert begun.status == 202
        platform.kill()
        assert isinstance(waiting.exception(10), OSError | HTTPException)
        caller.shutdown()
    with running(tmp_path) as platform:
        path = "/namespaces/_/actions/slow?blocking=true"
        answer = platform.request("POST", path, {"n": 1, "s": 5}, headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.json["response"]["result"]) == (200, {"n": 1})
        assert answer.json["activationId"] == begun.json["activationId"]
        assert len(platform.request("GET", "/namespaces/_/activations?name=slow").json) == 1
