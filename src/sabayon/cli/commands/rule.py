"""`wsk rule`."""

from __future__ import annotations

from typing import Any, Final

from sabayon.cli.context import session
from sabayon.cli.entities import fetch_list, list_flags, print_entity, print_list
from sabayon.cli.failures import GENERAL
from sabayon.cli.flags import flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.models import find_field
from sabayon.cli.names import namespace_only, qualified_name, reference
from sabayon.cli.rules import rule_row, with_status
from sabayon.cli.style import bold, say, say_ok

_NAME: Final = "A rule name is required."
_THREE: Final = (3, 3, "A rule, trigger and action name are required.")


def _create(name: str, trigger: str, action: str, *, enable: bool) -> None:
    rule = qualified_name(name)
    created = _put(name, trigger, action, overwrite=False, verb="create")
    # A new rule is active. A server that has other ideas is asked once more.
    if enable and isinstance(created, dict) and created.get("status") == "inactive":
        _set_status(name, "active", "enable")
    say_ok(f"created rule {bold(rule.path)}")


def _update(name: str, trigger: str, action: str) -> None:
    _put(name, trigger, action, overwrite=True, verb="update")
    say_ok(f"updated rule {bold(qualified_name(name).path)}")


def _put(name: str, trigger: str, action: str, *, overwrite: bool, verb: str) -> Any:
    rule = qualified_name(name)
    body = {"name": rule.path, "status": "", "trigger": reference(trigger), "action": reference(action)}
    return session().call(
        "PUT",
        f"rules/{rule.quoted}",
        query={"overwrite": overwrite},
        body=body,
        namespace=rule.namespace,
        prefix=f"Unable to {verb} rule '{rule.path}': ",
    )


def _enable(name: str) -> None:
    _set_status(name, "active", "enable")
    say_ok(f"enabled rule {bold(qualified_name(name).path)}")


def _disable(name: str) -> None:
    _set_status(name, "inactive", "disable")
    say_ok(f"disabled rule {bold(qualified_name(name).path)}")


def _set_status(name: str, status: str, verb: str) -> None:
    rule = qualified_name(name)
    session().call(
        "POST",
        f"rules/{rule.quoted}",
        body={"status": status, "trigger": None, "action": None},
        namespace=rule.namespace,
        prefix=f"Unable to {verb} rule '{rule.path}': ",
    )


def _status(name: str) -> None:
    rule = qualified_name(name)
    prefix = f"Unable to get status of rule '{rule.path}': "
    document = _fetch(name, prefix)
    say_ok(f"rule {bold(rule.path)} is {bold(document.get('status', ''))}")


def _get(name: str, field: str | None = None, *, summary: bool) -> None:
    rule = qualified_name(name)
    proper = find_field("rule", field, GENERAL, is_hinted=False) if field is not None and not summary else None
    document = _fetch(name, f"Unable to get rule '{rule.path}': ")
    if summary:
        say(f"{bold('rule')} /{document.get('namespace', '')}/{document.get('name', '')}")
        say(f"   ({bold('status')}: {document.get('status', '')})")
    else:
        print_entity("rule", rule.path, document, proper, field)


def _fetch(name: str, prefix: str) -> Any:
    rule = qualified_name(name)
    return session().document("GET", f"rules/{rule.quoted}", namespace=rule.namespace, prefix=prefix, is_hinted=True)


def _delete(name: str, *, disable: bool) -> None:
    rule = qualified_name(name)
    if disable:
        _set_status(name, "inactive", "disable")
    session().call(
        "DELETE", f"rules/{rule.quoted}", namespace=rule.namespace, prefix=f"Unable to delete rule '{rule.path}': "
    )
    say_ok(f"deleted rule {bold(rule.path)}")


def _list(namespace: str | None = None, *, limit: int, skip: int, name_sort: bool, output: str) -> None:
    where = namespace_only(namespace)
    items = with_status(fetch_list("rule", where, limit=limit, skip=skip), where)
    print_list("rules", items, rule_row, name_sort=name_sort, output=output)


COMMAND: Final = group_of(
    "rule",
    "work with rules",
    Leaf(
        "create",
        _create,
        help="create a new rule",
        arguments="RULE_NAME TRIGGER_NAME ACTION_NAME",
        positionals=_THREE,
        options=[flag("--enable", help="enable the rule, as a new rule is anyway")],
    ),
    Leaf(
        "update",
        _update,
        help="update an existing rule, or create one",
        arguments="RULE_NAME TRIGGER_NAME ACTION_NAME",
        positionals=_THREE,
    ),
    Leaf("enable", _enable, help="enable a rule", arguments="RULE_NAME", positionals=(1, 1, _NAME)),
    Leaf("disable", _disable, help="disable a rule", arguments="RULE_NAME", positionals=(1, 1, _NAME)),
    Leaf("status", _status, help="get a rule's status", arguments="RULE_NAME", positionals=(1, 1, _NAME)),
    Leaf(
        "get",
        _get,
        help="get a rule",
        arguments="RULE_NAME [FIELD_FILTER]",
        positionals=(1, 2, _NAME),
        options=[flag("-s", "--summary", help="summarize the rule")],
    ),
    Leaf(
        "delete",
        _delete,
        help="delete a rule",
        arguments="RULE_NAME",
        positionals=(1, 1, _NAME),
        options=[flag("--disable", help="disable the rule before it is deleted")],
    ),
    Leaf(
        "list",
        _list,
        help="list all rules",
        arguments="[/NAMESPACE]",
        positionals=(0, 1, "An optional namespace is the only valid argument."),
        options=list_flags(),
    ),
)
