"""Triggers with a feed: the feed's action is told what becomes of the trigger."""

import json
from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import AUTH, HINT, wsk

FEED_NAME = "/whisk.system/alarms/alarm"
FEED = ("POST", "/api/v1/namespaces/whisk.system/actions/alarms/alarm")
FEED_LINE = f"POST {FEED[1]}?blocking=true&result=false"
OWN_FEED = ("POST", "actions/f")
LINK = {"key": "feed", "value": FEED_NAME}
DONE = {
    "activationId": ACTIVATION_ID,
    "response": {"result": {"ok": 1}, "status": "success", "success": True},
}
FAILED = {
    "activationId": ACTIVATION_ID,
    "response": {"result": {"error": "no"}, "status": "application error", "success": False},
}
BANNER = f"ok: invoked {FEED_NAME} with id {ACTIVATION_ID}\n"
SUCCEEDS: dict[tuple[str, str], Any] = {FEED: (200, DONE)}
FAILS: dict[tuple[str, str], Any] = {FEED: (502, FAILED)}
FED: dict[tuple[str, str], Any] = {
    ("GET", "triggers/t"): (200, {"namespace": "guest", "name": "t", "annotations": [LINK]})
}


def pretty(value: Any) -> str:
    return json.dumps(value, indent=4, sort_keys=True) + "\n"


def event(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"lifecycleEvent": kind, "triggerName": "/_/t", "authKey": AUTH} | parameters


def test_creating_a_trigger_with_a_feed_gives_the_parameters_to_the_feed() -> None:
    args = ["--feed", FEED_NAME, "-p", "cron", "* * *", "-a", "k", "v"]
    run = wsk("trigger", "create", "t", *args, server=SUCCEEDS)
    assert run.lines == ["PUT triggers/t?overwrite=false", FEED_LINE]
    assert run.requests[0].body == {"name": "t", "annotations": [{"key": "k", "value": "v"}, LINK]}
    assert run.requests[1].body == event("CREATE", cron="* * *")
    assert (run.exit, run.stderr) == (0, "")
    assert run.stdout == BANNER + pretty(DONE) + "ok: created trigger t\n"


def test_parameters_of_feed_and_trigger_are_kept_apart() -> None:
    run = wsk("trigger", "create", "t", "-f", FEED_NAME, "-F", "cron", "*", "-T", "a", "1", server=SUCCEEDS)
    assert run.requests[0].body == {
        "name": "t",
        "annotations": [LINK],
        "parameters": [{"key": "a", "value": 1}],
    }
    assert run.requests[1].body == event("CREATE", cron="*")


def test_a_feed_without_a_namespace_is_ones_own() -> None:
    run = wsk("trigger", "create", "t", "--feed", "f", server={OWN_FEED: (200, DONE)})
    assert run.lines == ["PUT triggers/t?overwrite=false", "POST actions/f?blocking=true&result=false"]
    assert run.requests[0].body["annotations"] == [{"key": "feed", "value": "/_/f"}]


def test_what_the_feed_must_know_cannot_be_given_as_a_parameter() -> None:
    args = ["-p", "authKey", "x", "-p", "lifecycleEvent", "y", "-p", "triggerName", "z"]
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, *args, server=SUCCEEDS)
    assert run.requests[1].body == event("CREATE")


def test_the_feed_is_not_called_when_the_trigger_is_refused() -> None:
    conflict = (409, {"error": "resource already exists", "code": "abc"})
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, server={("PUT", "triggers/t"): conflict})
    assert run.lines == ["PUT triggers/t?overwrite=false"]
    assert (run.exit, run.stderr) == (153, "error: Unable to create trigger 't': resource already exists (code abc)\n")


def test_a_trigger_is_taken_back_when_its_feed_fails() -> None:
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, server=FAILS)
    assert run.lines == ["PUT triggers/t?overwrite=false", FEED_LINE, "GET triggers/t", "DELETE triggers/t"]
    assert (run.exit, run.stdout) == (246, "ok: deleted trigger t\n")
    assert run.stderr == pretty(FAILED)


def test_a_feed_that_took_the_trigger_is_told_when_it_is_taken_back() -> None:
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, server=FED | {FEED: [(502, FAILED), (200, DONE)]})
    assert run.lines[1:] == [FEED_LINE, "GET triggers/t", FEED_LINE, "DELETE triggers/t"]
    assert run.requests[3].body == event("DELETE")
    assert run.exit == 246


