"""The description of the served API, as a Swagger 2.0 document.

It describes what this server does, so that generated clients and fuzzers may rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from sabayon import __version__
from sabayon.controller.apischemas import (
    ANYTHING,
    BOOLEAN,
    DEFINITIONS,
    ID,
    INTEGER,
    NAME,
    STRING,
    Schema,
    array,
    ref,
)


def _path(name: str, schema: Schema = NAME) -> Schema:
    return {"name": name, "in": "path", "required": True, **schema}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, **schema}


def _header(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "required": False, **schema}


def _body(schema: Schema) -> Schema:
    return {"name": "body", "in": "body", "required": True, "schema": schema}


_NAMESPACE: Final = _path("namespace", {"type": "string", "enum": ["_"]})
_OVERWRITE: Final = _query("overwrite", BOOLEAN)
_PAGE: Final = (
    _query("limit", {"type": "integer", "minimum": 0, "maximum": 200, "default": 30}),
    _query("skip", {"type": "integer", "minimum": 0, "default": 0}),
    _query("count", BOOLEAN),
)
_TIMES: Final = (_query("since", {**INTEGER, "minimum": 0}), _query("upto", {**INTEGER, "minimum": 0}))
_INVOKE: Final = (
    _query("blocking", BOOLEAN),
    _query("result", BOOLEAN),
    _query("timeout", {"type": "integer", "minimum": 1, "maximum": 60000}),
)
_KEY: Final = _header("Idempotency-Key", {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"})
_REFUSALS: Final = {
    400: "The request is not valid.",
    401: "The key is missing or wrong.",
    403: "The key has no right to this.",
    404: "There is no such thing.",
}


def _operation(
    tag: str, summary: str, parameters: tuple[Schema, ...], answers: Mapping[int, Schema | None], *others: int
) -> Schema:
    """answers: schema by status. others: further statuses, answered with the error body."""
    responses: dict[str, Schema] = {}
    for status, schema in answers.items():
        responses[str(status)] = {"description": "Done.", **({"schema": schema} if schema else {})}
    for status in (*_REFUSALS, *others):
        description = _REFUSALS.get(status, "The request is well formed and cannot be carried out.")
        responses.setdefault(str(status), {"description": description, "schema": ref("Error")})
    operation = {"tags": [tag], "summary": summary, "responses": responses}
    return {**operation, "parameters": list(parameters)} if parameters else operation


def _entity_paths(tag: str, one: str, name: str, path: str) -> dict[str, Schema]:
    """List, read, write and delete of one kind of entity."""
    entity, content, parameter = ref(one), ref(f"{one}Put"), _path(name)
    noun = one.lower()
    return {
        f"/namespaces/{{namespace}}/{path}": {
            "get": _operation(tag, f"List {noun}s", (_NAMESPACE, *_PAGE), {200: {}}),
        },
        f"/namespaces/{{namespace}}/{path}/{{{name}}}": {
            "get": _operation(tag, f"Read the {noun}", (_NAMESPACE, parameter), {200: entity}, 409, 502),
            "put": _operation(
                tag,
                f"Create or update the {noun}",
                (_NAMESPACE, parameter, _OVERWRITE, _body(content)),
                {200: entity},
                409,
                413,
                415,
                429,
            ),
            "delete": _operation(tag, f"Delete the {noun}", (_NAMESPACE, parameter), {200: entity}, 409),
        },
    }


def _paths() -> dict[str, Schema]:
    actions = _entity_paths("Actions", "Action", "actionName", "actions")
    packaged = {
        path.replace("/actions/", "/actions/{packageName}/"): {
            method: {**operation, "parameters": [_NAMESPACE, _path("packageName"), *operation["parameters"][1:]]}
            for method, operation in operations.items()
        }
        for path, operations in actions.items()
        if path.endswith("}")
    }
    paths = {
        "/namespaces": {"get": _operation("Namespaces", "List the key's namespaces", (), {200: array(STRING)})},
        "/namespaces/{namespace}/limits": {
            "get": _operation("Namespaces", "Read the namespace's limits", (_NAMESPACE,), {200: ANYTHING}),
        },
        **actions,
        **packaged,
        **_entity_paths("Packages", "Package", "packageName", "packages"),
        **_entity_paths("Triggers", "Trigger", "triggerName", "triggers"),
        **_entity_paths("Rules", "Rule", "ruleName", "rules"),
        **_activation_paths(),
    }
    invoked = {200: {}, 202: ref("ActivationId")}
    for path in ("{actionName}", "{packageName}/{actionName}"):
        names = tuple(_path(part[1:-1]) for part in path.split("/"))
        paths[f"/namespaces/{{namespace}}/actions/{path}"]["post"] = _operation(
            "Actions",
            "Invoke the action",
            (_NAMESPACE, *names, *_INVOKE, _KEY, _body(ANYTHING)),
            invoked,
            409,
            413,
            415,
            429,
            502,
            503,
        )
    paths["/namespaces/{namespace}/triggers/{triggerName}"]["post"] = _operation(
        "Triggers",
        "Fire the trigger",
        (_NAMESPACE, _path("triggerName"), _KEY, _body(ANYTHING)),
        {202: ref("ActivationId"), 204: None},
        409,
        413,
        415,
        429,
    )
    paths["/namespaces/{namespace}/rules/{ruleName}"]["post"] = _operation(
        "Rules",
        "Enable or disable the rule",
        (_NAMESPACE, _path("ruleName"), _body(ref("RuleStatus"))),
        {200: None},
        409,
        415,
    )
    return paths


def _activation_paths() -> dict[str, Schema]:
    tag, one = "Activations", (_NAMESPACE, _path("activationId", ID))
    path = "/namespaces/{namespace}/activations"
    filters = (_query("name", STRING), *_PAGE, *_TIMES, _query("docs", BOOLEAN))
    return {
        path: {"get": _operation(tag, "List activations", (_NAMESPACE, *filters), {200: {}})},
        f"{path}/{{activationId}}": {
            "get": _operation(tag, "Read the record", one, {200: ref("Activation")}),
            "delete": _operation(
                tag, "Cancel the activation", one, {200: ref("Activation"), 202: ref("ActivationId")}, 409
            ),
        },
        f"{path}/{{activationId}}/logs": {"get": _operation(tag, "Read the logs", one, {200: ref("Logs")})},
        f"{path}/{{activationId}}/result": {
            "get": _operation(tag, "Read the result", one, {200: ref("ActivationResponse")})
        },
    }


@cache
def api_description() -> Schema:
    """The document of `/api/v1`."""
    return {
        "swagger": "2.0",
        "info": {
            "title": "OpenWhisk REST API",
            "description": "Actions, triggers, rules, packages and activations.",
            "version": __version__,
        },
        "basePath": "/api/v1",
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"basicAuth": {"type": "basic"}},
        "security": [{"basicAuth": []}],
        "paths": _paths(),
        "definitions": DEFINITIONS,
    }


@cache
def root_description() -> Schema:
    """The document of `/`."""
    return {
        "swagger": "2.0",
        "info": {"title": "OpenWhisk", "description": "What this deployment offers.", "version": __version__},
        "basePath": "/",
        "produces": ["application/json"],
        "paths": {
            "/": {"get": {"summary": "Limits and runtimes", "responses": {"200": {"description": "The document."}}}},
        },
    }
