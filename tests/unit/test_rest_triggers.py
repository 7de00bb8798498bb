"""Triggers as entities: what a PUT makes, keeps and resets, and what their rules do to them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.stage import Stage, on_stage

MISSING = "The requested resource does not exist."
WRONG_KIND = "Resource by this name exists but is not in this collection."
FEED_INVALID = "Feed name is not valid"


async def made(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The trigger after a PUT that succeeded."""
    answer = await stage.request("PUT", f"_/triggers/{id}?overwrite=true", fields)
    assert answer.status == 200, answer.text
    return answer.json


async def shown(stage: Stage, id: str) -> Any:
    answer = await stage.request("GET", f"_/triggers/{id}")
    assert answer.status == 200, answer.text
    return answer.json


async def refused(stage: Stage, method: str, path: str, json: Any = None) -> tuple[int, str]:
    answer = await stage.request(method, f"_/triggers/{path}", json)
    return answer.status, answer.error


def entries(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


async def a_rule(stage: Stage, name: str = "r") -> None:
    """A rule from t to a, both made if need be."""
    await stage.request("PUT", "_/actions/a", {"exec": {"kind": "python:3.11", "code": ""}})
    await stage.request("PUT", "_/triggers/t", {})
    answer = await stage.request("PUT", f"_/rules/{name}", {"trigger": "/_/t", "action": "/_/a"})
    assert answer.status == 200, answer.text


@on_stage
async def test_a_new_trigger_has_empty_limits_and_no_rules_at_all(stage: Stage) -> None:
    answer = await stage.request("PUT", "_/triggers/t", {})
    updated = answer.json["updated"]
    assert answer.json == {
        "annotations": [],
        "limits": {},
        "name": "t",
        "namespace": "acme",
        "parameters": [],
        "publish": False,
        "updated": updated,
        "version": "0.0.1",
    }
    assert stage.services.now_ms() - 100 < updated < stage.services.now_ms()
    assert (await stage.request("GET", "_/triggers/t")).body == answer.body


@on_stage
async def test_an_update_replaces_what_its_body_has_annotations_too_and_keeps_the_rest(stage: Stage) -> None:
    before = await made(stage, "t", parameters=entries(a=1), annotations=entries(b=2), publish=True, version="2")
    kept = await made(stage, "t")
    assert kept.pop("updated") > before.pop("updated")
    assert kept == {**before, "version": "2.0.1"}
    after = await made(stage, "t", annotations=entries(c=3), publish=False)
    assert (after["annotations"], after["parameters"], after["publish"]) == (entries(c=3), entries(a=1), False)
    assert (await made(stage, "t", parameters=entries(d=4)))["parameters"] == entries(d=4)
    nulls = dict.fromkeys(("parameters", "annotations", "publish", "version", "limits"))
    assert (await made(stage, "t", **nulls))["parameters"] == entries(d=4)


@on_stage
async def test_limits_and_rules_of_a_body_have_no_effect(stage: Stage) -> None:
    rules = {"acme/r": {"action": {"name": "a", "path": "acme"}, "status": "active"}}
    new = await made(stage, "t", limits={"memory": 1}, rules=rules)
    assert (new["limits"], "rules" in new) == ({}, False)
    await a_rule(stage, "mine")
    assert list((await made(stage, "t", rules=rules))["rules"]) == ["acme/mine"]


@pytest.mark.parametrize("limits", [5, "x", []])
def test_limits_of_a_body_are_an_object_all_the_same(limits: Any) -> None:
    async def test(stage: Stage) -> None:
        text = "The request content was malformed:\nObject expected in field 'limits'"
        assert await refused(stage, "PUT", "t", {"limits": limits}) == (400, text)

    on_stage(test)()


@on_stage
async def test_what_exists_is_overwritten_only_when_asked_for(stage: Stage) -> None:
    await made(stage, "t")
    assert await refused(stage, "PUT", "t", {}) == (409, "resource already exists")
    assert (await shown(stage, "t"))["version"] == "0.0.1"


@on_stage
async def test_a_name_of_another_kind_is_a_conflict_that_beats_existence(stage: Stage) -> None:
    await stage.action("acme/a")
    for query in ("", "?overwrite=true"):
        assert await refused(stage, "PUT", f"a{query}", {}) == (409, WRONG_KIND)
    for method in ("GET", "DELETE", "POST"):
        assert await refused(stage, method, "a") == (409, WRONG_KIND)


@on_stage
async def test_what_is_missing_is_not_named(stage: Stage) -> None:
    for method in ("GET", "DELETE", "POST"):
        assert await refused(stage, method, "nope") == (404, MISSING)


@pytest.mark.parametrize("feed", ["x", "p/x", "/acme/p/x", "/whisk.system/alarms/alarm", "/acme/x"])
def test_the_feed_of_a_new_trigger_looks_like_an_action_and_is_left_to_the_client(feed: str) -> None:
    async def test(stage: Stage) -> None:
        assert (await made(stage, "t", annotations=entries(feed=feed)))["annotations"] == entries(feed=feed)
        assert not stage.bus.messages

    on_stage(test)()


@pytest.mark.parametrize("feed", ["", "/", "a b ", "a?b", "/a/b/c/d", 1, True, None, {"name": "x"}])
def test_the_feed_of_a_new_trigger_is_a_name_and_that_of_an_old_one_is_anything(feed: Any) -> None:
    async def test(stage: Stage) -> None:
        annotations = {"annotations": entries(feed=feed)}
        assert await refused(stage, "PUT", "t?overwrite=true", annotations) == (400, FEED_INVALID)
        assert await refused(stage, "GET", "t") == (404, MISSING)
        await made(stage, "t")
        assert (await made(stage, "t", **annotations))["annotations"] == entries(feed=feed)

    on_stage(test)()


@on_stage
async def test_rules_come_and_go_without_changing_version_or_time(stage: Stage) -> None:
    before = await made(stage, "t", version="7")
    await a_rule(stage)
    attached = {"acme/r": {"action": {"name": "a", "path": "acme"}, "status": "active"}}
    assert await shown(stage, "t") == {**before, "rules": attached}
    await stage.request("POST", "_/rules/r", {"status": "inactive"})
    assert await shown(stage, "t") == {**before, "rules": {"acme/r": {**attached["acme/r"], "status": "inactive"}}}
    await stage.request("DELETE", "_/rules/r")
    assert await shown(stage, "t") == {**before, "rules": {}}


@on_stage
async def test_an_update_of_a_trigger_keeps_its_rules(stage: Stage) -> None:
    await a_rule(stage)
    rules = (await shown(stage, "t"))["rules"]
    assert (await made(stage, "t", parameters=entries(a=1)))["rules"] == rules


@on_stage
async def test_deletion_answers_the_trigger_with_its_rules_which_stay_without_it(stage: Stage) -> None:
    await a_rule(stage)
    before = await shown(stage, "t")
    answer = await stage.request("DELETE", "_/triggers/t")
    assert (answer.status, answer.json, list(before["rules"])) == (200, before, ["acme/r"])
    assert await refused(stage, "GET", "t") == (404, MISSING)
    rule = (await stage.request("GET", "_/rules/r")).json
    assert (rule["status"], rule["trigger"]) == ("inactive", {"name": "t", "path": "acme"})


@on_stage
async def test_a_trigger_made_again_has_no_rules_until_they_are_activated(stage: Stage) -> None:
    await a_rule(stage)
    await stage.request("DELETE", "_/triggers/t")
    again = await made(stage, "t")
    assert ("rules" in again, again["version"]) == (False, "0.0.1")
    assert (await stage.fire("t")).status == 204
    assert (await stage.request("POST", "_/rules/r", {"status": "active"})).text == "OK"
    assert (await shown(stage, "t"))["rules"]["acme/r"]["status"] == "active"
    assert (await stage.fire("t")).status == 202


@on_stage
async def test_triggers_are_not_in_packages_nor_addressed_with_a_slash(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.trigger("acme/t")
    no_route = (404, "The requested resource could not be found.")
    for method, path in (
        ("GET", "p/t"),
        ("PUT", "p/t"),
        ("GET", "t/"),
        ("PUT", "t/"),
        ("DELETE", "t/"),
        ("POST", "t/"),
    ):
        assert await refused(stage, method, path, {}) == no_route
