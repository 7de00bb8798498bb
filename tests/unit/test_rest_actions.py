"""Actions as entities: what a PUT makes, keeps and resets, what GET and DELETE answer, what refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest

from sabayon.controller.app import create_app
from sabayon.entity.limits import NamespaceLimits
from sabayon.entity.manifest import Manifest, Runtime
from tests.unit.asgi import Answer, AsgiClient
from tests.unit.stage import MANIFEST, Stage, annotation, on_stage, on_stage_with
from tests.unit.troubled import CorruptArtifacts, InterleavedArtifacts, stage_on

CODE = "def main(args):\n    return {}\n"
EXEC = {"kind": "python:3.11", "code": CODE}
PYTHON_3 = MANIFEST.families["python"][0]
PYTHON_4 = Runtime(kind="python:4", default=True, image="sabayon/python")
MISSING = "The requested resource does not exist."
EXISTS = "resource already exists"
WRONG_KIND = "Resource by this name exists but is not in this collection."
NOT_ON_BINDING = "Operation not permitted on package binding."
DEPRECATED = (
    "The 'python:2' runtime is no longer supported. You may read and delete but not update or invoke this action."
)
MALFORMED = "The request content was malformed:\n"


async def put(stage: Stage, id: str, /, **fields: Any) -> Answer:
    """A PUT that overwrites."""
    return await stage.request("PUT", f"_/actions/{id}?overwrite=true", fields)


async def made(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The action after a PUT that succeeded; with `EXEC` unless told otherwise."""
    answer = await put(stage, id, **{"exec": EXEC, **fields})
    assert answer.status == 200, answer.text
    return answer.json


