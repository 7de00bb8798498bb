"""Every operation of OpenWhisk's published API description is answered in the shape it describes.

The description is not ours to ship: `OPENWHISK_SWAGGER` names the file (`apiv1swagger.json`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.acceptance.running import Answer, Platform, await_value

VARIABLE = "OPENWHISK_SWAGGER"
CODE = "def main(args):\n    print('hi')\n    return args\n"
ACTION = {"exec": {"kind": "python:default", "code": CODE}}


class Described:
    """The API description: what each operation answers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.exercised: set[tuple[str, str]] = set()

    def operations(self) -> set[tuple[str, str]]:
        """All (method, path template) but those of web actions."""
        return {
            (method, path)
            for path, item in self.document["paths"].items()
            if not path.startswith("/web/")
            for method in item
            if method != "parameters"
        }

    def check(self, method: str, template: str, answer: Answer) -> None:
        """The answer's status is among those described, and its body is valid against the schema of that status."""
        operation = self.document["paths"][template][method]
        responses = operation["responses"]
        assert str(answer.status) in responses, (method, template, answer.status, answer.body)
        response = self._resolved(responses[str(answer.status)])
        if "schema" in response and answer.headers.get("content-type", "").startswith("application/json"):
            schema = {**response["schema"], "definitions": self.document["definitions"]}
            jsonschema.Draft4Validator(schema).validate(answer.json)
        self.exercised.add((method, template))

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        reference = node.get("$ref")
        if not reference:
            return node
        for part in reference.removeprefix("#/").split("/"):
            node = self.document[part] if part in self.document else node[part]
        return node


@pytest.fixture
def described() -> Described:
    path = os.environ.get(VARIABLE)
    if not path:
        pytest.skip(f"{VARIABLE} does not name OpenWhisk's apiv1swagger.json")
    return Described(json.loads(Path(path).read_text()))


@pytest.fixture
def guest(platform: Platform) -> Iterator[str]:
    """A key of a namespace made for this test."""
    key = platform.namespace("swagger")
    yield key
    platform.sabayon("namespace", "delete", "swagger")


def test_every_described_operation_answers_as_described(platform: Platform, described: Described, guest: str) -> None:
    def call(method: str, template: str, body: Any = None, query: str = "", **names: str) -> Answer:
        path = template.format(namespace="_", **names) + query
        answer = platform.request(method.upper(), path, body, auth=guest)
        described.check(method, template, answer)
        return answer

    ns = "/namespaces/{namespace}"
    action, packaged = f"{ns}/actions/{{actionName}}", f"{ns}/actions/{{packageName}}/{{actionName}}"
    package, trigger, rule = (
        f"{ns}/packages/{{packageName}}",
        f"{ns}/triggers/{{triggerName}}",
        f"{ns}/rules/{{ruleName}}",
    )

    call("get", "/namespaces")
    call("get", f"{ns}/limits")

    call("put", package, {"parameters": [{"key": "a", "value": 1}]}, packageName="p")
    for template, names in ((action, {"actionName": "a"}), (packaged, {"packageName": "p", "actionName": "b"})):
        assert call("put", template, ACTION, **names).status == 200
        assert call("put", template, ACTION, **names).status == 409
        assert call("put", template, {"exec": 5}, "?overwrite=true", **names).status == 400
        assert call("get", template, **names).json["exec"]["code"] == CODE
        assert call("post", template, {"x": 1}, "?blocking=true", **names).status == 200
        assert call("post", template, {"x": 1}, "?blocking=true&result=true", **names).status == 200
        assert call("post", template, {"error": "no"}, "?blocking=true", **names).status == 502
    accepted = call("post", action, {"x": 1}, actionName="a")
    assert accepted.status == 202
    assert call("get", action, actionName="none").status == 404
    call("get", f"{ns}/actions")
    call("get", package, packageName="p")
    call("get", f"{ns}/packages")

    assert call("put", trigger, {}, triggerName="t").status == 200
    assert call("post", trigger, {"x": 1}, triggerName="t").status == 204
    assert call("put", rule, {"trigger": "/_/t", "action": "/_/a"}, ruleName="r").status == 200
    assert call("post", rule, {"status": "inactive"}, ruleName="r").status == 200
    assert call("post", rule, {"status": "active"}, ruleName="r").status == 200
    fired = call("post", trigger, {"x": 1}, triggerName="t")
    assert fired.status == 202
    for template, names in ((trigger, {"triggerName": "t"}), (rule, {"ruleName": "r"})):
        call("get", template, **names)
    call("get", f"{ns}/triggers")
    call("get", f"{ns}/rules")

    for activation_id in (accepted.json["activationId"], fired.json["activationId"]):
        path = f"/namespaces/_/activations/{activation_id}"
        await_value(lambda path=path: platform.request("GET", path, auth=guest).status == 200)
        for suffix in ("", "/logs", "/result"):
            template = f"{ns}/activations/{{activationid}}{suffix}"
            assert call("get", template, activationid=activation_id).status == 200
    call("get", f"{ns}/activations")
    call("get", f"{ns}/activations", query="?docs=true")

    call("delete", rule, ruleName="r")
    call("delete", trigger, triggerName="t")
    call("delete", packaged, packageName="p", actionName="b")
    call("delete", package, packageName="p")
    call("delete", action, actionName="a")

    assert described.exercised == described.operations()


def test_an_unauthenticated_call_answers_as_described(platform: Platform, described: Described) -> None:
    answer = platform.request("GET", "/namespaces", auth="")
    described.check("get", "/namespaces", answer)
    assert answer.status == 401
