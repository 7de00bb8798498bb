"""Timers as their owner uses them: the feeds of `/whisk.system/alarms` through `wsk`, on a real platform."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Platform, await_value, running

FEEDS = "/whisk.system/alarms"
EVERY_SECOND = "* * * * * *"
FAR_MS = 4_102_444_800_000
"""The year 2100."""
FEED_FAILED = 246
"""The exit code of `wsk` when a feed action refuses."""
ECHO = "def main(args):\n    return args\n"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def create(platform: Platform, trigger: str, feed: str, **given: Any) -> None:
    result = platform.wsk("trigger", "create", trigger, "--feed", f"{FEEDS}/{feed}", *parameters(given))
    assert (result.returncode, result.stderr) == (0, "")


def parameters(given: dict[str, Any]) -> list[str]:
    return [part for key, value in given.items() for part in ("-p", key, json.dumps(value))]


def read(platform: Platform, trigger: str) -> Any:
    """What the feed says of a trigger's timer."""
    result = platform.wsk("trigger", "get", trigger)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout[result.stdout.index("{") :])["response"]["result"]


def heard(platform: Platform, trigger: str) -> None:
    """Connect `trigger` to an action, without which nobody notes that it fires."""
    platform.create_action(f"{trigger}-heard", ECHO)
    rule = {"trigger": f"/_/{trigger}", "action": f"/_/{trigger}-heard"}
    answer = platform.request("PUT", f"/namespaces/_/rules/{trigger}-rule", rule)
    assert answer.status == 200, answer.body


def create_heard(platform: Platform, trigger: str, feed: str, **given: Any) -> None:
    """A timer that cannot fire before its rule is there, however slow the machine is."""
    answer = platform.request("PUT", f"/namespaces/_/triggers/{trigger}", {})
    assert answer.status == 200, answer.body
    heard(platform, trigger)
    invoked = invoke_feed(platform, feed, "CREATE", f"/_/{trigger}", platform.auth, **given)
    assert invoked == {"status": "success"}


def invoke_feed(platform: Platform, feed: str, event: str, trigger: str, key: str, **given: Any) -> Any:
    """One event in a feed's life, as any client may send it; the result."""
    body = {"lifecycleEvent": event, "triggerName": trigger, "authKey": key, **given}
    path = f"/namespaces/whisk.system/actions/alarms/{feed}?blocking=true"
    return platform.request("POST", path, body, auth=key).json["response"]["result"]


def fires(platform: Platform, trigger: str) -> list[int]:
    """When `trigger` was fired, epoch ms, in order."""
    answer = platform.request("GET", f"/namespaces/_/activations?name={trigger}&limit=200")
    return sorted(record["start"] for record in answer.json)


def disabled(platform: Platform, trigger: str, feed: str = "alarm") -> Any:
    """The status of a timer once it is no longer active."""

    def probe() -> Any:
        status = invoke_feed(platform, feed, "READ", f"/_/{trigger}", platform.auth)["status"]
        return status if not status["active"] else None

    return await_value(probe)


@pytest.mark.parametrize(
    ("feed", "given", "update", "config"),
    [
        (
            "alarm",
            {"cron": "0 9 * * 1-5", "timezone": "Europe/Rome", "trigger_payload": {"to": "rise"}},
            {"cron": "30 8 * * *", "timezone": "Asia/Tokyo"},
            {"payload": {"to": "rise"}, "strict": False, "cron": "30 8 * * *", "timezone": "Asia/Tokyo"},
        ),
        (
            "once",
            {"date": FAR_MS, "deleteAfterFire": "rules"},
            {"date": "2101-01-01T00:00:00Z", "deleteAfterFire": "true", "trigger_payload": "late"},
            {
                "payload": {"payload": "late"},
                "strict": False,
                "date": "2101-01-01T00:00:00Z",
                "deleteAfterFire": "true",
            },
        ),
        (
            "interval",
            {"minutes": 5, "startDate": FAR_MS - 2, "stopDate": FAR_MS},
            {"minutes": 7, "startDate": FAR_MS - 1},
            {
                "payload": {"payload": ""},
                "strict": False,
                "minutes": 7,
                "startDate": FAR_MS - 1,
                "stopDate": FAR_MS,
            },
        ),
    ],
)
def test_a_feed_creates_reads_updates_and_deletes_a_timer(
    platform: Platform, feed: str, given: dict[str, Any], update: dict[str, Any], config: dict[str, Any]
) -> None:
    trigger = f"life-of-{feed}"
    create(platform, trigger, feed, **given)
    created = read(platform, trigger)
    assert created["status"]["active"]
    assert {key: created["config"][key] for key in given if key in created["config"]} == {
        key: value for key, value in given.items() if key != "trigger_payload"
    }

    assert platform.wsk("trigger", "update", trigger, *parameters(update)).returncode == 0
    updated = read(platform, trigger)
    assert updated["config"] == {"name": trigger, "namespace": "guest", **config}
    assert updated["status"]["active"]
    assert updated["status"]["dateChanged"] > created["status"]["dateChanged"]

    assert platform.wsk("trigger", "delete", trigger).returncode == 0
    assert platform.wsk("trigger", "get", trigger).returncode != 0
    platform.request("PUT", f"/namespaces/_/triggers/{trigger}", {})
    forgotten = invoke_feed(platform, feed, "READ", f"/_/{trigger}", platform.auth)
    assert forgotten == {"error": {"error": f"could not find trigger /guest/{trigger} in the database"}}


