"""POST on actions: what is checked, what an action is run with, how its end is answered."""

from __future__ import annotations

import asyncio

import pytest

from sabayon.entity.activation import Outcome, error_response
from sabayon.entity.limits import NamespaceLimits
from tests.unit.scripted_bus import Hold
from tests.unit.stage import Stage, annotation, on_stage, on_stage_with

NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."
MISSING = "The requested resource does not exist."
WRONG_KIND = "Resource by this name exists but is not in this collection."


@on_stage
async def test_a_blocking_call_answers_the_record_without_logs_and_the_stored_record_has_them(stage: Stage) -> None:
    await stage.action("acme/hello", lambda args: {"greeting": f"Hello {args['name']}"})
    answer = await stage.invoke("hello", {"name": "world"})
    assert answer.status == 200
    assert answer.headers["x-openwhisk-activation-id"] == answer.json["activationId"]
    assert answer.json["logs"] == []
    assert answer.json["response"]["result"] == {"greeting": "Hello world"}
    assert (answer.json["response"]["status"], answer.json["response"]["success"]) == ("success", True)
    assert (answer.json["namespace"], answer.json["subject"], answer.json["version"]) == ("acme", "acme-dev", "0.0.3")
    stored = await stage.record(answer.json["activationId"])
    assert len(stored.pop("logs")) == 1
    assert stored == {key: value for key, value in answer.json.items() if key != "logs"}


@on_stage
async def test_a_call_that_does_not_block_answers_202_and_its_id_and_the_record_follows(stage: Stage) -> None:
    await stage.action("acme/hello", hold := Hold({"n": 1}))
    answer = await stage.invoke("hello", {}, "blocking=false")
    assert answer.status == 202
    assert answer.json == {"activationId": answer.headers["x-openwhisk-activation-id"]}
    assert list(await stage.store.journal.pending()) == [answer.json["activationId"]]
    hold.release.set()
    await stage.services.running.drain()
    assert (await stage.record(answer.json["activationId"]))["response"]["result"] == {"n": 1}
    assert not await stage.store.journal.pending()


@on_stage
async def test_result_true_answers_the_result_alone_but_only_when_blocking(stage: Stage) -> None:
    await stage.action("acme/a", {"n": 1.50})
    assert (await stage.invoke("a", {}, "blocking=true&result=true")).body == b'{"n":1.5}'
    answer = await stage.invoke("a", {}, "result=true")
    assert answer.status == 202
    assert list(answer.json) == ["activationId"]


@on_stage
async def test_an_array_result_is_answered_bare_even_with_result_false(stage: Stage) -> None:
    await stage.action("acme/a", [1, 2])
    answer = await stage.invoke("a", {}, "blocking=true&result=false")
    assert (answer.status, answer.json) == (200, [1, 2])
    assert "x-openwhisk-activation-id" in answer.headers


