"""Rules: what they link, the status that their trigger holds, and what refuses them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sabayon.entity.limits import NamespaceLimits
from tests.unit.stage import Stage, on_stage, on_stage_with
from tests.unit.troubled import CorruptArtifacts, InterleavedArtifacts, stage_on

MALFORMED = "The request content was malformed:\n"
MISSING = "The requested resource does not exist."
WRONG_KIND = "Resource by this name exists but is not in this collection."
INCOMPLETE = (400, "rule requires a valid trigger and a valid action")
NOT_QUALIFIED = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name "
    "of the entity."
)
JSON = {"content-type": "application/json"}
LINK = {"trigger": "/_/t", "action": "/_/a"}


async def set_up(stage: Stage, *rules: str) -> None:
    """Trigger t, action a, a package p with an action in it, and rules between the first two."""
    await stage.trigger("acme/t")
    await stage.action("acme/a")
    await stage.package("acme/p")
    await stage.action("acme/p/x")
    for rule in rules:
        await made(stage, rule, **LINK)


async def made(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The rule after a PUT that succeeded."""
    answer = await stage.request("PUT", f"_/rules/{id}?overwrite=true", fields)
    assert answer.status == 200, answer.text
    return answer.json


async def shown(stage: Stage, id: str) -> Any:
    answer = await stage.request("GET", f"_/rules/{id}")
    assert answer.status == 200, answer.text
    return answer.json


async def attached(stage: Stage, trigger: str) -> dict[str, str]:
    """The rules of a trigger and their status."""
    rules = (await stage.request("GET", f"_/triggers/{trigger}")).json.get("rules", {})
    return {rule: link["status"] for rule, link in rules.items()}


async def turn(stage: Stage, rule: str, status: str) -> None:
    answer = await stage.request("POST", f"_/rules/{rule}", {"status": status})
    assert (answer.status, answer.text) == (200, "OK")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"


async def refused(stage: Stage, method: str, path: str, json: Any = None) -> tuple[int, str]:
    answer = await stage.request(method, f"_/rules/{path}", json)
    return answer.status, answer.error