@pytest.mark.parametrize(
    ("feed", "given", "message"),
    [
        ("alarm", {}, "alarms trigger feed is missing the cron parameter"),
        ("alarm", {"cron": "* * * *"}, "cron pattern '* * * *' is not valid"),
        ("alarm", {"cron": "* * * * *", "timezone": "Mars/Olympus"}, "Invalid timezone."),
        ("once", {"date": 5}, "date parameter '5' must be in the future"),
        ("interval", {"minutes": "soon"}, "the minutes parameter must be an integer"),
    ],
)
def test_a_timer_that_cannot_be_leaves_no_trigger(
    platform: Platform, feed: str, given: dict[str, Any], message: str
) -> None:
    result = platform.wsk("trigger", "create", "refused", "--feed", f"{FEEDS}/{feed}", *parameters(given))
    assert result.returncode == FEED_FAILED
    assert message in result.stderr
    assert platform.request("GET", "/namespaces/_/triggers/refused").status == 404


def test_a_cron_timer_fires_its_rule_with_its_payload_on_the_second(platform: Platform) -> None:
    payload = {"name": "Mork", "place": "Ork"}
    create_heard(platform, "beat", "alarm", cron="*/2 * * * * *", trigger_payload=payload)
    await_value(lambda: len(fires(platform, "beat")) >= 3)
    assert platform.wsk("trigger", "delete", "beat").returncode == 0
    invoke_feed(platform, "alarm", "DELETE", "/_/beat", platform.auth)

    seconds = [datetime.fromtimestamp(at_ms / 1000, UTC).second for at_ms in fires(platform, "beat")]
    assert [second % 2 for second in seconds] == [0] * len(seconds)
    assert len(set(seconds)) == len(seconds)
    listed = await_value(lambda: platform.request("GET", "/namespaces/_/activations?name=beat-heard").json)
    record = platform.record(listed[0]["activationId"])
    assert payload.items() <= record["response"]["result"].items()


def test_a_deleted_timer_fires_no_more(platform: Platform) -> None:
    create_heard(platform, "hushed", "alarm", cron=EVERY_SECOND)
    create_heard(platform, "going-on", "alarm", cron=EVERY_SECOND)
    await_value(lambda: fires(platform, "hushed"))
    assert invoke_feed(platform, "alarm", "DELETE", "/_/hushed", platform.auth) == {"status": "success"}
    deleted_ms = now_ms()
    await_value(lambda: len([at_ms for at_ms in fires(platform, "going-on") if at_ms > deleted_ms + 1000]) >= 2)
    invoke_feed(platform, "alarm", "DELETE", "/_/going-on", platform.auth)
    assert not [at_ms for at_ms in fires(platform, "hushed") if at_ms > deleted_ms + 1000]


def test_the_greatest_number_of_fires_is_kept_exactly(platform: Platform) -> None:
    create_heard(platform, "single", "alarm", cron=EVERY_SECOND, maxTriggers=1)
    create_heard(platform, "pacer", "alarm", cron=EVERY_SECOND, maxTriggers=4)
    assert disabled(platform, "single")["reason"] == {
        "kind": "AUTO",
        "message": "Automatically disabled after reaching max triggers",
    }
    disabled(platform, "pacer")
    assert [len(fires(platform, "single")), len(fires(platform, "pacer"))] == [1, 4]


