"""Who may do what: owners, strangers, published packages, and bindings of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sabayon.controller.app import create_app
from sabayon.entity.identity import Identity
from sabayon.errors import Corrupt
from sabayon.store.base import Document
from sabayon.store.memory import MemoryArtifacts
from tests.unit.asgi import Answer, AsgiClient
from tests.unit.stage import Stage, on_stage

MISSING = "The requested resource does not exist."
WRONG_KIND = "Resource by this name exists but is not in this collection."
ID = "0" * 32


def not_authorized(*resources: str) -> str:
    return f"The supplied authentication is not authorized to access '{', '.join(resources)}'."


def check(answer: Answer, status: int, text: str) -> None:
    assert (answer.status, answer.error) == (status, text)
    assert answer.json["code"] == answer.headers["x-request-id"]


async def furnish(stage: Stage) -> None:
    """One of each in acme, all private."""
    await stage.action("acme/a")
    await stage.package("acme/p")
    await stage.action("acme/p/a")
    await stage.trigger("acme/t", r=("acme/a", "active"))


def names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return sorted(entity["name"] for entity in answer.json)


# Strangers and what is private


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        *((method, "actions/a", "acme/a") for method in ("GET", "PUT", "DELETE", "POST")),
        *((method, "packages/p", "acme/p") for method in ("GET", "PUT", "DELETE")),
        *((method, "triggers/t", "acme/t") for method in ("GET", "PUT", "DELETE", "POST")),
        *((method, "rules/r", "acme/r") for method in ("GET", "PUT", "DELETE", "POST")),
        *((method, "actions/p/a", "acme/p") for method in ("GET", "POST")),
        *((method, "actions/p/a", "acme/p/a") for method in ("PUT", "DELETE")),
        ("GET", "actions/p/", "acme/p"),
        ("GET", f"activations/{ID}", f"acme/{ID}"),
        ("GET", f"activations/{ID}/logs", f"acme/{ID}"),
        ("GET", f"activations/{ID}/result", f"acme/{ID}"),
    ],
)
def test_a_stranger_is_refused_and_is_not_told_what_exists(method: str, path: str, resource: str, exists: bool) -> None:
    async def test(stage: Stage) -> None:
        if exists:
            await furnish(stage)
        before = await stage.store.artifacts.read(resource)
        body = {} if method in ("PUT", "POST") else None
        check(await stage.request(method, f"acme/{path}", body, by=stage.other), 403, not_authorized(resource))
        assert await stage.store.artifacts.read(resource) == before
        assert not stage.bus.messages

    on_stage(test)()


@pytest.mark.parametrize("collection", ["actions", "triggers", "rules", "activations", "limits"])
@pytest.mark.parametrize("namespace", ["acme", "nobody"])
def test_a_stranger_cannot_list_and_is_not_told_which_namespaces_exist(namespace: str, collection: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", f"{namespace}/{collection}", by=stage.other)
        check(answer, 403, not_authorized(namespace))

    on_stage(test)()


@on_stage
async def test_a_stranger_is_refused_before_its_body_and_its_query_are_looked_at(stage: Stage) -> None:
    answer = await stage.request("PUT", "acme/actions/a?overwrite=x", body=b"{bad", by=stage.other)
    check(answer, 403, not_authorized("acme/a"))
    answer = await stage.request("GET", "acme/actions?limit=x", by=stage.other)
    check(answer, 403, not_authorized("acme"))


@on_stage
async def test_a_record_is_read_only_by_the_namespace_it_belongs_to(stage: Stage) -> None:
    await stage.action("acme/a")
    record = await stage.blocking_record("a")
    path = f"activations/{record['activationId']}"
    assert (await stage.request("GET", f"acme/{path}")).status == 200
    check(await stage.request("GET", f"_/{path}", by=stage.other), 404, MISSING)
    check(
        await stage.request("GET", f"acme/{path}", by=stage.other),
        403,
        not_authorized(f"acme/{record['activationId']}"),
    )


# Packages


@on_stage
async def test_the_owner_lists_all_packages_and_a_stranger_the_published_ones_without_bindings(stage: Stage) -> None:
    await stage.package("acme/open", publish=True)
    await stage.package("acme/closed")
    await stage.package("acme/bound", binding="acme/open", publish=True)
    assert names(await stage.request("GET", "acme/packages")) == ["bound", "closed", "open"]
    assert names(await stage.request("GET", "acme/packages", by=stage.other)) == ["open"]
    assert (await stage.request("GET", "acme/packages?count=true", by=stage.other)).json == {"packages": 1}
    assert (await stage.request("GET", "acme/packages?count=true")).json == {"packages": 3}


@on_stage
async def test_the_packages_of_a_namespace_that_does_not_exist_are_an_empty_list(stage: Stage) -> None:
    answer = await stage.request("GET", "nobody/packages")
    assert (answer.status, answer.json) == (200, [])


@on_stage
async def test_a_published_package_is_read_and_run_by_everyone_and_changed_by_its_owner(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    await stage.action("acme/p/a", {"n": 1})
    assert (await stage.request("GET", "acme/packages/p", by=stage.other)).json["name"] == "p"
    assert names(await stage.request("GET", "acme/actions/p/", by=stage.other)) == ["a"]
    assert (await stage.request("GET", "acme/actions/p/a", by=stage.other)).json["name"] == "a"
    called = await stage.request("POST", "acme/actions/p/a?blocking=true&result=true", by=stage.other)
    assert (called.status, called.json) == (200, {"n": 1})
    for method, path, resource in (
        ("PUT", "packages/p", "acme/p"),
        ("DELETE", "packages/p", "acme/p"),
        ("PUT", "actions/p/a", "acme/p/a"),
        ("DELETE", "actions/p/a", "acme/p/a"),
        ("PUT", "actions/p/new", "acme/p/new"),
    ):
        answer = await stage.request(method, f"acme/{path}?overwrite=true", {}, by=stage.other)
        check(answer, 403, not_authorized(resource))


@on_stage
async def test_what_is_missing_in_a_published_package_is_404_for_everyone(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    for method in ("GET", "POST"):
        check(await stage.request(method, "acme/actions/p/nope", by=stage.other), 404, MISSING)


@on_stage
async def test_publishing_an_action_shares_nothing(stage: Stage) -> None:
    await stage.request("PUT", "_/actions/a", {"publish": True, "exec": {"kind": "python:3.11", "code": "x"}})
    for method in ("GET", "POST"):
        check(await stage.request(method, "acme/actions/a", by=stage.other), 403, not_authorized("acme/a"))


@on_stage
async def test_a_package_is_shared_from_one_request_to_the_next_and_unshared_likewise(stage: Stage) -> None:
    await stage.request("PUT", "_/packages/p", {})
    check(await stage.request("GET", "acme/packages/p", by=stage.other), 403, not_authorized("acme/p"))
    await stage.request("PUT", "_/packages/p?overwrite=true", {"publish": True})
    assert (await stage.request("GET", "acme/packages/p", by=stage.other)).status == 200
    await stage.request("PUT", "_/packages/p?overwrite=true", {"publish": False})
    check(await stage.request("GET", "acme/packages/p", by=stage.other), 403, not_authorized("acme/p"))


@on_stage
async def test_owners_are_told_which_package_is_missing_but_not_of_which_action(stage: Stage) -> None:
    check(await stage.request("GET", "_/packages/nope"), 404, "The requested resource 'acme/nope' does not exist.")
    for method, path in (
        ("DELETE", "packages/nope"),
        ("GET", "actions/nope"),
        ("GET", "actions/nope/"),
        ("GET", "actions/nope/a"),
        ("POST", "actions/nope/a"),
        ("GET", "actions/default/x"),
    ):
        check(await stage.request(method, f"_/{path}"), 404, MISSING)


@on_stage
async def test_a_package_that_is_no_package_is_a_conflict_for_its_owner_and_a_refusal_for_others(stage: Stage) -> None:
    await stage.action("acme/a")
    for method, path in (("GET", "packages/a"), ("GET", "actions/a/x"), ("POST", "actions/a/x"), ("GET", "actions/a/")):
        check(await stage.request(method, f"_/{path}"), 409, WRONG_KIND)
        check(await stage.request(method, f"acme/{path}", by=stage.other), 403, not_authorized("acme/a"))


# Bindings


@on_stage
async def test_a_binding_of_a_published_package_reads_and_runs_what_it_stands_for(stage: Stage) -> None:
    await stage.package("acme/p", {"from": "provider"}, publish=True)
    await stage.action("acme/p/a", lambda args: args)
    binding = {"namespace": "acme", "name": "p"}
    assert (await stage.request("PUT", "_/packages/b", {"binding": binding}, by=stage.other)).status == 200
    read = await stage.request("GET", "_/packages/b", by=stage.other)
    assert [action["name"] for action in read.json["actions"]] == ["a"]
    assert (await stage.request("GET", "_/actions/b/a", by=stage.other)).json["namespace"] == "acme/p"
    called = await stage.request("POST", "_/actions/b/a?blocking=true&result=true", {"n": 1}, by=stage.other)
    assert called.json == {"from": "provider", "n": 1}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "packages/b"), ("GET", "actions/b/a"), ("POST", "actions/b/a"), ("GET", "actions/b/")],
)
def test_bindings_are_never_shared(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("acme/p", publish=True)
        await stage.action("acme/p/a")
        await stage.package("acme/b", binding="acme/p", publish=True)
        answer = await stage.request(method, f"acme/{path}", by=stage.other)
        check(answer, 403, not_authorized("acme/b"))

    on_stage(test)()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "packages/b"), ("GET", "actions/b/a"), ("POST", "actions/b/a"), ("GET", "actions/b/")],
)
@pytest.mark.parametrize("fate", ["unshared", "deleted", "replaced by a binding", "replaced by an action"])
def test_a_binding_whose_foreign_provider_is_out_of_reach_is_refused_even_to_its_owner(
    fate: str, method: str, path: str
) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("other/b", binding="acme/p")
        if fate == "unshared":
            await stage.package("acme/p")
            await stage.action("acme/p/a")
        elif fate == "replaced by a binding":
            await stage.package("acme/q", publish=True)
            await stage.package("acme/p", binding="acme/q", publish=True)
        elif fate == "replaced by an action":
            await stage.action("acme/p")
        check(await stage.request(method, f"_/{path}", by=stage.other), 403, not_authorized("other/b"))

    on_stage(test)()


@on_stage
async def test_a_binding_whose_own_provider_is_missing_is_404(stage: Stage) -> None:
    await stage.package("acme/b", binding="acme/gone")
    check(await stage.request("GET", "_/packages/b"), 404, "The requested resource 'acme/b' does not exist.")
    check(await stage.request("GET", "_/actions/b/a"), 404, MISSING)
    check(await stage.request("POST", "_/actions/b/a"), 404, MISSING)
    assert (await stage.request("DELETE", "_/packages/b")).status == 200


@on_stage
async def test_a_binding_of_itself_is_422(stage: Stage) -> None:
    await stage.package("acme/b", binding="acme/b")
    text = "Package binding 'acme/b' contains a circular reference."
    for method, path in (("GET", "packages/b"), ("GET", "actions/b/a"), ("POST", "actions/b/a")):
        check(await stage.request(method, f"_/{path}"), 422, text)
        check(await stage.request(method, f"acme/{path}", by=stage.other), 403, not_authorized("acme/b"))
    await stage.trigger("acme/t")
    check(await stage.request("PUT", "_/actions/s", sequence_of("/_/b/a")), 422, text)
    check(await stage.request("PUT", "_/rules/r", {"trigger": "/_/t", "action": "/_/b/a"}), 422, text)


@pytest.mark.parametrize("target", ["acme/closed", "acme/nope", "acme/bound", "acme/action", "nobody/p"])
def test_only_what_can_be_read_can_be_bound_and_the_rest_is_refused_alike(target: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("acme/closed")
        await stage.package("acme/open", publish=True)
        await stage.package("acme/bound", binding="acme/open", publish=True)
        await stage.action("acme/action")
        namespace, name = target.split("/")
        body = {"binding": {"namespace": namespace, "name": name}}
        answer = await stage.request("PUT", "_/packages/b", body, by=stage.other)
        check(answer, 403, not_authorized(target))

    on_stage(test)()


@on_stage
async def test_an_own_package_that_is_missing_cannot_be_bound(stage: Stage) -> None:
    body = {"binding": {"namespace": "_", "name": "nope"}}
    answer = await stage.request("PUT", "_/packages/b", body)
    check(answer, 400, "Binding references a package that does not exist.")


# Records that cannot be read


class Damaged(MemoryArtifacts):
    """A store in which no document can be read."""

    async def read(self, id: str) -> Document | None:
        raise Corrupt(id)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "acme/packages/p", None),
        ("GET", "acme/actions/p/a", None),
        ("POST", "acme/actions/p/a", {}),
        ("PUT", "{own}/packages/b", {"binding": {"namespace": "acme", "name": "p"}}),
        ("PUT", "{own}/actions/s", {"exec": {"kind": "sequence", "components": ["/acme/p/a"]}}),
    ],
)
def test_a_damaged_package_is_500_for_its_owner_and_a_refusal_for_others(method: str, path: str, body: Any) -> None:
    async def test(stage: Stage) -> None:
        client = AsgiClient(create_app(replace(stage.services, artifacts=Damaged())))

        async def request(by: Identity) -> Answer:
            url = f"/api/v1/namespaces/{path.format(own=by.namespace)}"
            return await client.request(method, url, json=body, auth=by.auth_key)

        check(await request(stage.acme), 500, "Resource is corrupted and cannot be read.")
        check(await request(stage.other), 403, not_authorized("acme/p"))

    on_stage(test)()


# References in bodies


def sequence_of(*components: str) -> dict[str, Any]:
    return {"exec": {"kind": "sequence", "components": list(components)}}


@on_stage
async def test_components_that_are_refused_are_named_all_together_sorted_and_once(stage: Stage) -> None:
    await furnish(stage)
    body = sequence_of("/nobody/x", "/acme/p/a", "/acme/a", "/acme/p/b", "/other/gone/x", "/other/x")
    answer = await stage.request("PUT", "_/actions/s", body, by=stage.other)
    check(answer, 403, not_authorized("acme/a", "acme/p", "nobody/x"))


@on_stage
async def test_a_component_in_a_missing_package_is_404_and_a_missing_one_elsewhere_is_400(stage: Stage) -> None:
    check(await stage.request("PUT", "_/actions/s", sequence_of("/_/nopkg/a")), 404, MISSING)
    check(await stage.request("PUT", "_/actions/s", sequence_of("/_/a")), 400, "Sequence component does not exist.")


@on_stage
async def test_a_sequence_may_use_foreign_actions_as_long_as_their_package_is_shared(stage: Stage) -> None:
    await stage.package("acme/p", publish=True)
    await stage.action("acme/p/a", {"n": 1})
    assert (await stage.request("PUT", "_/actions/s", sequence_of("/acme/p/a"), by=stage.other)).status == 200
    called = await stage.request("POST", "_/actions/s?blocking=true&result=true", by=stage.other)
    assert (called.status, called.json) == (200, {"n": 1})
    await stage.request("PUT", "acme/packages/p?overwrite=true", {"publish": False})
    check(await stage.request("POST", "_/actions/s", by=stage.other), 403, not_authorized("acme/p"))


@on_stage
async def test_a_rule_needs_an_own_trigger_and_an_action_that_can_be_read(stage: Stage) -> None:
    await furnish(stage)
    await stage.package("acme/open", publish=True)
    await stage.action("acme/open/a")
    await stage.trigger("other/t")
    for trigger, action, refused in (
        ("acme/t", "acme/open/a", ["acme/t"]),
        ("other/t", "acme/a", ["acme/a"]),
        ("other/t", "acme/p/a", ["acme/p"]),
        ("acme/t", "acme/p/a", ["acme/p", "acme/t"]),
    ):
        body = {"trigger": f"/{trigger}", "action": f"/{action}"}
        answer = await stage.request("PUT", "_/rules/r", body, by=stage.other)
        check(answer, 403, not_authorized(*refused))
    body = {"trigger": "/_/t", "action": "/acme/open/a"}
    assert (await stage.request("PUT", "_/rules/r", body, by=stage.other)).status == 200


@on_stage
async def test_a_rule_on_an_action_in_a_missing_package_is_404(stage: Stage) -> None:
    await stage.trigger("acme/t")
    body = {"trigger": "/_/t", "action": "/_/nopkg/a"}
    check(await stage.request("PUT", "_/rules/r", body), 404, MISSING)
