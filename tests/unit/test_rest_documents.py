"""The documents that need no key, and the list of namespaces."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urljoin

import pytest

from sabayon.entity.limits import Bounds, SystemLimits
from tests.unit.stage import Stage, on_stage, on_stage_with

LIMITS = SystemLimits(
    timeout_ms=Bounds(200, 90_000, 30_000),
    memory_mb=Bounds(64, 1024, 256),
    logs_mb=Bounds(1, 7, 5),
    invocations_per_minute=61,
    concurrent_invocations=31,
    fires_per_minute=62,
    sequence_length=51,
)
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
    "access-control-allow-methods": "GET, DELETE, POST, PUT, HEAD",
}
NO_ROUTE = "The requested resource could not be found."


def cors(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


@on_stage_with(limits=LIMITS)
async def test_the_deployment_shows_the_limits_it_enforces_in_ms_and_bytes(stage: Stage) -> None:
    answer = await stage.client.request("GET", "/")
    assert answer.status == 200
    assert not cors(answer.headers)
    assert answer.json["limits"] == {
        "actions_per_minute": 61,
        "concurrent_actions": 31,
        "triggers_per_minute": 62,
        "sequence_length": 51,
        "min_action_duration": 200,
        "max_action_duration": 90_000,
        "default_min_action_duration": 200,
        "default_max_action_duration": 90_000,
        "min_action_memory": 64 * 1024 * 1024,
        "max_action_memory": 1024 * 1024 * 1024,
        "default_min_action_memory": 64 * 1024 * 1024,
        "default_max_action_memory": 1024 * 1024 * 1024,
        "min_action_logs": 1024 * 1024,
        "max_action_logs": 7 * 1024 * 1024,
        "default_min_action_logs": 1024 * 1024,
        "default_max_action_logs": 7 * 1024 * 1024,
    }


@on_stage
async def test_the_deployment_shows_its_runtimes_and_where_to_ask(stage: Stage) -> None:
    info = (await stage.client.request("GET", "/")).json
    assert sorted(info) == ["api_paths", "description", "limits", "runtimes", "support"]
    assert (info["api_paths"], info["description"]) == (["/api/v1"], "OpenWhisk")
    assert info["support"] == {
        "github": "https://github.com/apache/openwhisk/issues",
        "slack": "http://slack.openwhisk.org",
    }
    assert info["runtimes"] == {
        "python": [
            {
                "attached": True,
                "default": is_default,
                "deprecated": not is_default,
                "image": "sabayon/python",
                "kind": kind,
                "requireMain": False,
            }
            for kind, is_default in (("python:3.11", True), ("python:2", False))
        ]
    }


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/"])
@pytest.mark.parametrize("auth", [None, "wrong:key"])
def test_the_api_describes_itself_to_everyone_and_ignores_keys(path: str, auth: str | None) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request("GET", path, auth=auth)
        assert (answer.status, cors(answer.headers)) == (200, CORS)
        info: dict[str, Any] = answer.json
        assert info.pop("build")
        assert info.pop("buildno")
        assert info == {
            "api_version": "1.0.0",
            "api_version_path": "v1",
            "description": "OpenWhisk API",
            "swagger_paths": {"api-docs": "/api-docs", "ui": "/docs"},
        }

    on_stage(test)()


@on_stage
async def test_a_ping_is_answered_with_pong_in_plain_text(stage: Stage) -> None:
    answer = await stage.client.request("GET", "/ping")
    assert (answer.status, answer.text) == (200, "pong")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"


@pytest.mark.parametrize("path", ["/", "/ping", "/api-docs", "/api/v1/api-docs"])
def test_documents_need_no_key_and_do_not_mind_a_wrong_one(path: str) -> None:
    async def test(stage: Stage) -> None:
        anonymous = await stage.client.request("GET", path)
        stranger = await stage.client.request("GET", path, auth="wrong:key")
        assert (stranger.status, stranger.body) == (anonymous.status, anonymous.body) == (200, anonymous.body)
        assert anonymous.headers["x-request-id"]

    on_stage(test)()


@pytest.mark.parametrize("path", ["/api/v1", "/api-docs", "/api/v1/api-docs"])
def test_documents_are_the_same_with_a_trailing_slash(path: str) -> None:
    async def test(stage: Stage) -> None:
        without = await stage.client.request("GET", path)
        slashed = await stage.client.request("GET", f"{path}/")
        assert (slashed.status, slashed.body) == (200, without.body)

    on_stage(test)()


@on_stage
async def test_the_description_of_the_root_names_the_root_alone(stage: Stage) -> None:
    answer = await stage.client.request("GET", "/api-docs")
    assert answer.headers["content-type"] == "application/json"
    assert not cors(answer.headers)
    assert answer.json["swagger"] == "2.0"
    assert list(answer.json["paths"]) == ["/"]


@on_stage
async def test_the_description_of_the_api_names_every_collection_and_the_kind_of_key(stage: Stage) -> None:
    answer = await stage.client.request("GET", "/api/v1/api-docs")
    assert cors(answer.headers) == CORS
    assert (answer.json["swagger"], answer.json["basePath"]) == ("2.0", "/api/v1")
    assert answer.json["securityDefinitions"]["basicAuth"] == {"type": "basic"}
    paths = answer.json["paths"]
    for collection in ("actions", "packages", "triggers", "rules", "activations", "limits"):
        assert "get" in paths[f"/namespaces/{{namespace}}/{collection}"]


@on_stage
async def test_every_operation_in_the_description_has_a_route(stage: Stage) -> None:
    paths = (await stage.client.request("GET", "/api/v1/api-docs")).json["paths"]
    values = {"namespace": "_", "activationId": "0" * 32}
    for template, operations in paths.items():
        parameters = [part[1:-1] for part in template.split("/") if part.startswith("{")]
        path = template.format(**{name: values.get(name, "x") for name in parameters})
        for method in operations:
            answer = await stage.client.request(method.upper(), f"/api/v1{path}", auth=stage.acme.auth_key)
            assert NO_ROUTE not in answer.text, (method, template)


@on_stage
async def test_every_reference_in_the_description_leads_to_a_definition(stage: Stage) -> None:
    document = (await stage.client.request("GET", "/api/v1/api-docs")).json
    targets = set(references(document))
    assert targets
    assert targets <= {f"#/definitions/{name}" for name in document["definitions"]}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [r for part in value.values() for r in references(part)]
    return [r for part in value for r in references(part)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("path", "location"),
    [("/docs", "docs/index.html?url=/api-docs"), ("/api/v1/docs", "docs/index.html?url=/api/v1/api-docs")],
)
def test_the_documentation_is_a_redirect(path: str, location: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request("GET", path)
        assert (answer.status, answer.headers["location"]) == (308, location)

    on_stage(test)()


@pytest.mark.parametrize(
    ("path", "document"), [("/docs", "/api-docs"), ("/api/v1/docs", "/api/v1/api-docs")], ids=["root", "api"]
)
def test_the_documentation_is_a_page_that_names_all_described_operations(path: str, document: str) -> None:
    async def test(stage: Stage) -> None:
        redirect = await stage.client.request("GET", path)
        page = await stage.client.request("GET", urljoin(path, redirect.headers["location"]))
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=UTF-8")
        described = (await stage.client.request("GET", document)).json
        for below, operations in described["paths"].items():
            for method, operation in operations.items():
                full = described["basePath"].rstrip("/") + below
                assert f"<code>{method.upper()} {full}</code> {html.escape(operation['summary'])}<" in page.text

    on_stage(test)()


@pytest.mark.parametrize("path", ["/", "/api-docs", "/api/v1", "/api/v1/api-docs"])
def test_a_document_is_json_and_406_for_those_who_do_not_take_it(path: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request("GET", path, headers={"Accept": "text/plain"})
        text = "Resource representation is only available with these types:\napplication/json"
        assert (answer.status, answer.json) == (406, {"code": answer.headers["x-request-id"], "error": text})
        assert not cors(answer.headers)

    on_stage(test)()


@pytest.mark.parametrize("path", ["", "/"])
def test_the_list_of_namespaces_is_the_one_of_the_key(path: str) -> None:
    async def test(stage: Stage) -> None:
        for identity, namespace in ((stage.acme, "acme"), (stage.other, "other")):
            answer = await stage.client.request("GET", f"/api/v1/namespaces{path}", auth=identity.auth_key)
            assert (answer.status, answer.body) == (200, f'["{namespace}"]'.encode())
            assert answer.headers["content-type"] == "application/json"

    on_stage(test)()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/acme"), ("GET", "/_"), ("PUT", "/acme"), ("DELETE", "/acme"), ("POST", ""), ("PUT", ""), ("DELETE", "")],
)
def test_namespaces_can_neither_be_read_nor_made_nor_deleted(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request(method, f"/api/v1/namespaces{path}", auth=stage.acme.auth_key)
        assert (answer.status, answer.error) == (404, NO_ROUTE)

    on_stage(test)()
