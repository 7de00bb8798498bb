"""The provider's API: the four events in a feed's life, what READ shows, and whose timers are whose."""

from __future__ import annotations

from typing import Any

import pytest

from sabayon.provider.alarms.api import MAX_BODY_BYTES
from sabayon.provider.alarms.timer import ADMIN, Reason
from tests.unit.alarms_stage import HOUR_MS, KEY, NOON_MS, SECOND_MS, STRANGER_KEY, AlarmsStage, play

NOT_YOURS = {"error": "Trigger authentication request failed."}
DONE = {"status": "success"}
LATER_MS = NOON_MS + HOUR_MS
ONCE = {"fireOnce": True, "date": LATER_MS}
EVENTS = [("POST", ONCE), ("GET", None), ("PUT", {"date": LATER_MS + 1}), ("DELETE", None)]


@pytest.mark.parametrize(
    ("given", "config"),
    [
        (
            {"cron": "0 9 * * *", "timezone": "Europe/Rome", "strict": "true", "trigger_payload": {"a": 1}},
            {"payload": {"a": 1}, "strict": True, "cron": "0 9 * * *", "timezone": "Europe/Rome"},
        ),
        (
            {"cron": "0 9 * * *", "startDate": LATER_MS, "maxTriggers": 5, "trigger_payload": ""},
            {"payload": {"payload": ""}, "strict": False, "cron": "0 9 * * *", "startDate": LATER_MS},
        ),
        (
            {"isInterval": True, "minutes": "5", "stopDate": "2030-01-01", "trigger_payload": "x"},
            {
                "payload": {"payload": "x"},
                "strict": False,
                "minutes": 5,
                "startDate": NOON_MS + 30 * SECOND_MS,
                "stopDate": "2030-01-01",
            },
        ),
        (
            {"fireOnce": True, "date": "2030-01-01", "deleteAfterFire": "rules", "trigger_payload": ""},
            {"payload": {"payload": ""}, "strict": False, "date": "2030-01-01", "deleteAfterFire": "rules"},
        ),
    ],
)
def test_what_is_created_can_be_read(given: dict[str, Any], config: dict[str, Any]) -> None:
    async def test(stage: AlarmsStage) -> None:
        created = await stage.request("POST", given=given)
        assert (created.status, created.json) == (200, DONE)
        read = await stage.request("GET")
        assert read.status == 200
        assert read.headers["content-type"] == "application/json"
        assert read.json == {
            "config": {"name": "tick", "namespace": "acme", **config},
            "status": {"active": True, "dateChanged": NOON_MS, "dateChangedISO": "2024-01-01T12:00:00Z"},
        }

    play(test)


def test_a_timer_that_was_disabled_says_why() -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.answers = [404]
        await stage.request("POST", given=ONCE)
        await stage.pass_(2 * HOUR_MS)
        read = await stage.request("GET")
        assert read.json["status"] == {
            "active": False,
            "dateChanged": LATER_MS,
            "dateChangedISO": "2024-01-01T13:00:00Z",
            "reason": {
                "kind": "AUTO",
                "statusCode": 404,
                "message": "Trigger automatically disabled: Received a 404 status code when firing the trigger",
            },
        }

    play(test)


def test_a_reason_without_a_status_code_shows_none() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given=ONCE)
        await stage.pass_(2 * HOUR_MS)
        reason = (await stage.request("GET")).json["status"]["reason"]
        assert reason == {"kind": "AUTO", "message": "Automatically disabled after firing once"}

    play(test)


def test_an_update_is_read_and_changes_when_the_trigger_is_fired() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given=ONCE)
        await stage.pass_(SECOND_MS)
        answer = await stage.request("PUT", given={"date": LATER_MS + 5, "trigger_payload": ""})
        assert (answer.status, answer.json) == (200, DONE)
        read = (await stage.request("GET")).json
        assert read["config"]["date"] == LATER_MS + 5
        assert read["status"]["dateChanged"] == NOON_MS + SECOND_MS
        await stage.pass_(2 * HOUR_MS)
        assert stage.platform.fire_times == [LATER_MS + 5]

    play(test)