def entries(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


@on_stage
async def test_a_new_rule_is_active_and_its_trigger_knows_it(stage: Stage) -> None:
    await set_up(stage)
    answer = await stage.request("PUT", "_/rules/r", {"trigger": "/_/t", "action": "acme/p/x", "status": ""})
    updated = answer.json["updated"]
    assert answer.json == {
        "action": {"name": "x", "path": "acme/p"},
        "annotations": [],
        "name": "r",
        "namespace": "acme",
        "publish": False,
        "status": "active",
        "trigger": {"name": "t", "path": "acme"},
        "updated": updated,
        "version": "0.0.1",
    }
    assert stage.services.now_ms() - 100 < updated < stage.services.now_ms()
    assert (await stage.request("GET", "_/rules/r")).body == answer.body
    assert (await stage.request("GET", "_/triggers/t")).json["rules"] == {
        "acme/r": {"action": {"name": "x", "path": "acme/p"}, "status": "active"}
    }


@on_stage
async def test_references_may_be_objects(stage: Stage) -> None:
    await set_up(stage)
    rule = await made(stage, "r", trigger={"path": "_", "name": "t"}, action={"path": "_/p", "name": "x"})
    assert (rule["trigger"], rule["action"]) == ({"name": "t", "path": "acme"}, {"name": "x", "path": "acme/p"})


@on_stage
async def test_an_update_keeps_what_its_body_lacks_and_replaces_annotations(stage: Stage) -> None:
    await set_up(stage)
    before = await made(stage, "r", **LINK, annotations=entries(a=1), publish=True, version="1.2")
    kept = await made(stage, "r", **dict.fromkeys(("trigger", "action", "annotations", "publish", "version")))
    assert kept.pop("updated") > before.pop("updated")
    assert kept == {**before, "version": "1.2.1"}
    after = await made(stage, "r", annotations=entries(b=2), action="/_/p/x", publish=False)
    assert (after["annotations"], after["publish"]) == (entries(b=2), False)
    assert after["action"] == {"name": "x", "path": "acme/p"}
    rules = (await stage.request("GET", "_/triggers/t")).json["rules"]
    assert rules["acme/r"]["action"] == {"name": "x", "path": "acme/p"}


@on_stage
async def test_an_update_keeps_the_status_whatever_the_body_says_and_takes_it_to_another_trigger(stage: Stage) -> None:
    await set_up(stage, "r", "off")
    await stage.trigger("acme/u")
    await turn(stage, "off", "inactive")
    assert (await made(stage, "r", status="inactive"))["status"] == "active"
    assert (await made(stage, "off", status="active"))["status"] == "inactive"
    assert await attached(stage, "t") == {"acme/r": "active", "acme/off": "inactive"}
    for rule, status in (("r", "active"), ("off", "inactive")):
        assert (await made(stage, rule, trigger="/_/u"))["status"] == status
    assert await attached(stage, "t") == {}
    assert await attached(stage, "u") == {"acme/r": "active", "acme/off": "inactive"}


@on_stage
async def test_a_rule_whose_trigger_is_gone_is_inactive_and_stays_so_when_it_moves(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.trigger("acme/u")
    await stage.request("DELETE", "_/triggers/t")
    assert (await shown(stage, "r"))["status"] == "inactive"
    assert (await made(stage, "r", trigger="/_/u"))["status"] == "inactive"
    assert await attached(stage, "u") == {"acme/r": "inactive"}


@on_stage
async def test_a_put_links_a_rule_to_its_trigger_made_again_but_does_not_activate_it(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.request("DELETE", "_/triggers/t")
    await stage.trigger("acme/t")
    assert (await shown(stage, "r"))["status"] == "inactive"
    assert (await made(stage, "r"))["status"] == "inactive"
    assert await attached(stage, "t") == {"acme/r": "inactive"}
    assert (await stage.fire("t")).status == 204


@on_stage
async def test_rules_may_share_trigger_and_action(stage: Stage) -> None:
    await set_up(stage, "r", "s")
    assert await attached(stage, "t") == {"acme/r": "active", "acme/s": "active"}


@on_stage
async def test_a_new_rule_needs_both_ends(stage: Stage) -> None:
    await set_up(stage)
    for json in ({}, {"trigger": "/_/t"}, {"action": "/_/a"}, {"trigger": "/_/t", "action": None}):
        assert await refused(stage, "PUT", "r?overwrite=true", json) == INCOMPLETE


@pytest.mark.parametrize(
    ("link", "refusal"),
    [
        ({"trigger": "/_/nope"}, (400, "trigger /acme/nope does not exist")),
        ({"trigger": "/_/nope", "action": "/_/nope"}, (400, "trigger /acme/nope does not exist")),
        ({"action": "/_/nope"}, (400, "action /acme/nope does not exist")),
        ({"action": "/acme/p/nope"}, (400, "action /acme/p/nope does not exist")),
        ({"action": "/_/nope/x"}, (404, MISSING)),
        ({"trigger": "t"}, (400, MALFORMED + NOT_QUALIFIED)),
        ({"action": "a"}, (400, MALFORMED + NOT_QUALIFIED)),
        ({"action": "/a/b/c/d"}, (400, f"{MALFORMED}fully qualified name malformed")),
        ({"action": 1}, (400, f"{MALFORMED}fully qualified name malformed")),
        (
            {"trigger": "/other/t", "action": "/other/a"},
            (403, "The supplied authentication is not authorized to access 'other/a, other/t'."),
        ),
        ({"action": "/other/p/x"}, (403, "The supplied authentication is not authorized to access 'other/p'.")),
    ],
)
def test_both_ends_of_a_rule_have_to_exist_and_to_be_readable(link: dict[str, Any], refusal: tuple[int, str]) -> None:
    async def test(stage: Stage) -> None:
        await set_up(stage, "old")
        assert await refused(stage, "PUT", "r", {**LINK, **link}) == refusal
        assert await refused(stage, "GET", "r") == (404, MISSING)
        assert await refused(stage, "PUT", "old?overwrite=true", link) == refusal
        assert await attached(stage, "t") == {"acme/old": "active"}

    on_stage(test)()


@on_stage
async def test_ends_of_another_kind_are_refused(stage: Stage) -> None:
    await set_up(stage)
    for link in ({"trigger": "/_/a"}, {"action": "/_/t"}, {"trigger": "/_/p/x"}):
        assert (await refused(stage, "PUT", "r", {**LINK, **link}))[0] == 400
    assert await refused(stage, "GET", "r") == (404, MISSING)


@on_stage
async def test_an_update_checks_also_the_ends_that_it_keeps(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.request("DELETE", "_/actions/a")
    assert await refused(stage, "PUT", "r?overwrite=true", {}) == (400, "action /acme/a does not exist")
    await stage.request("DELETE", "_/triggers/t")
    assert await refused(stage, "PUT", "r?overwrite=true", {}) == (400, "trigger /acme/t does not exist")


@on_stage
async def test_an_update_checks_also_whether_the_action_that_it_keeps_is_still_shared(stage: Stage) -> None:
    await set_up(stage)
    await stage.package("other/utils", publish=True)
    await stage.action("other/utils/echo")
    await made(stage, "r", trigger="/_/t", action="/other/utils/echo")
    await stage.request("PUT", "_/packages/utils?overwrite=true", {"publish": False}, by=stage.other)
    assert await refused(stage, "PUT", "r?overwrite=true", {}) == (
        403,
        "The supplied authentication is not authorized to access 'other/utils'.",
    )
    await made(stage, "s", trigger="/_/t", action="/_/p/x")
    await stage.request("DELETE", "_/packages/p?force=true")
    assert await refused(stage, "PUT", "s?overwrite=true", {}) == (404, MISSING)


@on_stage
async def test_the_action_may_be_shared_by_others_or_be_behind_a_binding_which_is_kept(stage: Stage) -> None:
    await set_up(stage)
    await stage.package("other/utils", publish=True)
    await stage.action("other/utils/echo")
    await stage.package("acme/b", binding="other/utils")
    direct = await made(stage, "direct", trigger="/_/t", action="/other/utils/echo")
    bound = await made(stage, "bound", trigger="/_/t", action="/_/b/echo")
    assert direct["action"] == {"name": "echo", "path": "other/utils"}
    assert bound["action"] == {"name": "echo", "path": "acme/b"}


@on_stage
async def test_what_exists_is_overwritten_only_when_asked_for(stage: Stage) -> None:
    await set_up(stage, "r")
    assert await refused(stage, "PUT", "r", LINK) == (409, "resource already exists")
    assert await refused(stage, "PUT", "r", {}) == (409, "resource already exists")
    assert (await shown(stage, "r"))["version"] == "0.0.1"


@on_stage
async def test_a_name_of_another_kind_is_a_conflict_that_beats_existence(stage: Stage) -> None:
    await set_up(stage)
    for query in ("", "?overwrite=true"):
        assert await refused(stage, "PUT", f"a{query}", LINK) == (409, WRONG_KIND)
    for method, json in (("GET", None), ("DELETE", None), ("POST", {"status": "active"})):
        assert await refused(stage, method, "a", json) == (409, WRONG_KIND)


@on_stage
async def test_a_rule_is_turned_off_and_on_any_number_of_times_and_stays_what_it_is(stage: Stage) -> None:
    await set_up(stage, "r")
    before = await shown(stage, "r")
    for status in ("inactive", "inactive", "active", "active", "inactive"):
        await turn(stage, "r", status)
        assert await shown(stage, "r") == {**before, "status": status}
        assert (await stage.fire("t")).status == (202 if status == "active" else 204)


@on_stage
async def test_turning_looks_at_the_status_alone(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.request("DELETE", "_/actions/a")
    answer = await stage.request("POST", "_/rules/r", {"status": "inactive", "trigger": None, "action": 1})
    assert (answer.status, answer.text) == (200, "OK")
    assert (await shown(stage, "r"))["status"] == "inactive"


@on_stage
async def test_without_its_trigger_a_rule_can_be_turned_off_only(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.request("DELETE", "_/triggers/t")
    await turn(stage, "r", "inactive")
    assert await refused(stage, "POST", "r", {"status": "active"}) == (
        404,
        "Only rules with existing triggers can be activated",
    )


@on_stage
async def test_a_rule_that_its_trigger_has_lost_is_attached_when_it_is_turned_on(stage: Stage) -> None:
    await set_up(stage, "r")
    await stage.request("DELETE", "_/triggers/t")
    await stage.trigger("acme/t")
    await turn(stage, "r", "inactive")
    assert await attached(stage, "t") == {}
    await turn(stage, "r", "active")
    assert await attached(stage, "t") == {"acme/r": "active"}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"status":"x"}', "requirement failed: x is not a recognized rule state"),
        (b'{"status":"Active"}', "requirement failed: Active is not a recognized rule state"),
        (b'{"status":""}', "requirement failed: argument undefined"),
        (b"{}", "key not found: status"),
        (b"", "Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n"),
    ],
)
def test_the_body_that_turns_a_rule_is_checked_before_the_rule_is_looked_for(body: bytes, detail: str) -> None:
    async def test(stage: Stage) -> None:
        await set_up(stage, "r")
        for name in ("r", "nope"):
            answer = await stage.request("POST", f"_/rules/{name}", body=body, headers=JSON)
            assert (answer.status, answer.error) == (400, MALFORMED + detail)
        assert (await shown(stage, "r"))["status"] == "active"
        assert await refused(stage, "POST", "nope", {"status": "active"}) == (404, MISSING)

    on_stage(test)()


@on_stage_with(own=NamespaceLimits(max_payload_size=20))
async def test_the_body_that_turns_a_rule_is_measured_before_its_type_is_looked_at(stage: Stage) -> None:
    await set_up(stage, "r")
    body = b'{"status":"active"}'
    answer = await stage.request("POST", "_/rules/r", body=body + b"  ", headers={"content-type": "text/plain"})
    assert (answer.status, answer.error) == (413, "Request larger than allowed: 21 > 20 bytes.")
    answer = await stage.request("POST", "_/rules/r", body=body, headers={"content-type": "text/plain"})
    assert (answer.status, answer.error) == (
        415,
        "The request's Content-Type [text/plain] is not supported. Expected:\napplication/json",
    )


@on_stage
async def test_a_deleted_rule_is_shown_as_inactive_and_its_trigger_forgets_it(stage: Stage) -> None:
    await set_up(stage, "r")
    before = await shown(stage, "r")
    assert before["status"] == "active"
    answer = await stage.request("DELETE", "_/rules/r")
    assert (answer.status, answer.json) == (200, {**before, "status": "inactive"})
    assert (await stage.request("GET", "_/triggers/t")).json["rules"] == {}
    for method in ("GET", "DELETE"):
        assert await refused(stage, method, "r") == (404, MISSING)


@on_stage
async def test_a_rule_is_deleted_also_when_its_trigger_is_gone_or_does_not_know_it(stage: Stage) -> None:
    await set_up(stage, "r", "s")
    await stage.request("DELETE", "_/triggers/t")
    assert (await stage.request("DELETE", "_/rules/r")).json["status"] == "inactive"
    await stage.trigger("acme/t")
    assert (await stage.request("DELETE", "_/rules/s")).json["status"] == "inactive"
    assert "rules" not in (await stage.request("GET", "_/triggers/t")).json


def test_rules_of_one_trigger_may_be_made_turned_and_deleted_at_once() -> None:
    async def test() -> None:
        stage = await stage_on(InterleavedArtifacts())
        await set_up(stage, "kept", "off", "gone")
        deletion = stage.request("DELETE", "_/rules/gone")
        await asyncio.gather(made(stage, "new", **LINK), turn(stage, "off", "inactive"), deletion)
        assert await attached(stage, "t") == {"acme/kept": "active", "acme/off": "inactive", "acme/new": "active"}

    asyncio.run(test())


def test_however_many_rules_of_one_trigger_are_made_at_once_none_is_refused() -> None:
    async def test() -> None:
        stage = await stage_on(InterleavedArtifacts())
        await set_up(stage)
        ids = [f"r{number}" for number in range(30)]
        await asyncio.gather(*(made(stage, id, **LINK) for id in ids))
        assert set(await attached(stage, "t")) == {f"acme/{id}" for id in ids}

    asyncio.run(test())


def test_of_one_rule_made_by_many_at_once_one_is_new_and_the_others_exist() -> None:
    async def test() -> None:
        stage = await stage_on(InterleavedArtifacts())
        await set_up(stage)
        answers = await asyncio.gather(*(stage.request("PUT", "_/rules/r", LINK) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 409, 409]
        assert {answer.error for answer in answers if answer.status == 409} == {"resource already exists"}

    asyncio.run(test())


@pytest.mark.parametrize(
    ("id", "refusal"),
    [
        ("acme/t", (400, "trigger /acme/t is corrupted")),
        ("acme/p/x", (400, "action /acme/p/x is corrupted")),
        ("acme/p", (500, "Resource is corrupted and cannot be read.")),
    ],
)
def test_ends_of_a_rule_that_cannot_be_read_are_named(id: str, refusal: tuple[int, str]) -> None:
    async def test() -> None:
        artifacts = CorruptArtifacts()
        stage = await stage_on(artifacts)
        await set_up(stage)
        artifacts.corrupt.add(id)
        assert await refused(stage, "PUT", "r", {"trigger": "/_/t", "action": "/_/p/x"}) == refusal
        assert await refused(stage, "GET", "r") == (404, MISSING)

    asyncio.run(test())


@on_stage
async def test_rules_are_not_in_packages_nor_addressed_with_a_slash(stage: Stage) -> None:
    await set_up(stage, "r")
    no_route = (404, "The requested resource could not be found.")
    for method, path in (
        ("GET", "p/r"),
        ("PUT", "p/r"),
        ("GET", "r/"),
        ("PUT", "r/"),
        ("DELETE", "r/"),
        ("POST", "r/"),
    ):
        assert await refused(stage, method, path, LINK) == no_route
