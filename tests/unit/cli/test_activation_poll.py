"""`wsk activation poll`: new activations and their logs as they come."""

import json
import time
from typing import Any

import pytest

from tests.unit.cli.terminal import wsk

OPENING = "Enter Ctrl-c to exit.\nPolling for activation logs\n"
NEWEST = "GET activations?docs=true&limit=1&skip=0"


def record(identity: str, start: int, *logs: str) -> dict[str, Any]:
    return {"activationId": identity, "name": "h", "namespace": "guest", "start": start, "logs": list(logs)}


def answering(*lists: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """The first list is the answer to the look for the newest activation, the others to the rounds that follow."""
    return {("GET", "activations"): [(200, records) for records in lists]}


def test_polling_starts_after_the_newest_activation_and_shows_each_new_one_once() -> None:
    first, second = record("a1", 2000, "l1", "l2"), record("a2", 3000)
    server = answering([record("a0", 1000)], [first], [second, first])
    run = wsk("activation", "poll", "-e", "1", server=server)
    assert run.exit == 0
    assert run.lines[:2] == [NEWEST, "GET activations?docs=true&limit=0&since=1001&skip=0"]
    shown_first = f"\nActivation: 'h' (a1)\n{json.dumps(['l1', 'l2'], indent=4)}\n"
    assert run.stdout.startswith(OPENING + shown_first)
    assert run.stdout.count("(a1)") == 1


def test_polling_goes_on_until_interrupted() -> None:
    first, second = record("a1", 2_000_000, "l1"), record("a2", 2_100_000, "l2")
    server = answering([record("a0", 1000)], [first], [second, first])
    run = wsk("activation", "poll", server=server, interrupt_after=4)
    assert run.exit == 1
    assert run.stdout.startswith(OPENING + "\nActivation: 'h' (a1)\n[\n    \"l1\"\n]\n\nActivation: 'h' (a2)\n")
    assert run.stdout.count("(a1)") == 1
    assert run.stdout.count("(a2)") == 1
    assert run.stdout.endswith("Poll terminated\n")
    looks = [int(request.query["since"]) for request in run.requests[1:4]]
    assert looks[0] == 1001 < looks[1] < looks[2] <= 2_100_001


def test_polling_finds_what_started_before_the_newest_and_took_as_long_as_it_may() -> None:
    newest = record("a1", 2_000_000)
    server = answering([record("a0", 1000)], [newest], [newest])
    run = wsk("activation", "poll", server=server, interrupt_after=3)
    assert int(run.requests[2].query["since"]) == 2_000_000 - 300_000


def test_polling_where_nothing_ran_yet_shows_everything() -> None:
    run = wsk("activation", "poll", server=answering([], []), interrupt_after=2)
    assert run.lines[:2] == [NEWEST, "GET activations?docs=true&limit=0&skip=0"]


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        (["--since-seconds", "5"], 5),
        (["--since-minutes", "2"], 120),
        (["--since-days", "1", "--since-hours", "1"], 90_000),
    ],
)
def test_polling_may_start_some_time_ago(flags: list[str], seconds: int) -> None:
    before = int(time.time())
    run = wsk("activation", "poll", *flags, interrupt_after=1)
    since = int(run.requests[0].query["since"])
    assert (before - seconds) * 1000 <= since <= (time.time() - seconds) * 1000
    assert run.requests[0].query == {"docs": "true", "limit": "0", "since": str(since), "skip": "0"}


@pytest.mark.parametrize(("name", "asked"), [("h", "h"), ("pkg/h", "pkg/h"), ("/ns/pkg/h", "pkg/h"), ("/_/h", "h")])
def test_polling_for_one_action_asks_for_its_name_within_the_namespace(name: str, asked: str) -> None:
    run = wsk("activation", "poll", name, "--since-seconds", "5", interrupt_after=1)
    assert run.requests[0].query["name"] == asked


def test_polling_does_not_hammer_a_server_that_fails() -> None:
    failing: Any = {("GET", "activations"): (503, None)}
    run = wsk("activation", "poll", "--exit", "1", server=failing)
    assert run.exit == 0
    assert len(run.requests) <= 4
