"""What goes in and out of the served API, as the schemas of its description."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]
"""A schema of Swagger 2.0, or another object of its grammar."""

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer", "format": "int64"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"type": "object"}
NAME: Final[Schema] = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_]([A-Za-z0-9_@. -]*[A-Za-z0-9_@.-])?$",
    "maxLength": 256,
}
ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def ref(name: str) -> Schema:
    """The definition `name`."""
    return {"$ref": f"#/definitions/{name}"}


def array(items: Schema) -> Schema:
    """An array of `items`."""
    return {"type": "array", "items": items}


def _object(properties: dict[str, Schema], *required: str) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_ENTITY: Final = {
    "namespace": STRING,
    "name": STRING,
    "version": STRING,
    "publish": BOOLEAN,
    "annotations": array(ref("KeyValue")),
    "updated": INTEGER,
}
_CONTENT: Final = {
    "annotations": array(ref("KeyValue")),
    "publish": BOOLEAN,
    "version": {"type": "string", "pattern": r"^\d{1,4}\.\d{1,4}\.\d{1,4}$"},
}
_PARAMETERS: Final = {"parameters": array(ref("KeyValue"))}
_ENTITY_FIELDS: Final = ("namespace", "name", "version", "publish", "annotations")

DEFINITIONS: Final[dict[str, Schema]] = {
    "Error": _object({"code": STRING, "error": STRING}, "code", "error"),
    "KeyValue": _object({"key": {"type": "string", "minLength": 1}, "value": {}, "init": BOOLEAN}, "key"),
    "Exec": _object(
        {
            "kind": STRING,
            "code": STRING,
            "image": STRING,
            "main": STRING,
            "binary": BOOLEAN,
            "components": array(STRING),
        },
        "kind",
    ),
    "ActionLimits": _object(
        {
            "timeout": {**INTEGER, "minimum": 100},
            "memory": {**INTEGER, "minimum": 128},
            "logs": {**INTEGER, "minimum": 0},
            "concurrency": {**INTEGER, "minimum": 1},
        }
    ),
    "Action": _object(
        {**_ENTITY, **_PARAMETERS, "exec": ref("Exec"), "limits": ref("ActionLimits")},
        *_ENTITY_FIELDS,
        "exec",
        "limits",
    ),
    "ActionPut": _object({**_CONTENT, **_PARAMETERS, "exec": ref("Exec"), "limits": ref("ActionLimits")}),
    "Binding": _object({"namespace": STRING, "name": STRING}),
    "Package": _object(
        {
            **_ENTITY,
            **_PARAMETERS,
            "binding": ref("Binding"),
            "actions": array(ANYTHING),
            "feeds": array(ANYTHING),
        },
        *_ENTITY_FIELDS,
    ),
    "PackagePut": _object({**_CONTENT, **_PARAMETERS, "binding": ref("Binding")}),
    "Trigger": _object({**_ENTITY, **_PARAMETERS, "limits": ANYTHING, "rules": ANYTHING}, *_ENTITY_FIELDS),
    "TriggerPut": _object({**_CONTENT, **_PARAMETERS}),
    "Path": _object({"path": STRING, "name": STRING}, "path", "name"),
    "RuleStatus": _object({"status": {"type": "string", "enum": ["active", "inactive"]}}, "status"),
    "Rule": _object(
        {**_ENTITY, "trigger": ref("Path"), "action": ref("Path"), "status": STRING},
        *_ENTITY_FIELDS,
        "trigger",
        "action",
        "status",
    ),
    "RulePut": _object(
        {
            **_CONTENT,
            "trigger": STRING,
            "action": STRING,
            "status": {"type": "string", "enum": ["active", "inactive", ""]},
        }
    ),
    "ActivationResponse": _object({"status": STRING, "statusCode": INTEGER, "success": BOOLEAN, "result": {}}),
    "Activation": _object(
        {
            **_ENTITY,
            "subject": STRING,
            "activationId": ID,
            "cause": ID,
            "start": INTEGER,
            "end": INTEGER,
            "duration": INTEGER,
            "response": ref("ActivationResponse"),
            "logs": array(STRING),
        },
        "namespace",
        "name",
        "activationId",
        "start",
        "response",
    ),
    "ActivationId": _object({"activationId": ID}, "activationId"),
    "DeadLetter": _object(
        {
            "activationId": ID,
            "action": STRING,
            "attempts": INTEGER,
            "buried": INTEGER,
            "namespace": STRING,
            "payload": {},
            "reason": STRING,
        },
        "activationId",
        "action",
        "attempts",
        "buried",
        "namespace",
        "reason",
    ),
    "Logs": _object({"logs": array(STRING)}, "logs"),
    "Count": {"type": "object", "additionalProperties": INTEGER},
}
