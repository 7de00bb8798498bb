"""`kill -9` with work in every state: what was accepted ends once, and at-most-once is kept."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Platform, await_value, running

FLAKY = """
import os

def main(args):
    attempt = int(os.environ["__OW_ATTEMPT"])
    return {"n": args["n"]} if attempt > 2 else {"error": "not yet"}
"""
TELLTALE = """
import json, os, time, urllib.request, base64, uuid

def main(args):
    key = base64.b64encode(os.environ["__OW_API_KEY"].encode()).decode()
    name = f"ran-{args['n']}-{uuid.uuid4()}"
    request = urllib.request.Request(
        f"{os.environ['__OW_API_HOST']}/api/v1/namespaces/_/triggers/{name}",
        b"{}",
        {"Authorization": f"Basic {key}", "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request).read()
    time.sleep(args["s"])
    return {"n": args["n"]}
"""
"""Each run leaves a trigger, whatever becomes of it."""

QUICK = "def main(args):\n    return {}\n"
WAITING = 100_000
SERVES_WITHIN_S = 3.0


def entries(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("_", "-"), "value": value} for key, value in values.items()]


def submitted(platform: Platform, name: str, payload: Any) -> str:
    answer = platform.request("POST", f"/namespaces/_/actions/{name}", payload)
    assert answer.status == 202, answer.body
    activation_id: str = answer.json["activationId"]
    return activation_id


def annotation(record: Any, key: str) -> Any:
    return {entry["key"]: entry["value"] for entry in record["annotations"]}.get(key)


def total(platform: Platform, collection: str, query: str = "") -> int:
    answer = platform.request("GET", f"/namespaces/_/{collection}?count=true{query}")
    count: int = answer.json[collection]
    return count


def journaled(platform: Platform) -> int:
    """How many entries the journal has."""
    with sqlite3.connect(f"file:{platform.data_dir / 'sabayon.db'}?mode=ro", uri=True) as connection:
        [[count]] = connection.execute("SELECT count(*) FROM journal")
    return int(count)


def test_kills_while_retries_are_pending_neither_lose_nor_double_anything(tmp_path: Path) -> None:
    chance = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    accepted: list[str] = []
    for round_ in range(4):
        with running(tmp_path) as platform:
            if not round_:
                platform.create_action("note", QUICK)
                platform.request("PUT", "/namespaces/_/triggers/done", {})
                platform.request("PUT", "/namespaces/_/rules/r", {"trigger": "/_/done", "action": "/_/note"})
                platform.create_action("flaky", FLAKY, annotations=entries(retries=5, on_success="done"))
            accepted += [submitted(platform, "flaky", {"n": n}) for n in range(15)]
            threading.Event().wait(chance.uniform(0, 2))
            platform.kill()
    with running(tmp_path) as platform:
        for activation_id in accepted:
            record = platform.record(activation_id, within=60)
            assert record["response"]["status"] == "success", record
            assert annotation(record, "attempts") >= 3
        await_value(lambda: not journaled(platform))
        assert total(platform, "activations", "&name=flaky") == len(accepted)
        assert total(platform, "activations", "&name=done") == len(accepted)
        assert total(platform, "dead-letters") == 0


def test_a_kill_runs_what_is_delivered_at_most_once_no_second_time_and_says_so(tmp_path: Path) -> None:
    ids: dict[str, list[str]] = {"once": [], "again": []}
    with running(tmp_path) as platform:
        own = {"provide_api_key": True}
        platform.create_action("once", TELLTALE, annotations=entries(delivery="at-most-once", **own))
        platform.create_action("again", TELLTALE, annotations=entries(**own))
        for name, accepted in ids.items():
            accepted.append(submitted(platform, name, {"n": f"{name}-0", "s": 0}))
            platform.record(accepted[0])
        for n in range(1, 6):
            for name, accepted in ids.items():
                accepted.append(submitted(platform, name, {"n": f"{name}-{n}", "s": 2}))
        await_value(lambda: total(platform, "triggers") >= 6)
        platform.kill()
    with running(tmp_path) as platform:
        for name, accepted in ids.items():
            for n, activation_id in enumerate(accepted):
                record = platform.record(activation_id, within=60)
                if name == "again" or not n:
                    assert record["response"]["result"] == {"n": f"{name}-{n}"}
                else:
                    assert record["response"]["result"] == {"error": "The platform stopped before the action finished."}
                    assert annotation(record, "attempts") is None
        runs = [trigger["name"].split("-")[1:3] for trigger in triggers(platform)]
        for n in range(6):
            assert runs.count(["again", str(n)]) >= 1
            assert runs.count(["once", str(n)]) <= 1
        letters = platform.request("GET", "/namespaces/_/dead-letters").json
        assert {letter["activationId"] for letter in letters} == set(ids["once"][1:])


def triggers(platform: Platform) -> Any:
    return platform.request("GET", "/namespaces/_/triggers?limit=200").json


def test_with_a_long_journal_fresh_requests_are_served_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        platform.create_action("quick", QUICK)
        path = "/namespaces/_/actions/quick?delay=80000"
        template = platform.request("POST", path, {"n": 1}).json["activationId"]
        platform.stop()
    multiply(tmp_path / "data" / "sabayon.db", template)
    started = time.monotonic()
    with running(tmp_path) as platform:
        assert platform.invoke("quick").status == 200
        took_s = time.monotonic() - started
        assert took_s < SERVES_WITHIN_S, took_s
        await_value(lambda: total(platform, "activations") > 200)
        [latest] = platform.request("GET", "/namespaces/_/activations?limit=1&docs=true").json
        assert latest["response"]["success"]
        for _ in range(20):
            begun = time.monotonic()
            assert platform.invoke("quick").status == 200
            assert time.monotonic() - begun < SERVES_WITHIN_S
        platform.kill()


def multiply(database: Path, template: str) -> None:
    """Many more entries like `template`, which somebody had in hand when the platform was killed."""
    connection = sqlite3.connect(database)
    query = "SELECT message, namespace FROM journal WHERE id = ?"
    [[message, namespace]] = connection.execute(query, (template,))
    entry = json.loads(message)
    entry["message"]["accepted_ms"] = int(time.time() * 1000)
    text = json.dumps(entry)
    ids = (f"{number:032x}" for number in range(WAITING))
    rows = ((id, namespace, text.replace(template, id).encode()) for id in ids)
    statement = "INSERT INTO journal (id, namespace, message, due, attempts, is_held) VALUES (?, ?, ?, 0, 1, 1)"
    connection.executemany(statement, rows)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_what_waits_for_its_retry_is_where_it_was_after_a_restart(tmp_path: Path, how: str) -> None:
    with running(tmp_path) as platform:
        platform.create_action("flaky", FLAKY, annotations=entries(retries=3))
        activation_id = submitted(platform, "flaky", {"n": 1})
        await_value(lambda: [row for row in attempts_of(platform) if row == (activation_id, 1, 0)])
        getattr(platform, how)()
    with running(tmp_path) as platform:
        record = platform.record(activation_id)
        assert (record["response"]["result"], annotation(record, "attempts")) == ({"n": 1}, 3)


def attempts_of(platform: Platform) -> list[tuple[str, int, int]]:
    with sqlite3.connect(f"file:{platform.data_dir / 'sabayon.db'}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT id, attempts, is_held FROM journal").fetchall()
