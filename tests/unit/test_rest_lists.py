"""Lists of entities: what they show, their order, pages and counts, and what others may see."""

from __future__ import annotations

from typing import Any

import pytest

from sabayon.entity.limits import SystemLimits
from tests.unit.stage import START_MS, Stage, on_stage, on_stage_with

COLLECTIONS = ("actions", "packages", "triggers", "rules")
EXEC = {"kind": "python:3.11", "code": ""}


async def listed(stage: Stage, path: str, **rest: Any) -> Any:
    answer = await stage.request("GET", path, **rest)
    assert answer.status == 200, answer.text
    return answer.json


async def names(stage: Stage, path: str, **rest: Any) -> list[str]:
    return [item["name"] for item in await listed(stage, path, **rest)]


async def fill(stage: Stage, collection: str, count: int) -> list[str]:
    """Entities of one collection; their names, the latest first."""
    await stage.action("other/elsewhere")
    body: dict[str, Any] = {"exec": EXEC} if collection == "actions" else {}
    if collection == "rules":
        await stage.trigger("acme/t")
        await stage.action("acme/a")
        body = {"trigger": "/_/t", "action": "/_/a"}
    for number in range(count):
        answer = await stage.request("PUT", f"_/{collection}/e{number}", body)
        assert answer.status == 200, answer.text
    return [f"e{number}" for number in reversed(range(count))]


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_pages_are_cut_from_the_list_with_the_latest_first(collection: str) -> None:
    async def test(stage: Stage) -> None:
        latest = await fill(stage, collection, 34)
        path = f"_/{collection}"
        for query, page in (
            ("", latest[:30]),
            ("?limit=2", latest[:2]),
            ("?skip=3&limit=2", latest[3:5]),
            ("?skip=30", latest[30:]),
            ("?limit=2&limit=3", latest[:2]),
            ("?skip=34", []),
            ("?limit=200&public=x&docs=x&since=x", latest),
        ):
            assert await names(stage, path + query) == page
        assert await names(stage, f"{path}/?limit=1") == latest[:1]

    on_stage(test)()


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_an_update_brings_an_entity_to_the_top(collection: str) -> None:
    async def test(stage: Stage) -> None:
        await fill(stage, collection, 3)
        await stage.request("PUT", f"_/{collection}/e1?overwrite=true", {})
        assert (await names(stage, f"_/{collection}"))[:3] == ["e1", "e2", "e0"]

    on_stage(test)()


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_count_is_an_object_named_like_the_collection_and_lacks_what_is_skipped(collection: str) -> None:
    async def test(stage: Stage) -> None:
        path = f"_/{collection}"
        assert await listed(stage, f"{path}?count=true") == {collection: 0}
        await fill(stage, collection, 31)
        for query, count in (
            ("count=YES&limit=1", 31),
            ("count=1&skip=2", 29),
            ("count=on&skip=100", 0),
        ):
            assert await listed(stage, f"{path}?{query}") == {collection: count}
        assert len(await listed(stage, f"{path}?count=false&limit=1")) == 1
        assert len(await listed(stage, f"{path}?count=")) == 30

    on_stage(test)()


@on_stage_with(SystemLimits(list_standard=2, list_maximum=4))
async def test_a_limit_of_zero_is_the_largest_page(stage: Stage) -> None:
    await fill(stage, "triggers", 6)
    assert len(await names(stage, "_/triggers")) == 2
    assert len(await names(stage, "_/triggers?limit=0")) == 4
    assert len(await names(stage, "_/triggers?limit=4")) == 4