def test_a_feed_that_cannot_be_invoked_is_named() -> None:
    refusal = (404, {"error": "Not found.", "code": "abc"})
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, server={FEED: refusal})
    assert (run.exit, run.stdout) == (148, "ok: deleted trigger t\n")
    text = f"Unable to create trigger 't': Unable to configure feed '{FEED_NAME}': Not found. (code abc)"
    assert run.stderr == f"error: {text}\n"


def test_a_feed_that_takes_too_long_is_told_and_the_trigger_taken_back() -> None:
    run = wsk("trigger", "create", "t", "--feed", FEED_NAME, server={FEED: (202, {"activationId": ACTIVATION_ID})})
    assert (run.exit, run.lines[-1]) == (202, "DELETE triggers/t")
    told = f"ok: invoked {FEED_NAME}, but the request has not yet finished, with id {ACTIVATION_ID}\n"
    assert run.stderr.startswith(told)


def test_a_trigger_is_taken_back_in_the_namespace_where_it_was_made() -> None:
    run = wsk("trigger", "create", "/ns/t", "--feed", FEED_NAME, server=FAILS)
    there = "/api/v1/namespaces/ns/triggers/t"
    assert [request.path for request in run.requests] == [there, FEED[1], there, there]
    assert run.requests[1].body["triggerName"] == "/ns/t"


def test_updating_plain_parameters_goes_to_the_feed_alone() -> None:
    run = wsk("trigger", "update", "t", "-p", "cron", "1", server=FED | SUCCEEDS)
    assert run.lines == ["GET triggers/t", FEED_LINE]
    assert run.body == event("UPDATE", cron=1)
    assert (run.exit, run.stdout) == (0, pretty(DONE) + "ok: updated trigger t\n")


def test_updating_parameters_of_the_trigger_leaves_the_feed_in_peace() -> None:
    run = wsk("trigger", "update", "t", "-T", "a", "1", server=FED | SUCCEEDS)
    assert run.lines == ["GET triggers/t", "PUT triggers/t?overwrite=true"]
    assert run.body["parameters"] == [{"key": "a", "value": 1}]
    assert run.stdout == "ok: updated trigger t\n"


def test_updating_parameters_of_feed_and_trigger_goes_to_both() -> None:
    run = wsk("trigger", "update", "t", "-T", "a", "1", "-F", "cron", "2", server=FED | SUCCEEDS)
    assert run.lines == ["GET triggers/t", "PUT triggers/t?overwrite=true", FEED_LINE]
    assert run.body == event("UPDATE", cron=2)
    assert run.stdout == pretty(DONE) + "ok: updated trigger t\n"


def test_feed_parameters_need_a_feed_on_the_trigger() -> None:
    run = wsk("trigger", "update", "t", "-F", "cron", "2")
    assert run.lines == ["GET triggers/t", "PUT triggers/t?overwrite=true"]
    assert run.exit == 1
    assert run.stderr.startswith("error: Unable to configure feed 't': this trigger does not contain a feed\n")


def test_an_update_that_the_feed_fails_is_an_error() -> None:
    run = wsk("trigger", "update", "t", "-p", "cron", "1", server=FED | FAILS)
    assert (run.exit, run.stdout) == (246, "")
    assert run.stderr == pretty(FAILED) + HINT


@pytest.mark.parametrize("extra", [[], ["name"], ["--summary"]])
def test_getting_a_trigger_with_a_feed_shows_what_the_feed_says(extra: list[str]) -> None:
    run = wsk("trigger", "get", "t", *extra, server=FED | SUCCEEDS)
    assert run.lines == ["GET triggers/t", FEED_LINE]
    assert run.body == event("READ")
    assert (run.exit, run.stdout) == (0, pretty(DONE))


def test_getting_a_trigger_succeeds_even_when_its_feed_fails() -> None:
    run = wsk("trigger", "get", "t", server=FED | FAILS)
    assert run.exit == 0
    assert run.stderr.startswith(pretty(FAILED))


def test_deleting_a_trigger_tells_its_feed_first() -> None:
    run = wsk("trigger", "delete", "t", server=FED | SUCCEEDS)
    assert run.lines == ["GET triggers/t", FEED_LINE, "DELETE triggers/t"]
    assert run.body == event("DELETE")
    assert (run.exit, run.stdout) == (0, pretty(DONE) + "ok: deleted trigger t\n")


def test_a_trigger_is_deleted_even_when_its_feed_fails() -> None:
    run = wsk("trigger", "delete", "t", server=FED | FAILS)
    assert run.lines[-1] == "DELETE triggers/t"
    assert (run.exit, run.stdout) == (0, "ok: deleted trigger t\n")
    assert run.stderr.startswith(pretty(FAILED))
