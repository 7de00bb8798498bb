"""From the parameters of a feed to a timer: what is taken, what is refused and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sabayon.provider.alarms.timer import ADMIN, AUTO, Reason, Timer
from sabayon.provider.alarms.validation import Invalid, Owner, Policy, new_timer, updated_timer
from tests.unit.alarms_stage import HOUR_MS, KEY, MINUTE_MS, NOON_MS, SECOND_MS, ms

OWNER = Owner("acme", "tick", KEY)
ONCE = {"fireOnce": True, "trigger_payload": ""}
INTERVAL = {"isInterval": True, "trigger_payload": ""}
CRON = {"trigger_payload": ""}
LATER_MS = NOON_MS + HOUR_MS
LATEST_MS = NOON_MS + 2 * HOUR_MS
PAST_MS = NOON_MS - 1


def made(feed: dict[str, Any], **given: Any) -> Timer:
    return new_timer(OWNER, {**feed, **given}, NOON_MS)


def refusal(feed: dict[str, Any], given: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as refused:
        new_timer(OWNER, {**feed, **given}, NOON_MS)
    return str(refused.value)


def updated(timer: Timer, **given: Any) -> Timer:
    """As a feed hands it over: with the payload that the package binds."""
    return updated_timer(timer, {"trigger_payload": "", **given}, NOON_MS + SECOND_MS)


def update_refusal(timer: Timer, given: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as refused:
        updated(timer, **given)
    return str(refused.value)


@pytest.mark.parametrize(
    ("feed", "given", "message"),
    [
        (ONCE, {}, "alarms once trigger feed is missing the date parameter"),
        (ONCE, {"date": ""}, "alarms once trigger feed is missing the date parameter"),
        (ONCE, {"date": "soon"}, "date parameter 'soon' is not a valid Date"),
        (ONCE, {"date": [1]}, "date parameter '[1]' is not a valid Date"),
        (ONCE, {"date": True}, "date parameter 'True' is not a valid Date"),
        (ONCE, {"date": PAST_MS}, f"date parameter '{PAST_MS}' must be in the future"),
        (ONCE, {"date": NOON_MS}, f"date parameter '{NOON_MS}' must be in the future"),
        (
            ONCE,
            {"date": "2001-01-01T00:00:00Z"},
            "date parameter '2001-01-01T00:00:00Z' must be in the future",
        ),
        (
            ONCE,
            {"date": LATER_MS, "deleteAfterFire": "maybe"},
            "deleteAfterFire parameter must be one of [false, true, rules].",
        ),
        (INTERVAL, {}, "interval trigger feed is missing the minutes parameter"),
        (INTERVAL, {"minutes": 0}, "interval trigger feed is missing the minutes parameter"),
        (INTERVAL, {"minutes": "abc"}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": 1.5}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": "1.5"}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": True}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": [5]}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": float("inf")}, "the minutes parameter must be an integer"),
        (INTERVAL, {"minutes": -1}, "the minutes parameter must be an integer greater than zero"),
        (INTERVAL, {"minutes": "0"}, "the minutes parameter must be an integer greater than zero"),
        (INTERVAL, {"minutes": 1, "startDate": "x"}, "startDate parameter 'x' is not a valid Date"),
        (INTERVAL, {"minutes": 1, "startDate": PAST_MS}, f"startDate parameter '{PAST_MS}' must be in the future"),
        (
            INTERVAL,
            {"minutes": 1, "maxTriggers": 2, "stopDate": LATER_MS},
            "maxTriggers is not supported for the interval trigger feed",
        ),
        (INTERVAL, {"minutes": 1, "stopDate": "x"}, "stopDate parameter 'x' is not a valid Date"),
        (INTERVAL, {"minutes": 1, "stopDate": PAST_MS}, f"stopDate parameter '{PAST_MS}' must be in the future"),
        (
            INTERVAL,
            {"minutes": 1, "startDate": LATER_MS, "stopDate": LATER_MS},
            f"stopDate parameter '{LATER_MS}' must be greater than the startDate parameter '{LATER_MS}'",
        ),
        (CRON, {}, "alarms trigger feed is missing the cron parameter"),
        (CRON, {"cron": "* * * *"}, "cron pattern '* * * *' is not valid"),
        (CRON, {"cron": 5}, "cron pattern '5' is not valid"),
        (CRON, {"cron": "0 0 31 2 *"}, "cron pattern '0 0 31 2 *' is not valid"),
        (CRON, {"cron": "* * * * *", "timezone": "Mars/Olympus"}, "Invalid timezone."),
        (CRON, {"cron": "* * * * *", "timezone": 7}, "Invalid timezone."),
        (CRON, {"cron": "* * * * *", "startDate": "x"}, "startDate parameter 'x' is not a valid Date"),
        (
            CRON,
            {"cron": "* * * * *", "maxTriggers": 2, "stopDate": LATER_MS},
            "maxTriggers is not allowed when the stopDate parameter is specified",
        ),
        (
            CRON,
            {"cron": "* * * * *", "startDate": LATEST_MS, "stopDate": LATER_MS},
            f"stopDate parameter '{LATER_MS}' must be greater than the startDate parameter '{LATEST_MS}'",
        ),
        (
            CRON,
            {"cron": "0 9 * * *", "stopDate": LATER_MS},
            "the first scheduled trigger fire is not until after the stop date",
        ),
    ],
)
def test_a_timer_is_refused_with(feed: dict[str, Any], given: dict[str, Any], message: str) -> None:
    assert refusal(feed, given) == message


@pytest.mark.parametrize(
    ("feed", "wrong"),
    [
        (ONCE, [{"date": "x"}, {"deleteAfterFire": "x"}]),
        (INTERVAL, [{"minutes": "x"}, {"startDate": "x"}, {"maxTriggers": 1, "stopDate": "x"}]),
        (CRON, [{"timezone": "x"}, {"cron": "x"}, {"startDate": "x"}, {"maxTriggers": 1, "stopDate": "x"}]),
    ],
)
def test_of_several_mistakes_the_first_in_order_is_told(feed: dict[str, Any], wrong: list[dict[str, Any]]) -> None:
    right: dict[str, Any] = {"date": LATER_MS, "minutes": 1, "cron": "* * * * *"}
    told = []
    for first in range(len(wrong)):
        mistakes = {key: value for mistake in wrong[first:] for key, value in mistake.items()}
        told.append(refusal(feed, {**right, **mistakes}))
    assert told == [refusal(feed, {**right, **mistake}) for mistake in wrong]
    assert len(set(told)) == len(wrong)


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        ({"trigger_payload": {"a": 1}}, {"a": 1}),
        ({"trigger_payload": {}}, {}),
        ({"trigger_payload": "hello"}, {"payload": "hello"}),
        ({"trigger_payload": ""}, {"payload": ""}),
        ({"trigger_payload": '{"a": 1}'}, {"payload": '{"a": 1}'}),
        ({}, {}),
    ],
)
def test_a_trigger_is_fired_with_an_object(given: dict[str, Any], payload: dict[str, Any]) -> None:
    assert new_timer(OWNER, {"cron": "* * * * *", **given}, NOON_MS).payload == payload


@pytest.mark.parametrize("date", [LATER_MS, str(LATER_MS), "2024-01-01T13:00:00Z", "2024-01-01T14:00:00+01:00"])
def test_a_date_is_kept_as_it_is_written(date: int | str) -> None:
    timer = made(ONCE, date=date)
    assert (timer.kind, timer.date, timer.due_ms) == ("once", date, LATER_MS)


@pytest.mark.parametrize(
    ("wish", "kept"),
    [(True, "true"), (" Rules ", "rules"), ("FALSE", "false"), (False, "false"), (None, None), ("", None)],
)
def test_what_is_to_be_deleted_may_be_written_as(wish: Any, kept: str | None) -> None:
    assert made(ONCE, date=LATER_MS, deleteAfterFire=wish).delete_after_fire == kept


@pytest.mark.parametrize("minutes", [5, "5", 5.0, " 5 "])
def test_minutes_may_be_written_as(minutes: Any) -> None:
    timer = made(INTERVAL, minutes=minutes)
    assert (timer.kind, timer.minutes) == ("interval", 5)


def test_an_interval_that_does_not_say_when_starts_half_a_minute_later() -> None:
    timer = made(INTERVAL, minutes=5)
    assert timer.start_date == timer.due_ms == NOON_MS + 30 * SECOND_MS


def test_an_interval_with_a_start_is_due_then() -> None:
    assert made(INTERVAL, minutes=5, startDate=LATER_MS, stopDate=LATEST_MS).due_ms == LATER_MS


@pytest.mark.parametrize("strict", [True, "true", "TRUE"])
def test_a_pattern_may_be_strict(strict: Any) -> None:
    assert made(CRON, cron="* * * * *", strict=strict).strict
    assert not made(CRON, cron="* * * * *", strict="false").strict
    assert not made(CRON, cron="* * * * *").strict


def test_a_cron_timer_keeps_what_is_asked_and_is_due_at_its_next_match() -> None:
    timer = made(CRON, cron="0 9 * * *", timezone="Europe/Rome", maxTriggers="3")
    assert (timer.kind, timer.cron, timer.timezone, timer.max_triggers) == ("cron", "0 9 * * *", "Europe/Rome", 3)
    assert timer.due_ms == ms("2024-01-02T08:00:00")
    assert timer.is_active


@pytest.mark.parametrize("limit", [None, -1, 0, "", "many"])
def test_a_timer_without_a_limit_has_none(limit: Any) -> None:
    assert made(CRON, cron="* * * * *", maxTriggers=limit).max_triggers == -1
    assert made(CRON, cron="* * * * *", maxTriggers=limit, stopDate=LATER_MS).stop_date == LATER_MS


STORED = {
    "once": made(ONCE, date=LATER_MS, deleteAfterFire="rules"),
    "interval": made(INTERVAL, minutes=5, startDate=LATER_MS, stopDate=LATEST_MS),
    "cron": made(CRON, cron="* * * * *", timezone="Europe/Rome", startDate=LATER_MS, stopDate=LATEST_MS),
}


@pytest.mark.parametrize(
    ("kind", "given", "changes"),
    [
        ("once", {"date": LATEST_MS}, {"date": LATEST_MS, "due_ms": LATEST_MS}),
        ("once", {"deleteAfterFire": "false"}, {"delete_after_fire": "false"}),
        ("once", {"trigger_payload": {"a": 1}}, {"payload": {"a": 1}}),
        ("interval", {"minutes": "7"}, {"minutes": 7}),
        ("interval", {"startDate": LATER_MS + 1}, {"start_date": LATER_MS + 1, "due_ms": LATER_MS + 1}),
        ("interval", {"stopDate": LATEST_MS + 1}, {"stop_date": LATEST_MS + 1}),
        (
            "interval",
            {"startDate": LATEST_MS, "stopDate": LATEST_MS + 1},
            {"start_date": LATEST_MS, "stop_date": LATEST_MS + 1, "due_ms": LATEST_MS},
        ),
        ("interval", {"trigger_payload": "x"}, {"payload": {"payload": "x"}}),
        ("cron", {"cron": "30 * * * *"}, {"cron": "30 * * * *", "due_ms": LATER_MS + 30 * MINUTE_MS}),
        ("cron", {"timezone": "Asia/Tokyo"}, {"timezone": "Asia/Tokyo"}),
        ("cron", {"strict": "true"}, {"strict": True}),
        ("cron", {"trigger_payload": {"b": 2}}, {"payload": {"b": 2}}),
        ("cron", {"stopDate": LATEST_MS + 1}, {"stop_date": LATEST_MS + 1}),
    ],
)
def test_an_update_changes_what_it_names_and_nothing_else(
    kind: str, given: dict[str, Any], changes: dict[str, Any]
) -> None:
    expected = replace(STORED[kind], changed_ms=NOON_MS + SECOND_MS, **changes)
    assert updated(STORED[kind], **given) == expected


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        *((kind, {}, "no updatable parameters were specified") for kind in STORED),
        ("once", {"cron": "* * * * *"}, "no updatable parameters were specified"),
        ("once", {"minutes": 3}, "no updatable parameters were specified"),
        ("interval", {"date": LATEST_MS}, "no updatable parameters were specified"),
        ("cron", {"maxTriggers": 3}, "no updatable parameters were specified"),
        ("cron", {"deleteAfterFire": "true"}, "no updatable parameters were specified"),
        ("once", {"date": PAST_MS}, f"date parameter '{PAST_MS}' must be in the future"),
        ("once", {"deleteAfterFire": "x"}, "deleteAfterFire parameter must be one of [false, true, rules]."),
        ("interval", {"minutes": "x"}, "the minutes parameter must be an integer"),
        (
            "interval",
            {"startDate": LATEST_MS},
            f"startDate parameter '{LATEST_MS}' must be less than the stopDate parameter '{LATEST_MS}'",
        ),
        (
            "interval",
            {"stopDate": LATER_MS},
            f"stopDate parameter '{LATER_MS}' must be greater than the startDate parameter '{LATER_MS}'",
        ),
        (
            "cron",
            {"startDate": LATEST_MS + 1},
            f"startDate parameter '{LATEST_MS + 1}' must be less than the stopDate parameter '{LATEST_MS}'",
        ),
        ("cron", {"cron": "x"}, "cron pattern 'x' is not valid"),
        ("cron", {"timezone": "x"}, "Invalid timezone."),
        ("cron", {"cron": "0 9 * * *"}, "the first scheduled trigger fire is not until after the stop date"),
    ],
)
def test_an_update_is_refused_with(kind: str, given: dict[str, Any], message: str) -> None:
    assert update_refusal(STORED[kind], given) == message


@pytest.mark.parametrize("kind", list(STORED))
def test_an_update_that_says_what_is_so_already_is_none_to_refuse(kind: str) -> None:
    again = {"once": {"date": LATER_MS}, "interval": {"minutes": 5}, "cron": {"cron": "* * * * *"}}[kind]
    assert updated(STORED[kind], **again) == replace(STORED[kind], changed_ms=NOON_MS + SECOND_MS)


def test_an_update_makes_a_timer_active_again_that_the_provider_disabled() -> None:
    stopped = STORED["once"].disabled(Reason(AUTO, "Automatically disabled after firing once"), NOON_MS)
    again = updated(stopped, date=LATEST_MS)
    assert (again.is_active, again.due_ms) == (True, LATEST_MS)


def test_an_update_of_what_an_operator_disabled_is_refused() -> None:
    stopped = STORED["cron"].disabled(Reason(ADMIN, "misused"), NOON_MS)
    assert update_refusal(stopped, {"cron": "0 * * * *"}) == (
        "/acme/tick cannot be updated because it was disabled by an admin.  "
        "Please contact support for further assistance"
    )


@pytest.mark.parametrize(
    ("kind", "given", "now_ms", "text"),
    [
        ("once", {"trigger_payload": "new"}, LATEST_MS, "the fire once date has expired"),
        ("interval", {"trigger_payload": "new"}, LATEST_MS, "the stop date has expired"),
        ("interval", {"minutes": 120}, LATER_MS + 1, "the next scheduled trigger fire is after the stop date"),
        ("cron", {"trigger_payload": "new"}, LATEST_MS, "the stop date has expired"),
    ],
)
def test_an_update_that_leaves_nothing_to_fire_leaves_a_timer_disabled(
    kind: str, given: dict[str, Any], now_ms: int, text: str
) -> None:
    ended = STORED[kind].disabled(Reason(AUTO, "done"), LATER_MS)
    again = updated_timer(ended, given, now_ms)
    assert again.due_ms is None
    assert again.changed_ms == now_ms
    assert again.reason == Reason(AUTO, f"Automatically disabled after receiving error on trigger creation: {text}")


@pytest.mark.parametrize(
    ("name", "limit", "second"),
    [
        *(("periodic", 59, 3), ("everyMinute", 59, 39), ("myCloudantTrigger", 59, 6)),
        *(("periodic", 10, 3), ("everyMinute", 10, 2), ("myCloudantTrigger", 10, 9), ("periodic", 0, 0)),
    ],
)
def test_timers_without_seconds_are_spread_over_the_minute_by_their_names(name: str, limit: int, second: int) -> None:
    owner, policy = OWNER._replace(name=name), Policy(spread_s=limit)
    timer = new_timer(owner, {"cron": "* * * * *"}, NOON_MS, policy)
    assert timer.due_ms == NOON_MS + (second or 60) * SECOND_MS
    assert new_timer(owner, {"cron": "* * * * *", "strict": True}, NOON_MS, policy).due_ms == NOON_MS + 60 * SECOND_MS
    assert new_timer(owner, {"cron": "5 * * * * *"}, NOON_MS, policy).due_ms == NOON_MS + 5 * SECOND_MS


def test_an_update_to_strict_takes_a_timer_out_of_the_spreading() -> None:
    policy = Policy(spread_s=59)
    timer = new_timer(OWNER._replace(name="periodic"), {"cron": "* * * * *"}, NOON_MS, policy)
    assert updated_timer(timer, {"strict": "true"}, NOON_MS, policy).due_ms == NOON_MS + 60 * SECOND_MS


def test_an_operator_may_make_strict_what_does_not_say_otherwise() -> None:
    policy = Policy(spread_s=59, is_strict=True)
    owner = OWNER._replace(name="periodic")
    assert new_timer(owner, {"cron": "* * * * *"}, NOON_MS, policy).strict
    assert not new_timer(owner, {"cron": "* * * * *", "strict": "false"}, NOON_MS, policy).strict


@pytest.mark.parametrize("cron", ["*/2 * * * * *", "5 * * * * *"])
def test_an_operator_may_refuse_seconds(cron: str) -> None:
    policy = Policy(has_seconds=False)
    text = "cron pattern is limited to 5 fields with 1 minute as the finest granularity"
    with pytest.raises(Invalid, match=text):
        new_timer(OWNER, {"cron": cron}, NOON_MS, policy)
    timer = new_timer(OWNER, {"cron": "0 * * * * *"}, NOON_MS, policy)
    with pytest.raises(Invalid, match=text):
        updated_timer(timer, {"cron": cron}, NOON_MS, policy)
