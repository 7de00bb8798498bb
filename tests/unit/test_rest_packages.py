"""Packages and bindings: what a PUT makes and keeps, what GET shows of their contents, what refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.stage import Stage, annotation, on_stage

MALFORMED = "The request content was malformed:\n"
MISSING = "The requested resource does not exist."
EXISTS = "resource already exists"
WRONG_KIND = "Resource by this name exists but is not in this collection."
TO_BINDING = {"key": "binding", "value": {"name": "p", "namespace": "acme"}}
NOT_CONVERTIBLE = "Resource is a package and cannot be converted into a binding."
IS_BINDING = "Cannot bind to another package binding."


async def made(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The package after a PUT that succeeded."""
    answer = await stage.request("PUT", f"_/packages/{id}?overwrite=true", fields)
    assert answer.status == 200, answer.text
    return answer.json


async def shown(stage: Stage, id: str) -> Any:
    answer = await stage.request("GET", f"_/packages/{id}")
    assert answer.status == 200, answer.text
    return answer.json


async def refused(stage: Stage, method: str, path: str, json: Any = None) -> tuple[int, str]:
    answer = await stage.request(method, f"_/packages/{path}", json)
    return answer.status, answer.error


def entries(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def to(name: str, namespace: str = "_") -> dict[str, str]:
    return {"namespace": namespace, "name": name}


@on_stage
async def test_a_new_package_is_empty_private_and_no_binding(stage: Stage) -> None:
    answer = await stage.request("PUT", "_/packages/p", {})
    made_ms = answer.json["updated"]
    expected = {
        "annotations": [],
        "binding": {},
        "name": "p",
        "namespace": "acme",
        "parameters": [],
        "publish": False,
        "updated": made_ms,
        "version": "0.0.1",
    }
    assert (answer.status, answer.json) == (200, expected)
    assert stage.services.now_ms() - 100 < made_ms < stage.services.now_ms()
    assert await shown(stage, "p") == {**expected, "actions": [], "feeds": []}


@on_stage
async def test_an_update_replaces_what_its_body_has_annotations_too_and_keeps_the_rest(stage: Stage) -> None:
    before = await made(stage, "p", parameters=entries(a=1), annotations=entries(b=2), publish=True, version="1.1")
    kept = await made(stage, "p")
    assert kept.pop("updated") > before.pop("updated")
    assert kept == {**before, "version": "1.1.1"}
    after = await made(stage, "p", annotations=entries(c=3), publish=False)
    assert (after["annotations"], after["parameters"], after["publish"]) == (entries(c=3), entries(a=1), False)
    assert (await made(stage, "p", parameters=entries(d=4)))["parameters"] == entries(d=4)
    assert (await made(stage, "p", version="0.0.1"))["version"] == "0.0.1"


@on_stage
async def test_what_exists_is_overwritten_only_when_asked_for(stage: Stage) -> None:
    await made(stage, "p")
    assert await refused(stage, "PUT", "p", {}) == (409, EXISTS)
    assert (await shown(stage, "p"))["version"] == "0.0.1"
    assert await refused(stage, "PUT", "p?overwrite=2", {}) == (
        400,
        "The query parameter 'overwrite' was malformed:\n'2' is not a valid Boolean value",
    )


@on_stage
async def test_the_name_default_is_reserved_for_new_packages_only(stage: Stage) -> None:
    for json in ({}, {"version": "x"}):
        assert await refused(stage, "PUT", "default?overwrite=true", json) == (
            400,
            "Package name 'default' is reserved.",
        )
    await stage.package("acme/default")
    assert (await shown(stage, "default"))["name"] == "default"
    assert (await stage.request("DELETE", "_/packages/default")).status == 200


@on_stage
async def test_a_name_of_another_kind_is_a_conflict_that_beats_existence(stage: Stage) -> None:
    await stage.action("acme/a")
    for query in ("", "?overwrite=true"):
        assert await refused(stage, "PUT", f"a{query}", {}) == (409, WRONG_KIND)
    for method in ("GET", "DELETE"):
        assert await refused(stage, method, "a") == (409, WRONG_KIND)


@on_stage
async def test_what_is_missing_is_named_by_get_alone(stage: Stage) -> None:
    assert await refused(stage, "GET", "nope") == (404, "The requested resource 'acme/nope' does not exist.")
    assert await refused(stage, "DELETE", "nope") == (404, MISSING)


@on_stage
async def test_a_package_shows_its_actions_and_apart_from_them_its_feeds(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/q")
    await stage.action("acme/p/a", annotations={"n": 1}, parameters={"secret": 1})
    await stage.action("acme/p/feed", annotations={"feed": False})
    await stage.action("acme/p/null", annotations={"feed": None})
    await stage.action("acme/q/b")
    package = await shown(stage, "p")
    assert package["actions"] == [{"annotations": entries(n=1), "name": "a", "version": "0.0.3"}]
    assert sorted(package["feeds"], key=lambda feed: str(feed["name"])) == [
        {"annotations": entries(feed=False), "name": "feed", "version": "0.0.3"},
        {"annotations": entries(feed=None), "name": "null", "version": "0.0.3"},
    ]


@on_stage
async def test_a_package_shows_all_it_contains_whatever_the_size_of_a_page(stage: Stage) -> None:
    await stage.package("acme/p")
    for number in range(210):
        await stage.action(f"acme/p/a{number}")
    assert len((await stage.request("GET", "_/packages/p?limit=1")).json["actions"]) == 210


@on_stage
async def test_deletion_answers_the_package_without_contents(stage: Stage) -> None:
    before = await made(stage, "p", parameters=entries(a=1), annotations=entries(b=2), publish=True)
    answer = await stage.request("DELETE", "_/packages/p")
    assert (answer.status, answer.json) == (200, before)
    assert (await refused(stage, "GET", "p"))[0] == 404
    assert (await made(stage, "p"))["version"] == "0.0.1"


@on_stage
async def test_a_package_with_actions_is_deleted_by_force_only_and_with_all_of_them(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.action("acme/p/a")
    text = "Package not empty (contains {}). Set force param or delete package contents."
    assert await refused(stage, "DELETE", "p") == (409, text.format("1 entity"))
    await stage.action("acme/p/b")
    await stage.action("acme/pp")
    assert await refused(stage, "DELETE", "p?force=no") == (409, text.format("2 entities"))
    assert await refused(stage, "DELETE", "p?force=2") == (
        400,
        "The query parameter 'force' was malformed:\n'2' is not a valid Boolean value",
    )
    assert (await stage.request("DELETE", "_/packages/p?force=true")).status == 200
    assert [action["name"] for action in (await stage.request("GET", "_/actions")).json] == ["pp"]
    await stage.package("acme/p")
    assert (await stage.request("GET", "_/actions/p/a")).status == 404


@on_stage
async def test_a_binding_has_an_annotation_that_is_the_servers(stage: Stage) -> None:
    await stage.package("acme/p")
    given = [{"key": "binding", "value": "mine"}, *entries(n=1)]
    bound = await made(stage, "b", binding=to("p"), annotations=given)
    assert bound["binding"] == {"name": "p", "namespace": "acme"}
    assert bound["annotations"] == [*entries(n=1), TO_BINDING]
    assert (await made(stage, "b", annotations=given))["annotations"] == [*entries(n=1), TO_BINDING]
    assert (await made(stage, "b", annotations=[]))["annotations"] == [TO_BINDING]
    assert (await made(stage, "plain", annotations=given))["annotations"] == entries(n=1)


@on_stage
async def test_a_binding_shows_its_own_fields_both_parameters_and_the_contents_of_its_provider(stage: Stage) -> None:
    await stage.package("other/utils", {"a": "provider", "b": "provider"}, publish=True)
    await stage.action("other/utils/act")
    await stage.action("other/utils/feed", annotations={"feed": True})
    put = await made(stage, "u", binding=to("utils", "other"), parameters=entries(b="own", c="own"), version="3")
    assert put["parameters"] == entries(b="own", c="own")
    package = await shown(stage, "u")
    assert [action["name"] for action in package.pop("actions")] == ["act"]
    assert [feed["name"] for feed in package.pop("feeds")] == ["feed"]
    assert package == {**put, "parameters": entries(a="provider", b="own", c="own")}
    assert (package["version"], package["name"], package["publish"]) == ("3.0.0", "u", False)


@on_stage
async def test_a_binding_may_move_but_neither_become_a_package_nor_come_from_one(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/q")
    await made(stage, "b", binding=to("p"))
    for json in ({}, {"binding": {}}):
        assert (await made(stage, "b", **json))["binding"] == {"name": "p", "namespace": "acme"}
    moved = await made(stage, "b", binding=to("q", "acme"))
    assert annotation(moved, "binding") == moved["binding"] == {"name": "q", "namespace": "acme"}
    assert await refused(stage, "PUT", "p?overwrite=true", {"binding": to("q")}) == (409, NOT_CONVERTIBLE)
    assert (await made(stage, "p", binding={}))["binding"] == {}


@pytest.mark.parametrize(
    ("binding", "detail"),
    [
        (None, "Object expected in field 'namespace'"),
        ("p", "Object expected in field 'namespace'"),
        ([], "Object expected in field 'namespace'"),
        ({"name": "p"}, "Object is missing required member 'namespace'"),
        ({"namespace": "_"}, "Object is missing required member 'name'"),
        ({"namespace": "_", "name": "p/q"}, "entity name malformed"),
        ({"namespace": "acme/p", "name": "q"}, "entity name malformed"),
        ({"namespace": "", "name": "p"}, "entity name malformed"),
        ({"namespace": "_", "name": 5}, "entity name malformed"),
    ],
)
def test_a_binding_that_cannot_be_read_is_refused(binding: Any, detail: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("acme/p")
        assert await refused(stage, "PUT", "b", {"binding": binding}) == (400, MALFORMED + detail)
        assert (await refused(stage, "GET", "b"))[0] == 404

    on_stage(test)()


@on_stage
async def test_a_binding_needs_a_plain_package_behind_it(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await stage.action("acme/a")
    missing = (400, "Binding references a package that does not exist.")
    assert await refused(stage, "PUT", "new", {"binding": to("nope")}) == missing
    assert await refused(stage, "PUT", "new", {"binding": to("new")}) == missing
    not_package = (409, "Cannot bind to a resource that is not a package.")
    assert await refused(stage, "PUT", "new", {"binding": to("a")}) == not_package
    assert await refused(stage, "PUT", "new", {"binding": to("b")}) == (400, IS_BINDING)
    for name in ("b", "p"):
        assert await refused(stage, "PUT", f"{name}?overwrite=true", {"binding": to(name)}) == (400, IS_BINDING)


@on_stage
async def test_packages_of_others_can_be_bound_only_if_shared_and_the_refusal_tells_nothing(stage: Stage) -> None:
    await stage.package("other/closed")
    await stage.package("other/open", publish=True)
    await stage.package("other/binding", binding="other/open", publish=True)
    for name in ("closed", "nope", "binding"):
        assert await refused(stage, "PUT", "b", {"binding": to(name, "other")}) == (
            403,
            f"The supplied authentication is not authorized to access 'other/{name}'.",
        )
    assert (await made(stage, "b", binding=to("open", "other")))["binding"] == {"name": "open", "namespace": "other"}


@on_stage
async def test_the_target_of_a_binding_is_checked_before_existence(stage: Stage) -> None:
    await stage.package("acme/p")
    assert (await refused(stage, "PUT", "p", {"binding": to("closed", "other")}))[0] == 403
    await stage.package("acme/q")
    assert await refused(stage, "PUT", "p", {"binding": to("q")}) == (409, EXISTS)


@on_stage
async def test_a_binding_is_deleted_alone_even_when_it_leads_nowhere(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.action("acme/p/a")
    await stage.package("acme/b", binding="acme/p")
    await stage.package("acme/dangling", binding="acme/gone")
    answer = await stage.request("DELETE", "_/packages/b?force=true")
    assert (answer.status, answer.json["binding"]) == (200, {"name": "p", "namespace": "acme"})
    assert len((await shown(stage, "p"))["actions"]) == 1
    assert await refused(stage, "GET", "dangling") == (404, "The requested resource 'acme/dangling' does not exist.")
    assert (await stage.request("DELETE", "_/packages/dangling")).status == 200


@on_stage
async def test_a_provider_is_deleted_although_bindings_refer_to_it(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    assert (await stage.request("DELETE", "_/packages/p")).status == 200
    assert [package["name"] for package in (await stage.request("GET", "_/packages")).json] == ["b"]
    assert (await made(stage, "b", publish=True))["binding"] == {"name": "p", "namespace": "acme"}


@on_stage
async def test_a_binding_of_itself_is_told_apart_from_a_missing_one(stage: Stage) -> None:
    await stage.package("acme/self", binding="acme/self")
    assert await refused(stage, "GET", "self") == (
        422,
        "Package binding 'acme/self' contains a circular reference.",
    )


@on_stage
async def test_packages_cannot_be_posted_nor_addressed_with_a_slash(stage: Stage) -> None:
    await stage.package("acme/p")
    no_route = (404, "The requested resource could not be found.")
    for method, path, json in (("POST", "p", {}), ("GET", "p/", None), ("PUT", "p/", {}), ("DELETE", "p/", None)):
        assert await refused(stage, method, path, json) == no_route