def test_a_timer_for_once_can_take_its_trigger_and_rules_with_it(platform: Platform) -> None:
    create_heard(platform, "farewell", "once", date=now_ms() + 2000, deleteAfterFire="rules")
    await_value(lambda: platform.request("GET", "/namespaces/_/triggers/farewell").status == 404)
    assert platform.request("GET", "/namespaces/_/rules/farewell-rule").status == 404
    assert len(fires(platform, "farewell")) == 1
    create(platform, "farewell", "once", date=FAR_MS)
    assert read(platform, "farewell")["status"]["active"]


def test_a_timer_whose_trigger_is_gone_is_disabled(platform: Platform) -> None:
    create_heard(platform, "orphan", "alarm", cron=EVERY_SECOND)
    assert platform.request("DELETE", "/namespaces/_/triggers/orphan").status == 200
    started_ms = now_ms()
    await_value(lambda: now_ms() > started_ms + 2000)
    platform.request("PUT", "/namespaces/_/triggers/orphan", {})
    assert disabled(platform, "orphan")["reason"] == {
        "kind": "AUTO",
        "message": "Trigger automatically disabled: Received a 404 status code when firing the trigger",
        "statusCode": 404,
    }


@pytest.mark.parametrize("event", ["CREATE", "READ", "UPDATE", "DELETE"])
def test_a_stranger_has_no_part_in_a_timer(platform: Platform, event: str) -> None:
    trigger = f"mine-{event.lower()}"
    stranger = platform.namespace(f"stranger-{event.lower()}")
    create(platform, trigger, "once", date=FAR_MS)
    before = read(platform, trigger)
    answer = invoke_feed(platform, "once", event, f"/guest/{trigger}", stranger, date=FAR_MS + 1)
    assert answer == {"error": {"error": "Trigger authentication request failed."}}
    assert read(platform, trigger) == before


def test_a_stranger_cannot_delete_a_timer_whose_trigger_is_gone(platform: Platform) -> None:
    stranger = platform.namespace("stranger-gone")
    create(platform, "gone", "once", date=FAR_MS)
    assert platform.request("DELETE", "/namespaces/_/triggers/gone").status == 200
    answer = invoke_feed(platform, "once", "DELETE", "/guest/gone", stranger)
    assert answer == {"error": {"error": "Trigger authentication request failed."}}
    assert invoke_feed(platform, "once", "DELETE", "/guest/gone", platform.auth) == {"status": "success"}


@pytest.mark.parametrize("end", [Platform.stop, Platform.kill], ids=["stopped", "killed"])
def test_what_fell_due_while_the_platform_was_down_fires_once(tmp_path: Path, end: Any) -> None:
    with running(tmp_path) as platform:
        create_heard(platform, "missed", "once", date=(due_ms := now_ms() + 4000))
        create_heard(platform, "steady", "alarm", cron="0 0 1 1 *", trigger_payload={"year": "new"})
        before = read_timer(platform, "steady")
        end(platform)
    await_value(lambda: now_ms() > due_ms + 1000)
    with running(tmp_path) as platform:
        status = disabled(platform, "missed", "once")
        assert status["reason"]["message"] == "Automatically disabled after firing once"
        assert [at_ms > due_ms for at_ms in fires(platform, "missed")] == [True]
        assert read_timer(platform, "steady") == before
        assert fires(platform, "steady") == []
    with running(tmp_path) as platform:
        create_heard(platform, "after", "once", date=now_ms() + 2000)
        disabled(platform, "after", "once")
        assert len(fires(platform, "missed")) == 1


def read_timer(platform: Platform, trigger: str) -> Any:
    return invoke_feed(platform, "alarm", "READ", f"/_/{trigger}", platform.auth)


def test_fires_are_counted_across_restarts(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        create_heard(platform, "counted", "alarm", cron=EVERY_SECOND, maxTriggers=4)
        await_value(lambda: fires(platform, "counted"))
        assert platform.stop() == 0
    with running(tmp_path) as platform:
        disabled(platform, "counted")
        assert len(fires(platform, "counted")) == 4
