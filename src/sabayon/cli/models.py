"""How each kind of document is shown: which fields, in which order, and what stands for absent ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sabayon.cli.failures import CommandFailed
from sabayon.cli.values import Number, sorted_deep

Document = dict[str, Any]
Show = Callable[[Any], Any]

_STATUS_CODES: Final = {"application error": 1, "action developer error": 2, "whisk internal error": 3}
_TEXT: Final = ("namespace", "name", "version", "subject", "activationId", "cause", "status", "error", "activationid")
_LISTS: Final = ("annotations", "parameters", "actions", "feeds", "logs", "delAnnotations")
_NUMBERS: Final = ("start", "end", "duration", "statusCode", "updated", "code")


FIELDS: Final = {
    "action": "namespace name version exec annotations delAnnotations parameters limits error code publish updated",
    "package": "namespace name version publish annotations parameters binding actions feeds updated",
    "trigger": "namespace name version activationId annotations parameters limits publish rules updated",
    "rule": "namespace name version annotations status trigger action publish updated",
    "activation": "namespace name version subject activationId cause start end duration statusCode response logs "
    "annotations publish",
    "exec": "kind code image init main components binary",
    "binding": "namespace name",
}


def show_action(document: Any) -> Document:
    """An action, without what is empty."""
    return _kept(document, "action", {"exec": _exec, "limits": _limits})


def show_package(document: Any) -> Document:
    """A package with its actions and feeds."""
    inner = {"binding": _binding, "actions": _actions, "feeds": _actions}
    return _kept(document, "package", inner, always=("binding",) if _has_binding(document) else ())


def show_trigger(document: Any) -> Document:
    return _kept(document, "trigger", {}, always=("name",))


def show_rule(document: Any) -> Document:
    return _kept(document, "rule", {}, always=("status", "trigger", "action"))


def show_activation(document: Any) -> Document:
    """An activation: nearly all fields always, `statusCode` after the words of `response.status`."""
    source = _fields(document)
    answer = _fields(source.get("response"))
    response = {
        "status": answer.get("status", ""),
        "statusCode": answer.get("statusCode", 0),
        "success": answer.get("success", False),
    }
    if answer.get("result") is not None:
        response["result"] = sorted_deep(answer["result"])
    shown: Document = {
        name: source.get(name, "") for name in ("namespace", "name", "version", "subject", "activationId")
    }
    if source.get("cause"):
        shown["cause"] = source["cause"]
    shown |= {name: source.get(name, 0) for name in ("start", "end", "duration")}
    shown["statusCode"] = _STATUS_CODES.get(str(answer.get("status")), 0)
    shown["response"] = response
    shown["logs"] = source.get("logs")
    shown["annotations"] = _key_values(source.get("annotations")) if source.get("annotations") is not None else None
    if "publish" in source:
        shown["publish"] = source["publish"]
    return shown


SHOW: Final[dict[str, Show]] = {
    "action": show_action,
    "package": show_package,
    "trigger": show_trigger,
    "rule": show_rule,
    "activation": show_activation,
}


def find_field(kind: str, typed: str, exit_code: int, *, is_hinted: bool) -> str:
    """The field's proper name; case does not matter. Raises CommandFailed."""
    for name in FIELDS[kind].split():
        if name.lower() == typed.lower():
            return name
    raise CommandFailed(f"Invalid field filter '{typed}'.", exit_code, is_hinted=is_hinted)


def field_of(kind: str, document: Any, name: str) -> Any:
    """One field as it is shown, with the empty value of its type when it is absent."""
    shown = SHOW[kind](document)
    if name in shown:
        return shown[name]
    if name in _TEXT:
        return ""
    if name in _LISTS:
        return []
    return 0 if name in _NUMBERS else None


def annotation(document: Any, key: str, default: Any = None) -> Any:
    """The value of an annotation."""
    for entry in _fields(document).get("annotations") or []:
        if isinstance(entry, dict) and entry.get("key") == key:
            return entry.get("value")
    return default


def _kept(document: Any, kind: str, inner: Mapping[str, Show], always: tuple[str, ...] = ()) -> Document:
    source = _fields(document)
    shown: Document = {}
    for name in FIELDS[kind].split():
        value = source.get(name)
        if name in always or not _is_empty(value):
            default: Show = _key_values if name in ("annotations", "parameters") else sorted_deep
            show = inner.get(name, default)
            shown[name] = show(value) if value is not None else "" if name == "status" else value
    return shown


def _is_empty(value: Any) -> bool:
    """Absent, or the zero of its type; `false` that was sent counts."""
    if isinstance(value, Number):
        return value in ("0", "-0", "0.0")
    return value is None or (value is not False and not value)


def _exec(value: Any) -> Document:
    return _kept(value, "exec", {})


def _limits(value: Any) -> Document:
    fields = _fields(value)
    return {name: fields[name] for name in ("timeout", "memory", "logs", "concurrency") if fields.get(name) is not None}


def _has_binding(document: Any) -> bool:
    return isinstance(_fields(document).get("binding"), dict)


def _binding(value: Any) -> Document:
    return _kept(value, "binding", {})


def _actions(value: Any) -> list[Document]:
    return [show_action(item) for item in value if isinstance(item, dict)]


def _key_values(value: Any) -> list[Any]:
    shown = []
    for entry in value if isinstance(value, list) else []:
        fields = _fields(entry)
        shown.append({"key": fields.get("key", ""), "value": sorted_deep(fields.get("value"))})
        if fields.get("init") is True:
            shown[-1]["init"] = True
    return shown


def _fields(document: Any) -> Document:
    return document if isinstance(document, dict) else {}