@pytest.mark.parametrize("collection", [*COLLECTIONS, "actions/p"])
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("limit", "x", "The value 'x' is not an integer for {}."),
        ("limit", "", "The value '' is not an integer for {}."),
        ("limit", "1.0", "The value '1.0' is not an integer for {}."),
        ("limit", "201", "The value '201' is not in the range of 0 to 200 for {}."),
        ("limit", "-1", "The value '-1' is not in the range of 0 to 200 for {}."),
        ("skip", "x", "The value 'x' is not an integer for {}."),
        ("skip", "-1", "The value '-1' is not greater than or equal to 0 for {}."),
        ("count", "Si", "'si' is not a valid Boolean value"),
    ],
)
def test_numbers_that_cut_no_page_are_refused(collection: str, name: str, value: str, text: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("acme/p")
        path = "actions/p/" if collection == "actions/p" else collection
        answer = await stage.request("GET", f"_/{path}?{name}={value}")
        detail = text.format(collection.partition("/")[0])
        assert (answer.status, answer.error) == (400, f"The query parameter '{name}' was malformed:\n{detail}")

    on_stage(test)()


@on_stage
async def test_actions_are_listed_with_the_packaged_ones_without_code_kind_and_parameters(stage: Stage) -> None:
    await stage.package("acme/p")
    body = {"parameters": [{"key": "a", "value": 1}], "annotations": [{"key": "n", "value": 1}]}
    await stage.request("PUT", "_/actions/a", {**body, "exec": EXEC})
    packaged = (await stage.request("PUT", "_/actions/p/b", {**body, "exec": {**EXEC, "code": "abcd"}})).json
    sequence = (await stage.request("PUT", "_/actions/s", {"exec": {"kind": "sequence", "components": ["/_/a"]}})).json
    found = await listed(stage, "_/actions")
    assert [(item["namespace"], item["name"]) for item in found] == [("acme", "s"), ("acme/p", "b"), ("acme", "a")]
    del packaged["parameters"], sequence["parameters"]
    assert found[:2] == [{**sequence, "exec": {"binary": False}}, {**packaged, "exec": {"binary": True}}]


@on_stage
async def test_the_actions_of_a_package_are_listed_alone_and_those_of_a_binding_are_its_providers(stage: Stage) -> None:
    await stage.package("other/utils", publish=True)
    await stage.package("acme/b", binding="other/utils")
    await stage.package("acme/p")
    for id in ("acme/a", "acme/p/x", "acme/p/y", "acme/p/z", "other/utils/echo"):
        await stage.action(id)
    assert await names(stage, "_/actions/p/") == ["x", "y", "z"]
    assert await names(stage, "_/actions/p/?skip=1&limit=1") == ["y"]
    assert await listed(stage, "_/actions/p/?count=true&skip=1") == {"actions": 2}
    assert [(item["namespace"], item["name"]) for item in await listed(stage, "_/actions/b/")] == [
        ("other/utils", "echo")
    ]
    assert await listed(stage, "_/actions/b/?count=true") == {"actions": 1}
    assert await names(stage, "other/actions/utils/") == ["echo"]


@on_stage
async def test_lists_of_packages_that_cannot_be_read_are_refused(stage: Stage) -> None:
    await stage.package("other/closed")
    for name in ("closed", "nope"):
        answer = await stage.request("GET", f"other/actions/{name}/")
        assert answer.status == 403
        assert answer.error == f"The supplied authentication is not authorized to access 'other/{name}'."
    missing = await stage.request("GET", "_/actions/nope/")
    assert (missing.status, missing.error) == (404, "The requested resource does not exist.")


@on_stage
async def test_packages_are_listed_without_parameters_and_plain_ones_with_false_as_binding(stage: Stage) -> None:
    await stage.package("acme/p", {"a": 1}, publish=True)
    bound = (await stage.request("PUT", "_/packages/b", {"binding": {"namespace": "_", "name": "p"}})).json
    del bound["parameters"]
    target = {"name": "p", "namespace": "acme"}
    assert bound["annotations"] == [{"key": "binding", "value": target}]
    assert await listed(stage, "_/packages") == [
        {**bound, "binding": target},
        {
            "annotations": [],
            "binding": False,
            "name": "p",
            "namespace": "acme",
            "publish": True,
            "updated": START_MS,
            "version": "0.0.1",
        },
    ]


@on_stage
async def test_others_see_the_shared_packages_that_are_no_bindings_and_count_no_more(stage: Stage) -> None:
    await stage.package("acme/closed")
    await stage.package("acme/open", publish=True)
    await stage.package("acme/binding", binding="acme/open", publish=True)
    assert len(await names(stage, "acme/packages")) == 3
    assert await listed(stage, "acme/packages?count=true") == {"packages": 3}
    assert await names(stage, "acme/packages", by=stage.other) == ["open"]
    assert await listed(stage, "acme/packages?count=true", by=stage.other) == {"packages": 1}
    assert await listed(stage, "nobody/packages") == []
    assert await listed(stage, "nobody/packages?count=true") == {"packages": 0}


@pytest.mark.parametrize("namespace", ["other", "nobody"])
@pytest.mark.parametrize("collection", ["actions", "triggers", "rules"])
def test_lists_of_others_are_refused_whether_they_exist_or_not(namespace: str, collection: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", f"{namespace}/{collection}")
        assert answer.status == 403
        assert answer.error == f"The supplied authentication is not authorized to access '{namespace}'."

    on_stage(test)()


@on_stage
async def test_triggers_are_listed_without_parameters_limits_and_rules(stage: Stage) -> None:
    await stage.trigger("acme/t", {"a": 1}, r=("acme/a", "active"))
    assert await listed(stage, "_/triggers") == [
        {
            "annotations": [],
            "name": "t",
            "namespace": "acme",
            "publish": False,
            "updated": START_MS,
            "version": "0.0.5",
        }
    ]


@on_stage
async def test_rules_are_listed_whole_but_without_status(stage: Stage) -> None:
    await stage.trigger("acme/t")
    await stage.action("acme/a")
    rule = (await stage.request("PUT", "_/rules/r", {"trigger": "/_/t", "action": "/_/a"})).json
    assert rule.pop("status") == "active"
    assert await listed(stage, "_/rules") == [rule]


@on_stage
async def test_each_list_has_its_own_kind_only(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.package("acme/p")
    await stage.trigger("acme/t")
    await stage.request("PUT", "_/rules/r", {"trigger": "/_/t", "action": "/_/a"})
    for collection, name in zip(COLLECTIONS, "aptr", strict=True):
        assert await names(stage, f"_/{collection}") == [name]
        assert await listed(stage, f"_/{collection}?count=true") == {collection: 1}
