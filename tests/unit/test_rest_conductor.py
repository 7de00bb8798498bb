"""POST on conductors: how a composition walks, what its conductor is told, where it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Raw

from sabayon.controller.conductor import component_name, read_step
from sabayon.entity.activation import Outcome, Response, error_response
from sabayon.entity.limits import SystemLimits
from tests.unit.scripted_bus import DURATION_MS
from tests.unit.stage import Stage, annotation, on_stage, on_stage_with

CONDUCTOR = {"conductor": True}


def steps(*results: Any) -> Callable[[Any], Any]:
    """A conductor that says one thing after the other."""
    remaining: Iterator[Any] = iter(results)
    return lambda args: next(remaining)


def told(stage: Stage, name: str) -> list[Any]:
    """What the action `name` was run with, each time."""
    return [stage.bus.arguments(i) for i, ran in enumerate(stage.bus.ran()) if ran == name]


@on_stage
async def test_a_conductor_names_actions_until_it_names_none(stage: Stage) -> None:
    await stage.action("acme/inc", lambda args: {"n": args["n"] + 1})
    script = steps(
        {"action": "inc", "params": {"n": 1}, "state": {"step": 1}},
        {"action": "/acme/inc", "params": {"n": 5}},
        {"params": {"done": True}, "ignored": 1},
    )
    await stage.action("acme/c", script, annotations=CONDUCTOR)
    answer = await stage.invoke("c", {"hello": 1})
    assert answer.status == 200
    assert answer.json["response"] == {"result": {"done": True}, "status": "success", "success": True}
    assert stage.bus.ran() == ["c", "inc", "c", "inc", "c"]
    assert told(stage, "c") == [{"hello": 1}, {"n": 2, "step": 1}, {"n": 6}]
    assert told(stage, "inc") == [{"n": 1}, {"n": 5}]


@on_stage
async def test_the_record_of_a_composition(stage: Stage) -> None:
    await stage.action("acme/big", memory=512)
    script = steps({"action": "big"}, {"answer": 42})
    await stage.action("acme/c", script, annotations=CONDUCTOR, timeout=1000)
    record = await stage.blocking_record("c")
    assert record["logs"] == [message.activation_id for message in stage.bus.messages]
    assert record["duration"] == 3 * DURATION_MS
    assert record["response"]["result"] == {"answer": 42}
    assert [entry["key"] for entry in record["annotations"]] == [
        "topmost",
        "path",
        "kind",
        "conductor",
        "waitTime",
        "limits",
    ]
    assert (annotation(record, "kind"), annotation(record, "conductor")) == ("sequence", True)
    assert annotation(record, "limits") == {"concurrency": 1, "logs": 10, "memory": 512, "timeout": 1000}
    for activation_id in record["logs"]:
        assert (await stage.record(activation_id))["cause"] == record["activationId"]


@on_stage
async def test_state_wins_over_the_result_and_is_cleared_when_it_is_absent(stage: Stage) -> None:
    await stage.action("acme/a", {"x": 2, "y": 2})
    script = steps({"action": "a", "state": {"x": 1}}, {"action": "a"}, {})
    await stage.action("acme/c", script, annotations=CONDUCTOR)
    await stage.invoke("c", {"x": 0})
    assert told(stage, "c") == [{"x": 0}, {"x": 1, "y": 2}, {"x": 2, "y": 2}]


@on_stage
async def test_params_and_state_that_are_no_objects_are_boxed(stage: Stage) -> None:
    await stage.action("acme/a", lambda args: {"got": args})
    script = steps({"action": "a", "params": [1], "state": "s"}, {"params": 7})
    await stage.action("acme/c", script, annotations=CONDUCTOR)
    answer = await stage.invoke("c")
    assert told(stage, "c")[1] == {"got": {"value": [1]}, "state": "s"}
    assert answer.json["response"]["result"] == {"value": 7}


@on_stage
async def test_a_component_gets_params_only_and_its_own_defaults(stage: Stage) -> None:
    await stage.action("acme/a", parameters={"own": 1})
    await stage.action("acme/c", steps({"action": "a", "left": 1}, {}), annotations=CONDUCTOR, parameters={"p": 1})
    await stage.invoke("c", {"x": 1})
    assert told(stage, "a") == [{"own": 1}]
    assert told(stage, "c")[0] == {"p": 1, "x": 1}


@on_stage
async def test_an_error_of_a_component_is_told_and_an_error_of_the_conductor_ends(stage: Stage) -> None:
    await stage.action("acme/bad", {"error": "broken"})
    script = steps({"action": "bad", "state": {"s": 1}}, {"error": "enough", "action": "bad"})
    await stage.action("acme/c", script, annotations=CONDUCTOR)
    answer = await stage.invoke("c")
    assert answer.status == 502
    assert answer.json["response"]["result"] == {"error": "enough"}
    assert told(stage, "c")[1] == {"error": "broken", "s": 1}


@on_stage
async def test_a_name_that_cannot_be_used_is_told_to_the_conductor(stage: Stage) -> None:
    await stage.action("other/private")
    await stage.action("acme/list", [1])
    names = [{"a": 1}, "/x", None, "nope", "p/nope", "/other/private", "list"]
    wishes = [{"action": name, "state": {"s": 1}} for name in names]
    await stage.action("acme/c", steps(*wishes, {}), annotations=CONDUCTOR)
    assert (await stage.invoke("c")).status == 200
    malformed = "Failed to parse action name from json value {} during composition."
    unresolved = "Failed to resolve action with name '{}' during composition."
    refused = "Failed entitlement check for action with name '{}' during composition."
    assert [told_["error"] for told_ in told(stage, "c")[1:]] == [
        malformed.format('{"a":1}'),
        malformed.format('"/x"'),
        malformed.format("null"),
        unresolved.format("acme/nope"),
        refused.format("acme/p/nope"),
        refused.format("other/private"),
        unresolved.format("acme/list"),
    ]
    assert all(told_["s"] == 1 for told_ in told(stage, "c")[1:])


@on_stage_with(SystemLimits(sequence_length=2))
async def test_too_many_components_are_told_to_the_conductor_and_too_many_conductors_end(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.action("acme/c", lambda args: {"action": "a"}, annotations=CONDUCTOR)
    answer = await stage.invoke("c")
    assert answer.status == 502
    assert answer.json["response"]["result"] == {"error": "Too many actions in the composition."}
    assert stage.bus.ran() == ["c", "a", "c", "a", "c", "c", "c"]
    assert told(stage, "c")[3:] == [{"error": "Too many actions in the composition."}] * 2


@on_stage_with(SystemLimits(sequence_length=2))
async def test_nested_compositions_share_one_budget_and_are_no_components(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.action("acme/inner", lambda args: {} if "ran" in args else {"action": "a"}, annotations=CONDUCTOR)
    await stage.action("acme/outer", lambda args: {"action": "inner"}, annotations=CONDUCTOR)
    record = await stage.blocking_record("outer")
    assert record["response"]["result"] == {"error": "Too many actions in the composition."}
    assert stage.bus.ran() == ["outer", "inner", "a", "inner", "outer", "inner", "a"]
    inner = await stage.record(record["logs"][1])
    assert (annotation(inner, "topmost"), annotation(inner, "causedBy")) == (False, "sequence")
    assert inner["cause"] == record["activationId"]


@on_stage
async def test_a_sequence_in_a_composition_and_a_composition_in_a_sequence(stage: Stage) -> None:
    await stage.action("acme/inc", lambda args: {"n": args["n"] + 1})
    await stage.sequence("acme/s", "/acme/inc", "/acme/inc")
    script = steps({"action": "s", "params": {"n": 0}}, {"params": {"n": 10}})
    await stage.action("acme/c", script, annotations=CONDUCTOR)
    await stage.sequence("acme/top", "/acme/c", "/acme/inc")
    record = await stage.blocking_record("top")
    assert record["response"]["result"] == {"n": 11}
    composition = await stage.record(record["logs"][0])
    assert (composition["name"], len(composition["logs"])) == ("c", 3)
    assert told(stage, "c")[1] == {"n": 2}


@on_stage
async def test_the_end_of_a_composition_with_an_error_key_stops_the_sequence_around_it(stage: Stage) -> None:
    await stage.action("acme/never")
    await stage.action("acme/c", {"params": {"error": "stop"}}, annotations=CONDUCTOR)
    await stage.sequence("acme/s", "/acme/c", "/acme/never")
    assert (await stage.invoke("s")).json["response"]["result"] == {"error": "stop"}
    assert stage.bus.ran() == ["c"]


@on_stage
async def test_an_array_from_a_conductor_is_a_failure_of_the_composition(stage: Stage) -> None:
    await stage.action("acme/c", [1], annotations=CONDUCTOR)
    answer = await stage.invoke("c")
    assert answer.status == 500
    assert answer.json["response"]["result"] == {"error": "Activation failure during composition."}


@on_stage
async def test_the_text_false_makes_a_conductor_and_the_boolean_does_not(stage: Stage) -> None:
    await stage.action("acme/yes", {"params": {"n": 1}}, annotations={"conductor": "false"})
    await stage.action("acme/no", {"params": {"n": 1}}, annotations={"conductor": False})
    assert (await stage.invoke("yes")).json["response"]["result"] == {"n": 1}
    assert (await stage.invoke("no")).json["response"]["result"] == {"params": {"n": 1}}


def test_component_names_are_relative_to_the_callers_namespace() -> None:
    def parsed(text: str) -> str | None:
        name = component_name(Raw(f'"{text}"'.encode()), "acme")
        return name and name.id

    assert parsed("a") == "acme/a"
    assert parsed("p/a") == "acme/p/a"
    assert parsed("/other/a") == "other/a"
    assert parsed("/other/p/a") == "other/p/a"
    assert parsed("other/p/a") == "other/p/a"
    assert parsed("/_/a") == "acme/a"
    for text in ("/a", "", "/", "a/b/c/d", "a b ", "é"):
        assert parsed(text) is None
    assert component_name(Raw(b"{}"), "acme") is None


def test_a_conductors_error_is_the_response_as_it_came() -> None:
    response = error_response(Outcome.DEVELOPER_ERROR, "crashed")
    assert read_step(response) is response
    whole = Response(Outcome.SUCCESS, Raw(b'{"a":1}'), 7)
    assert read_step(whole) is whole