def test_a_timer_is_fired_with_the_key_that_was_used_last() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given=ONCE)
        stage.platform.namespaces["renewed:key"] = "acme"
        await stage.request("PUT", given={"trigger_payload": "x"}, auth="renewed:key")
        await stage.pass_(2 * HOUR_MS)
        assert [timer.auth_key for _, timer in stage.platform.fires] == ["renewed:key"]

    play(test)


def test_a_deleted_timer_is_not_there_and_not_fired() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given=ONCE)
        assert (await stage.request("DELETE")).json == DONE
        for method in ("GET", "PUT", "DELETE"):
            gone = await stage.request(method, given={"date": LATER_MS})
            assert (gone.status, gone.error) == (404, "could not find trigger /acme/tick in the database")
        await stage.pass_(2 * HOUR_MS)
        assert stage.platform.fires == []

    play(test)


def test_a_timer_can_be_deleted_after_its_trigger_but_not_read() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given=ONCE)
        stage.platform.is_trigger_gone = True
        assert (await stage.request("GET")).status == 404
        assert (await stage.request("PUT", given={"date": LATER_MS + 1})).status == 404
        assert (await stage.request("DELETE")).json == DONE
        assert await stage.ledger.load() == []

    play(test)


def test_creating_a_timer_again_takes_the_place_of_the_old_one() -> None:
    async def test(stage: AlarmsStage) -> None:
        await stage.request("POST", given={"cron": "* * * * *"})
        await stage.request("POST", given=ONCE)
        await stage.pass_(2 * HOUR_MS)
        assert stage.platform.fire_times == [LATER_MS]
        assert len(await stage.ledger.load()) == 1

    play(test)


def test_the_own_namespace_may_be_left_out() -> None:
    async def test(stage: AlarmsStage) -> None:
        assert (await stage.request("POST", "_/tick", given=ONCE)).json == DONE
        assert (await stage.request("GET", "acme/tick")).json["config"]["namespace"] == "acme"
        assert (await stage.request("GET", "_/tick", auth=STRANGER_KEY)).status == 404

    play(test)


@pytest.mark.parametrize(("method", "given"), EVENTS)
def test_names_may_hold_what_a_path_must_encode(method: str, given: Any) -> None:
    async def test(stage: AlarmsStage) -> None:
        stage.platform.namespaces["odd:key"] = "a b@c"
        await stage.request("POST", "a%20b%40c/t%20%C3%A9", given=ONCE, auth="odd:key")
        assert stage.engine.find("a b@c/t é") is not None
        assert (await stage.request(method, "a%20b%40c/t%20%C3%A9", given=given, auth="odd:key")).status == 200

    play(test)


@pytest.mark.parametrize(("method", "given"), EVENTS)
@pytest.mark.parametrize("is_trigger_gone", [False, True])
@pytest.mark.parametrize(("key", "status"), [(STRANGER_KEY, 403), ("unknown:key", 401), (None, 401), ("nocolon", 401)])
def test_a_stranger_has_no_part_in_a_timer(
    method: str, given: Any, is_trigger_gone: bool, key: str | None, status: int
) -> None:
    async def test(stage: AlarmsStage) -> None:
        timer = await stage.add(**ONCE)
        stage.platform.is_trigger_gone = is_trigger_gone
        answer = await stage.request(method, given=given, auth=key)
        assert (answer.status, answer.json) == (status, NOT_YOURS)
        assert stage.timer() == timer

    play(test)