async def updated(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The action after a PUT of these fields alone."""
    answer = await put(stage, id, **fields)
    assert answer.status == 200, answer.text
    return answer.json


async def refused(stage: Stage, method: str, path: str, json: Any = None) -> tuple[int, str]:
    answer = await stage.request(method, path, json)
    assert answer.json["code"] == answer.headers["x-request-id"]
    return answer.status, answer.error


def entries(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


@on_stage
async def test_a_new_action_has_the_standard_limits_and_the_annotations_of_the_server(stage: Stage) -> None:
    answer = await stage.request("PUT", "_/actions/hello", {"exec": EXEC})
    assert answer.status == 200
    shown = answer.json
    assert stage.services.now_ms() - 100 < shown.pop("updated") < stage.services.now_ms()
    assert shown == {
        "annotations": [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": "python:3.11"}],
        "exec": {"binary": False, "code": CODE, "kind": "python:3.11"},
        "limits": {"concurrency": 1, "logs": 10, "memory": 256, "timeout": 60000},
        "name": "hello",
        "namespace": "acme",
        "parameters": [],
        "publish": False,
        "version": "0.0.1",
    }
    assert (await stage.request("GET", "_/actions/hello")).body == answer.body


@on_stage
async def test_a_packaged_action_keeps_all_that_its_body_brings(stage: Stage) -> None:
    await stage.package("acme/imaging")
    shown = await made(
        stage,
        "imaging/resize",
        exec={"kind": "python:default", "code": CODE, "main": "resize"},
        parameters=[{"key": "w", "value": 640}, {"key": "TOKEN", "value": "s3", "init": True}],
        annotations=entries(team="media"),
        limits={"memory": 512},
        publish=True,
        version="2",
    )
    assert shown["namespace"] == "acme/imaging"
    assert shown["exec"] == {"binary": False, "code": CODE, "kind": "python:3.11", "main": "resize"}
    assert shown["parameters"] == [{"key": "w", "value": 640}, {"init": True, "key": "TOKEN", "value": "s3"}]
    assert shown["annotations"] == [
        {"key": "team", "value": "media"},
        {"key": "provide-api-key", "value": False},
        {"key": "exec", "value": "python:3.11"},
    ]
    assert shown["limits"] == {"concurrency": 1, "logs": 10, "memory": 512, "timeout": 60000}
    assert (shown["publish"], shown["version"]) == (True, "2.0.0")


@on_stage
async def test_keys_are_sorted_and_nothing_is_between_the_tokens(stage: Stage) -> None:
    answer = await stage.request("PUT", "_/actions/a", {"exec": EXEC, "parameters": entries(text="é/\n")})
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == sorted(answer.json)
    assert b'"parameters":[{"key":"text","value":"' in answer.body
    assert answer.json["parameters"] == entries(text="é/\n")


@on_stage
async def test_what_exists_is_overwritten_only_when_asked_for(stage: Stage) -> None:
    await made(stage, "a")
    for query in ("", "?overwrite=false", "?overwrite=", "?overwrite=OFF"):
        assert await refused(stage, "PUT", f"_/actions/a{query}", {"exec": EXEC}) == (409, EXISTS)
    for version, word in enumerate(("true", "YES", "on", "1"), start=2):
        answer = await stage.request("PUT", f"_/actions/a?overwrite={word}", {"exec": EXEC})
        assert (answer.status, answer.json["version"]) == (200, f"0.0.{version}")
    assert await refused(stage, "PUT", "_/actions/a?overwrite=Maybe", {"exec": EXEC}) == (
        400,
        "The query parameter 'overwrite' was malformed:\n'maybe' is not a valid Boolean value",
    )


@on_stage
async def test_overwriting_what_does_not_exist_is_creating_it_and_needs_code(stage: Stage) -> None:
    for query in ("", "?overwrite=true"):
        assert await refused(stage, "PUT", f"_/actions/a{query}", {}) == (400, "exec undefined")
    assert (await made(stage, "a"))["version"] == "0.0.1"


@on_stage
async def test_an_update_without_fields_keeps_all_but_version_and_time(stage: Stage) -> None:
    before = await made(
        stage,
        "a",
        parameters=entries(p=1),
        annotations=entries(n=2),
        limits={"memory": 128, "timeout": 500, "logs": 1, "instances": 2},
        publish=True,
    )
    after = await updated(stage, "a")
    assert after.pop("updated") > before.pop("updated")
    assert (before.pop("version"), after.pop("version")) == ("0.0.1", "0.0.2")
    assert after == before
    assert after["exec"]["code"] == CODE


@on_stage
async def test_null_is_the_same_as_absent(stage: Stage) -> None:
    before = await made(stage, "a", parameters=entries(p=1), annotations=entries(n=2), publish=True)
    absent = dict.fromkeys(("exec", "parameters", "annotations", "limits", "publish", "version", "delAnnotations"))
    after = await updated(stage, "a", **absent)
    assert after["version"] == "0.0.2"
    for field in ("exec", "parameters", "annotations", "limits", "publish"):
        assert after[field] == before[field]


@on_stage
async def test_fields_that_are_the_servers_have_no_effect_in_a_body(stage: Stage) -> None:
    shown = await made(stage, "a", name="b", namespace="other", updated=1, status="x", code="y", unknown={"z": []})
    assert (shown["name"], shown["namespace"]) == ("a", "acme")
    assert shown["updated"] > 1_000_000
    assert set(shown) == {
        "annotations", "exec", "limits", "name", "namespace", "parameters", "publish", "updated", "version",
    }  # fmt: skip


@on_stage
async def test_parameters_are_replaced_and_annotations_are_merged(stage: Stage) -> None:
    await made(stage, "a", parameters=entries(p=1, q=2), annotations=entries(m=1, n=2))
    after = await updated(stage, "a", parameters=entries(r=3), annotations=entries(n=4, o=5))
    assert after["parameters"] == entries(r=3)
    values = {entry["key"]: entry["value"] for entry in after["annotations"]}
    assert values == {"m": 1, "n": 4, "o": 5, "provide-api-key": False, "exec": "python:3.11"}
    assert (await updated(stage, "a", parameters=[]))["parameters"] == []


@on_stage
async def test_annotations_are_removed_before_new_ones_are_merged(stage: Stage) -> None:
    await made(stage, "a", annotations=entries(gone=1, back=1, stays=1))
    after = await updated(stage, "a", delAnnotations=["gone", "back", "unknown"], annotations=entries(back=2))
    values = {entry["key"]: entry["value"] for entry in after["annotations"]}
    assert values == {"stays": 1, "back": 2, "provide-api-key": False, "exec": "python:3.11"}


@on_stage
async def test_annotations_cannot_be_removed_while_creating_nor_with_a_sequence(stage: Stage) -> None:
    created = await made(stage, "a", annotations=entries(n=1), delAnnotations=["n"])
    assert annotation(created, "n") == 1
    sequence = {"kind": "sequence", "components": ["/_/a"]}
    await made(stage, "s", exec=sequence, annotations=entries(n=1))
    assert annotation(await updated(stage, "s", exec=sequence, delAnnotations=["n"]), "n") == 1
    assert annotation(await updated(stage, "s", delAnnotations=["n"]), "n") is None


@pytest.mark.parametrize("value", [{"n": 1}, "n", [1], [None]])
def test_annotations_to_remove_are_an_array_of_strings(value: Any) -> None:
    async def test(stage: Stage) -> None:
        await made(stage, "a")
        answer = await put(stage, "a", delAnnotations=value)
        assert (answer.status, answer.error[: len(MALFORMED)]) == (400, MALFORMED)

    on_stage(test)()


@on_stage
async def test_the_annotation_exec_is_always_the_resolved_kind(stage: Stage) -> None:
    created = await made(stage, "a", exec={"kind": " Python:Default ", "code": ""}, annotations=entries(exec="foo"))
    assert [entry for entry in created["annotations"] if entry["key"] == "exec"] == entries(exec="python:3.11")
    assert annotation(await updated(stage, "a", annotations=entries(exec="bar")), "exec") == "python:3.11"
    changed = await updated(stage, "a", exec={"kind": "blackbox", "image": "me/img"}, delAnnotations=["exec"])
    assert annotation(changed, "exec") == "blackbox"


@on_stage
async def test_the_annotation_for_the_key_is_added_only_while_creating(stage: Stage) -> None:
    assert (
        annotation(await made(stage, "given", annotations=[{"key": "provide-api-key", "value": 1}]), "provide-api-key")
        == 1
    )
    await made(stage, "a")
    removed = await updated(stage, "a", delAnnotations=["provide-api-key"])
    assert removed["annotations"] == entries(exec="python:3.11")
    assert (await made(stage, "a"))["annotations"] == entries(exec="python:3.11")


@on_stage
async def test_versions_count_up_unless_the_body_says_and_start_anew_after_deletion(stage: Stage) -> None:
    assert (await made(stage, "a"))["version"] == "0.0.1"
    assert (await updated(stage, "a"))["version"] == "0.0.2"
    for given, version in (("1", "1.0.0"), ("0.2", "0.2.0"), ("01.2.3.4", "1.2.3"), ("0.0.1", "0.0.1")):
        assert (await updated(stage, "a", version=given))["version"] == version
    assert (await updated(stage, "a"))["version"] == "0.0.2"
    await stage.request("DELETE", "_/actions/a")
    assert (await made(stage, "a"))["version"] == "0.0.1"


@pytest.mark.parametrize(
    "version", ["", "0.0.0", "0", "-1", "1.-1", "x", "1.x", "1..2", " 1", "²", "9" * 5000, 1, True]
)
def test_a_version_is_numbers_with_points_between(version: Any) -> None:
    async def test(stage: Stage) -> None:
        path = "_/actions/a"
        refusal = (400, f"{MALFORMED}semantic version malformed")
        assert await refused(stage, "PUT", path, {"exec": EXEC, "version": version}) == refusal
        assert await refused(stage, "GET", path) == (404, MISSING)

    on_stage(test)()


@on_stage
async def test_publish_is_a_boolean(stage: Stage) -> None:
    answer = await put(stage, "a", exec=EXEC, publish="x")
    assert (answer.status, answer.error) == (400, f'{MALFORMED}Expected JsBoolean, but got "x"')


@pytest.mark.parametrize("field", ["parameters", "annotations"])
@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        "a",
        ["a"],
        [{"key": "a"}],
        [{"value": 1}],
        [{"key": 1, "value": 1}],
        [{"key": "a", "value": 1, "init": 1}],
        [{"key": "a", "value": 1, "encryption": None}],
        [{"key": "a", "value": 1, "encryption": 1}],
    ],
)
def test_parameters_and_annotations_of_another_shape_are_refused(field: str, value: Any) -> None:
    async def test(stage: Stage) -> None:
        answer = await put(stage, "a", exec=EXEC, **{field: value})
        assert (answer.status, answer.error) == (400, f"{MALFORMED}parameters malformed!")

    on_stage(test)()


@on_stage
async def test_parameters_show_their_marks_only_when_they_say_something(stage: Stage) -> None:
    given = [
        {"key": "a", "value": 1},
        {"key": "b", "value": None, "init": False},
        {"key": "c", "value": {"d": [1.0]}, "init": True, "encryption": None, "other": 1},
        {"key": "d", "value": "cipher", "encryption": "aes-128"},
        {"key": "", "value": ""},
        {"key": "a", "value": 2},
    ]
    assert (await made(stage, "a", parameters=given))["parameters"] == [
        {"key": "a", "value": 2},
        {"key": "b", "value": None},
        {"init": True, "key": "c", "value": {"d": [1.0]}},
        {"encryption": "aes-128", "key": "d", "value": "cipher"},
        {"key": "", "value": ""},
    ]


@on_stage
async def test_without_code_an_action_shows_the_rest_of_its_exec(stage: Stage) -> None:
    await made(stage, "a", exec={**EXEC, "main": "go"})
    without = await stage.request("GET", "_/actions/a?code=false")
    assert without.json["exec"] == {"binary": False, "kind": "python:3.11", "main": "go"}
    for query in ("", "?code=true", "?code="):
        assert (await stage.request("GET", f"_/actions/a{query}")).json["exec"]["code"] == CODE
    assert await refused(stage, "GET", "_/actions/a?code=2") == (
        400,
        "The query parameter 'code' was malformed:\n'2' is not a valid Boolean value",
    )


@on_stage
async def test_a_packaged_action_shows_parameters_of_package_and_binding_below_its_own(stage: Stage) -> None:
    await stage.package("acme/p", {"a": "package", "b": "package", "c": "package"})
    await stage.package("acme/b", {"b": "binding", "c": "binding"}, binding="acme/p")
    await made(stage, "p/act", parameters=entries(c="action"))
    direct = (await stage.request("GET", "_/actions/p/act")).json
    assert direct["parameters"] == entries(a="package", b="package", c="action")
    bound = (await stage.request("GET", "_/actions/b/act")).json
    assert bound["parameters"] == entries(a="package", b="binding", c="action")
    assert (bound["namespace"], bound["exec"]["code"]) == ("acme/p", CODE)


@on_stage
async def test_the_binding_is_named_only_without_code_and_only_when_it_was_addressed(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await made(stage, "p/act")
    assert (await stage.request("GET", "_/actions/b/act?code=false")).json["binding"] == "acme/b"
    for path in ("b/act", "b/act?code=true", "p/act?code=false"):
        assert "binding" not in (await stage.request("GET", f"_/actions/{path}")).json


@on_stage
async def test_a_put_on_a_packaged_action_does_not_store_the_parameters_of_its_package(stage: Stage) -> None:
    await stage.package("acme/p", {"a": 1})
    assert (await made(stage, "p/act", parameters=entries(b=2)))["parameters"] == entries(b=2)
    assert (await updated(stage, "p/act"))["parameters"] == entries(b=2)
    assert (await stage.request("DELETE", "_/actions/p/act")).json["parameters"] == entries(b=2)


@on_stage
async def test_deletion_answers_the_whole_action_with_its_code(stage: Stage) -> None:
    before = await made(stage, "a", parameters=entries(p=1))
    answer = await stage.request("DELETE", "_/actions/a")
    assert (answer.status, answer.json) == (200, before)
    for method in ("GET", "DELETE"):
        assert await refused(stage, method, "_/actions/a") == (404, MISSING)


@on_stage
async def test_what_refers_to_an_action_does_not_keep_it_from_being_deleted(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.sequence("acme/s", "/acme/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))
    assert (await stage.request("DELETE", "_/actions/a")).status == 200
    assert (await stage.request("GET", "_/actions/s")).json["exec"]["components"] == ["/acme/a"]
    assert "acme/r" in (await stage.request("GET", "_/triggers/t")).json["rules"]


@on_stage
async def test_a_name_of_another_kind_is_a_conflict_that_beats_existence(stage: Stage) -> None:
    await stage.trigger("acme/t")
    await stage.package("acme/p")
    for name in ("t", "p"):
        for query in ("", "?overwrite=true"):
            assert await refused(stage, "PUT", f"_/actions/{name}{query}", {"exec": EXEC}) == (409, WRONG_KIND)
        for method in ("GET", "DELETE", "POST"):
            assert await refused(stage, method, f"_/actions/{name}") == (409, WRONG_KIND)


@on_stage
async def test_names_are_case_sensitive(stage: Stage) -> None:
    await made(stage, "a")
    assert await refused(stage, "GET", "_/actions/A") == (404, MISSING)
    assert (await made(stage, "A"))["version"] == "0.0.1"


@on_stage
async def test_packages_of_packaged_actions_have_to_exist_and_to_be_packages(stage: Stage) -> None:
    await stage.trigger("acme/t")
    await stage.action("acme/x")
    for method, json in (("PUT", {"exec": EXEC}), ("GET", None), ("DELETE", None), ("POST", {})):
        assert await refused(stage, method, "_/actions/nope/x", json) == (404, MISSING)
        assert await refused(stage, method, "_/actions/t/x", json) == (409, WRONG_KIND)
        assert await refused(stage, method, "_/actions/default/x", json) == (404, MISSING)


@on_stage
async def test_actions_are_not_written_through_a_binding(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await stage.action("acme/p/x")
    for name in ("x", "new"):
        assert await refused(stage, "PUT", f"_/actions/b/{name}?overwrite=true", {"exec": EXEC}) == (
            400,
            NOT_ON_BINDING,
        )
        assert await refused(stage, "DELETE", f"_/actions/b/{name}") == (400, NOT_ON_BINDING)
    assert (await stage.request("GET", "_/actions/p/x")).json["version"] == "0.0.3"


@on_stage
async def test_a_deprecated_kind_can_be_read_and_deleted_but_not_made_or_kept_by_an_update(stage: Stage) -> None:
    old = {"kind": "python:2", "code": CODE}
    assert await refused(stage, "PUT", "_/actions/new", {"exec": old}) == (400, DEPRECATED)
    await stage.action("acme/old", kind="python:2")
    for json in ({}, {"exec": old}):
        assert await refused(stage, "PUT", "_/actions/old?overwrite=true", json) == (400, DEPRECATED)
    assert (await stage.request("GET", "_/actions/old")).json["exec"]["kind"] == "python:2"
    await stage.action("acme/older", kind="python:2")
    assert (await stage.request("DELETE", "_/actions/older")).status == 200
    assert (await made(stage, "old"))["exec"]["kind"] == "python:3.11"


@on_stage_with(own=NamespaceLimits(allowed_kinds=("python:3.11",)))
async def test_a_namespace_may_be_limited_to_some_kinds(stage: Stage) -> None:
    assert (await made(stage, "a", exec={"kind": "python:default", "code": ""}))["exec"]["kind"] == "python:3.11"
    assert await refused(stage, "PUT", "_/actions/b", {"exec": {"kind": "blackbox", "image": "me/img"}}) == (
        403,
        "The supplied authentication is not authorized to access actions of kind 'blackbox'.",
    )


@on_stage
async def test_the_kind_of_a_family_is_resolved_once_and_another_default_later_does_not_change_it(stage: Stage) -> None:
    await made(stage, "a", exec={"kind": "python:default", "code": CODE})
    later = Manifest({"python": (msgspec.structs.replace(PYTHON_3, default=False), PYTHON_4)})
    client = AsgiClient(create_app(dataclasses.replace(stage.services, manifest=later)))
    path, auth = "/api/v1/namespaces/_/actions/", stage.acme.auth_key
    kept = await client.request("PUT", f"{path}a?overwrite=true", json={}, auth=auth)
    assert (kept.status, kept.json["exec"]["kind"]) == (200, "python:3.11")
    new = await client.request("PUT", f"{path}b", json={"exec": {"kind": "python:default", "code": CODE}}, auth=auth)
    assert (new.status, new.json["exec"]["kind"]) == (200, "python:4")


@on_stage
async def test_a_name_and_the_same_name_with_a_slash_are_different_resources(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.action("acme/p/x")
    await stage.action("acme/a")
    assert await refused(stage, "GET", "_/actions/p") == (409, WRONG_KIND)
    assert [action["name"] for action in (await stage.request("GET", "_/actions/p/")).json] == ["x"]
    assert await refused(stage, "GET", "_/actions/a/") == (409, WRONG_KIND)
    for method, json in (("PUT", {"exec": EXEC}), ("DELETE", None), ("POST", {})):
        assert await refused(stage, method, "_/actions/a/", json) == (404, "The requested resource could not be found.")


@pytest.mark.parametrize(
    ("path", "json"),
    [
        ("actions/a", {"exec": EXEC}),
        ("packages/p", {"publish": True}),
        ("triggers/t", {"publish": True}),
    ],
)
def test_of_two_writers_that_meet_one_is_told_so(path: str, json: Any) -> None:
    async def test() -> None:
        stage = await stage_on(InterleavedArtifacts())
        for query, version in (("", "0.0.1"), ("?overwrite=true", "0.0.2")):
            answers = await asyncio.gather(*(stage.request("PUT", f"_/{path}{query}", json) for _ in range(2)))
            won, lost = sorted(answers, key=lambda answer: answer.status)
            assert (won.status, won.json["version"]) == (200, version)
            assert (lost.status, lost.error) == (409, "Concurrent modification to resource detected.")

    asyncio.run(test())


def test_what_cannot_be_read_is_an_error_of_the_server_for_its_owner_and_forbidden_to_others() -> None:
    async def test() -> None:
        artifacts = CorruptArtifacts()
        stage = await stage_on(artifacts)
        artifacts.corrupt |= {"acme/a", "acme/p", "other/p"}
        unreadable = (500, "Resource is corrupted and cannot be read.")
        for method, json in (("GET", None), ("PUT", {"exec": EXEC}), ("DELETE", None), ("POST", {})):
            for name in ("a", "p/x"):
                assert await refused(stage, method, f"_/actions/{name}", json) == unreadable
        assert (
            await refused(stage, "PUT", "_/actions/s", {"exec": {"kind": "sequence", "components": ["/_/a"]}})
            == unreadable
        )
        assert (await refused(stage, "GET", "other/actions/p/x"))[0] == 403

    asyncio.run(test())
