"""Rules in lists, where servers leave out whether they are active."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sabayon.cli.context import session
from sabayon.cli.entities import full_name
from sabayon.cli.failures import RequestFailed
from sabayon.cli.style import bold, say


def with_status(items: list[Any], namespace: str) -> list[Any]:
    """The rules, each with its status: from the list where it says so, else by one request each."""
    return [item if item.get("status") else {**item, "status": _status(item, namespace)} for item in items]


def rule_row(item: Any) -> str:
    return f"{bold(f'{full_name(item):<70}')} {'private':<20} {item.get('status', '')}"


def _status(item: Any, namespace: str) -> str:
    name = str(item.get("name", ""))
    prefix = f"Unable to get status of rule '{name}': "
    try:
        document = session().document("GET", f"rules/{quote(name)}", namespace=namespace, prefix=prefix)
    except RequestFailed as failure:
        if failure.exit_code == 404 % 256:
            return ""
        say(failure.text)
        raise
    return str(document.get("status", ""))