@pytest.mark.parametrize("trigger", ["acme/tick", "_/tick"])
@pytest.mark.parametrize(("method", "given"), EVENTS)
def test_without_an_answer_of_the_platform_nothing_is_done(trigger: str, method: str, given: Any) -> None:
    async def test(stage: AlarmsStage) -> None:
        timer = await stage.add(**ONCE)
        stage.platform.is_reachable = False
        answer = await stage.request(method, trigger, given=given)
        assert answer.status >= 400
        assert answer.error == NOT_YOURS["error"]
        assert stage.timer() == timer

    play(test)


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic /w==", "Bearer b3duZXI6a2V5", "Basic bm9jb2xvbg=="]
)
def test_credentials_that_are_none_are_refused(header: str) -> None:
    async def test(stage: AlarmsStage) -> None:
        path = "/provider/alarms/v1/triggers/acme/tick"
        answer = await stage.client.request("GET", path, headers={"Authorization": header})
        assert (answer.status, answer.json) == (401, NOT_YOURS)

    play(test)


@pytest.mark.parametrize("key", [KEY, STRANGER_KEY])
def test_a_timer_that_cannot_be_is_refused_whoever_asks(key: str) -> None:
    async def test(stage: AlarmsStage) -> None:
        answer = await stage.request("POST", given={"cron": "x"}, auth=key)
        assert (answer.status, answer.json) == (400, {"error": "cron pattern 'x' is not valid"})
        assert stage.engine.find("acme/tick") is None

    play(test)


def test_an_update_that_cannot_be_changes_nothing() -> None:
    async def test(stage: AlarmsStage) -> None:
        timer = await stage.add(**ONCE)
        answer = await stage.request("PUT", given={"date": "x", "deleteAfterFire": "true"})
        assert (answer.status, answer.error) == (400, "date parameter 'x' is not a valid Date")
        assert stage.timer() == timer

    play(test)


def test_what_an_operator_disabled_stays_so_until_it_is_created_again() -> None:
    async def test(stage: AlarmsStage) -> None:
        timer = await stage.add(**ONCE)
        await stage.engine.put(timer.disabled(Reason(ADMIN, "misused"), NOON_MS))
        assert (await stage.request("PUT", given={"date": LATER_MS + 1})).status == 400
        assert (await stage.request("GET")).json["status"]["reason"] == {"kind": "ADMIN", "message": "misused"}

    play(test)


def test_neither_an_answer_nor_the_log_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def test(stage: AlarmsStage) -> None:
        texts = [(await stage.request(method, given=given)).text for method, given in EVENTS]
        texts.append((await stage.request("GET", auth=STRANGER_KEY)).text)
        stage.platform.answers = [401]
        await stage.request("POST", given=ONCE)
        await stage.pass_(2 * HOUR_MS)
        texts.append((await stage.request("GET")).text)
        assert not [text for text in texts if KEY in text or STRANGER_KEY in text]

    play(test)
    assert "the timer of trigger acme/tick stops" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b'"x"', 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_a_body_that_holds_no_parameters_is_refused(body: bytes, status: int) -> None:
    async def test(stage: AlarmsStage) -> None:
        path = "/provider/alarms/v1/triggers/acme/tick"
        answer = await stage.client.request("POST", path, body=body, auth=KEY)
        assert answer.status == status
        assert answer.error

    play(test)


@pytest.mark.parametrize(
    "path",
    [
        "/provider/alarms/v1/triggers",
        "/provider/alarms/v1/triggers/acme",
        "/provider/alarms/v1/triggers/acme/",
        "/provider/alarms/v1/triggers//tick",
        "/provider/alarms/v1/triggers/acme/tick/more",
        "/provider/alarms/v2/triggers/acme/tick",
    ],
)
def test_a_path_without_a_trigger_is_refused(path: str) -> None:
    async def test(stage: AlarmsStage) -> None:
        assert (await stage.client.request("GET", path, auth=KEY)).status == 404

    play(test)


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "OPTIONS"])
def test_there_are_four_events_in_a_feeds_life(method: str) -> None:
    async def test(stage: AlarmsStage) -> None:
        answer = await stage.request(method)
        assert (answer.status, answer.error) == (405, "unsupported lifecycleEvent")

    play(test)