@pytest.mark.parametrize(
    ("outcome", "status", "label"),
    [
        (Outcome.APPLICATION_ERROR, 502, "application error"),
        (Outcome.DEVELOPER_ERROR, 502, "action developer error"),
        (Outcome.WHISK_ERROR, 500, "whisk internal error"),
    ],
)
def test_errors_answer_the_record_or_the_result_and_never_a_code(outcome: Outcome, status: int, label: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.action("acme/a", error_response(outcome, "no such file"))
        answer = await stage.invoke("a")
        assert answer.status == status
        assert answer.json["response"] == {
            "result": {"error": "no such file"},
            "status": label,
            "success": False,
        }
        assert "code" not in answer.json
        only_result = await stage.invoke("a", {}, "blocking=true&result=true")
        assert (only_result.status, only_result.json) == (status, {"error": "no such file"})
        assert only_result.headers["x-openwhisk-activation-id"]

    on_stage(test)()


@on_stage
async def test_a_wait_that_is_too_short_answers_202_and_the_run_goes_on(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold({"done": True}))
    answer = await stage.invoke("a", {}, "blocking=true&timeout=20")
    assert answer.status == 202
    assert not await stage.store.journal.pending()
    hold.release.set()
    await stage.services.running.drain()
    assert (await stage.record(answer.json["activationId"]))["response"]["result"] == {"done": True}


@on_stage
async def test_the_wait_is_checked_also_when_nobody_waits(stage: Stage) -> None:
    await stage.action("acme/a")
    for value in ("0", "-1", "60001", "x", "", "1.5", "9" * 5000):
        answer = await stage.invoke("a", {}, f"timeout={value}")
        assert answer.status == 400
        assert answer.json["error"] == (
            "The query parameter 'timeout' was malformed:\nTimeout must be number of milliseconds up to 60000."
        )
    assert (await stage.invoke("a", {}, "timeout=60000")).status == 202
    assert (await stage.invoke("a", {}, "timeout=1")).status == 202


@on_stage
async def test_parameters_merge_package_binding_action_payload_by_top_level_key(stage: Stage) -> None:
    await stage.package("acme/p", {"a": "package", "b": "package", "c": "package", "d": {"x": 1}})
    await stage.package("acme/b", {"b": "binding", "c": "binding"}, binding="acme/p")
    await stage.action("acme/p/act", parameters={"c": "action", "e": "action"})
    await stage.invoke("b/act", {"e": None, "d": {"y": 2}})
    assert stage.bus.arguments() == {"a": "package", "b": "binding", "c": "action", "d": {"y": 2}, "e": None}
    record = await stage.blocking_record("b/act")
    assert annotation(record, "binding") == "acme/b"
    assert annotation(record, "path") == "acme/p/act"
    assert (record["namespace"], record["name"]) == ("acme", "act")


@on_stage
async def test_an_empty_body_is_an_empty_object(stage: Stage) -> None:
    await stage.action("acme/a", lambda args: args, parameters={"p": 1})
    assert (await stage.invoke("a", body=b"")).json["response"]["result"] == {"p": 1}
    await stage.action("acme/b", lambda args: args)
    assert (await stage.invoke("b", body=b"")).json["response"]["result"] == {}


@on_stage
async def test_numbers_and_text_of_the_payload_reach_the_action_unchanged(stage: Stage) -> None:
    await stage.action("acme/a", parameters={"p": 1})
    body = '{"big":12345678901234567890123,"text":"\\u00e9 é / 😀","exp":1E+3,"point":1.0}'.encode()
    await stage.invoke("a", body=body, headers={"content-type": "application/json"})
    arguments = bytes(stage.bus.messages[-1].arguments)
    for part in (b"12345678901234567890123", "\\u00e9 é / 😀".encode(), b"1E+3", b"1.0"):
        assert part in arguments


@on_stage
async def test_bodies_that_are_no_json_objects_are_refused(stage: Stage) -> None:
    await stage.action("acme/a")
    json = {"content-type": "application/json"}
    prefix = "The request content was malformed:\n"
    assert (await stage.invoke("a", body=b"[1]", headers=json)).json["error"] == f"{prefix}JSON object expected"
    assert (await stage.invoke("a", body=b"3", headers=json)).json["error"] == f"{prefix}JSON object expected"
    for body in (b"{bad", b"  ", b'{"a":"\xff"}', b'{"a":1}x', b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"):
        answer = await stage.invoke("a", body=body, headers=json)
        assert (answer.status, answer.json["error"][: len(prefix)]) == (400, prefix)
    assert (await stage.invoke("a", body=b'{"a":' + b"1" * 101 + b"}", headers=json)).status == 400
    assert (await stage.invoke("a", body=b'{"a":"' + b"1" * 101 + b'"}', headers=json)).status == 200
    assert len(stage.bus.messages) == 1


@on_stage
async def test_the_content_type_matters_even_for_an_empty_body(stage: Stage) -> None:
    await stage.action("acme/a")
    wrong = {"content-type": "application/x-www-form-urlencoded"}
    answer = await stage.invoke("a", body=b"", headers=wrong)
    assert answer.status == 415
    assert answer.json["error"] == (
        "The request's Content-Type [application/x-www-form-urlencoded] is not supported. Expected:\napplication/json"
    )
    assert (await stage.invoke("a", body=b"{}", headers={"content-type": "application/json; charset=x"})).status == 200
    nothing = await stage.invoke("a", body=b"{}", headers={})
    assert (nothing.status, "application/octet-stream" in nothing.json["error"]) == (415, True)


@on_stage
async def test_final_parameters_cannot_be_overridden_unless_they_are_null(stage: Stage) -> None:
    await stage.action("acme/a", parameters={"p": 1, "q": None}, annotations={"final": True})
    answer = await stage.invoke("a", {"p": 2})
    assert (answer.status, answer.json["error"]) == (400, NOT_ALLOWED)
    assert not stage.bus.messages
    assert (await stage.invoke("a", {"q": 2, "r": 3})).status == 200
    assert stage.bus.arguments() == {"p": 1, "q": 2, "r": 3}
    await stage.action("acme/text", parameters={"p": 1}, annotations={"final": "true"})
    assert (await stage.invoke("text", {"p": 2})).status == 200


@on_stage
async def test_package_parameters_of_a_final_action_are_protected_too(stage: Stage) -> None:
    await stage.package("acme/p", {"a": 1})
    await stage.action("acme/p/act", annotations={"final": True})
    assert (await stage.invoke("p/act", {"a": 2})).json["error"] == NOT_ALLOWED


@on_stage
async def test_init_parameters_are_environment_and_a_payload_does_not_bring_them_back(stage: Stage) -> None:
    values = {"TOKEN": "s3", "NUMBER": 1.5, "FLAG": True, "NOTHING": None, "OBJECT": {"a": [1]}, "p": 1}
    await stage.action("acme/a", parameters=values, init=("TOKEN", "NUMBER", "FLAG", "NOTHING", "OBJECT"))
    await stage.invoke("a", {"q": 2})
    assert stage.bus.arguments() == {"p": 1, "q": 2}
    environment = {"TOKEN": "s3", "NUMBER": "1.5", "FLAG": "true", "NOTHING": "", "OBJECT": '{"a":[1]}'}
    assert stage.bus.messages[-1].environment == environment
    await stage.invoke("a", {"TOKEN": "mine"})
    assert stage.bus.arguments() == {"p": 1}
    assert stage.bus.messages[-1].environment == {**environment, "TOKEN": "mine"}


@on_stage
async def test_what_cannot_be_found_is_404_and_what_is_no_action_is_409(stage: Stage) -> None:
    await stage.trigger("acme/t")
    await stage.package("acme/p")
    assert ((await stage.invoke("nope")).status, (await stage.invoke("nope")).json["error"]) == (404, MISSING)
    for path in ("t", "p", "t/x"):
        answer = await stage.invoke(path)
        assert (answer.status, answer.json["error"]) == (409, WRONG_KIND)
    for path in ("p/nope", "nope/x"):
        answer = await stage.invoke(path)
        assert (answer.status, answer.json["error"]) == (404, MISSING)
    await stage.package("acme/dangling", binding="acme/gone")
    assert (await stage.invoke("dangling/x")).status == 404


@on_stage
async def test_a_deprecated_kind_cannot_be_invoked(stage: Stage) -> None:
    await stage.action("acme/old", kind="python:2")
    answer = await stage.invoke("old")
    assert answer.status == 400
    assert answer.json["error"].startswith("The 'python:2' runtime is no longer supported.")


@on_stage
async def test_the_record_of_a_foreign_shared_action_is_the_callers(stage: Stage) -> None:
    await stage.package("other/utils", {"p": 1}, publish=True)
    await stage.action("other/utils/echo", lambda args: args)
    answer = await stage.request("POST", "other/actions/utils/echo?blocking=true", {"q": 2})
    assert answer.json["response"]["result"] == {"p": 1, "q": 2}
    assert answer.json["namespace"] == "acme"
    assert annotation(answer.json, "path") == "other/utils/echo"
    activation_id = answer.json["activationId"]
    assert (await stage.record(activation_id))["name"] == "echo"
    foreign = await stage.request("GET", f"_/activations/{activation_id}", by=stage.other)
    assert foreign.status == 404


@on_stage
async def test_a_payload_over_the_limit_is_413_before_all_other_checks(stage: Stage) -> None:
    body = b'{"a":"' + b"x" * (1048576 - 8) + b'"}'
    await stage.action("acme/a")
    json = {"content-type": "application/json"}
    assert (await stage.invoke("a", body=body, headers=json)).status == 200
    answer = await stage.invoke("nope", body=body + b" ", headers=json, query="timeout=0")
    assert answer.status == 413
    assert answer.json["error"] == "Request larger than allowed: 1048577 > 1048576 bytes."


@on_stage_with(own=NamespaceLimits(concurrent_invocations=1))
async def test_a_slot_is_taken_until_the_run_is_over_and_is_free_again_when_the_answer_arrives(stage: Stage) -> None:
    await stage.action("acme/slow", hold := Hold())
    await stage.action("acme/quick")
    waiting = asyncio.create_task(stage.invoke("slow"))
    await stage.bus.dispatches(1)
    refused = await stage.invoke("quick")
    assert refused.status == 429
    assert refused.json["error"] == "Too many concurrent requests in flight (count: 1, allowed: 1)."
    hold.release.set()
    assert (await waiting).status == 200
    for _ in range(3):
        assert (await stage.invoke("quick")).status == 200
    assert (await stage.invoke("nope")).status == 404
    assert (await stage.invoke("quick", {}, "timeout=0")).status == 400
    assert (await stage.invoke("quick")).status == 200
    assert (await stage.invoke("slow", {}, "blocking=false")).status == 202


@on_stage_with(own=NamespaceLimits(store_activations=False))
async def test_a_namespace_without_records_gets_results_but_no_records_and_no_journal(stage: Stage) -> None:
    await stage.action("acme/a")
    answer = await stage.invoke("a")
    assert answer.status == 200
    assert (await stage.request("GET", f"_/activations/{answer.json['activationId']}")).status == 404
    accepted = await stage.invoke("a", {}, "blocking=false")
    assert not await stage.store.journal.pending()
    await stage.services.running.drain()
    assert (await stage.request("GET", f"_/activations/{accepted.json['activationId']}")).status == 404


@on_stage
async def test_a_client_that_goes_away_does_not_end_the_run(stage: Stage) -> None:
    await stage.action("acme/a", hold := Hold({"n": 1}))
    for query in ("blocking=true", "blocking=false"):
        hold.release.clear()
        call = asyncio.create_task(stage.invoke("a", {}, query))
        await stage.bus.dispatches(len(stage.bus.messages) + 1)
        call.cancel()
        await asyncio.wait((call,))
        hold.release.set()
        await stage.services.running.drain()
        assert (await stage.record(stage.bus.messages[-1].activation_id))["response"]["result"] == {"n": 1}


@on_stage
async def test_a_binding_of_what_has_become_a_binding_leads_nowhere(stage: Stage) -> None:
    await stage.package("other/private")
    await stage.action("other/private/x")
    await stage.package("acme/p", binding="other/private")
    await stage.package("acme/b", binding="acme/p")
    assert (await stage.invoke("b/x")).status == 404
    assert (await stage.invoke("p/x")).status == 403
    assert not stage.bus.messages
