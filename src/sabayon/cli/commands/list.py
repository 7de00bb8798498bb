"""`wsk list`, which is `wsk namespace get`."""

from __future__ import annotations

from typing import Any, Final

import click

from sabayon.cli.context import session
from sabayon.cli.entities import (
    action_row,
    actions_by_name,
    by_name,
    output_flag,
    package_row,
    print_table,
    trigger_row,
)
from sabayon.cli.failures import usage
from sabayon.cli.flags import flag
from sabayon.cli.grammar import Leaf
from sabayon.cli.names import DEFAULT, shown_namespace
from sabayon.cli.rules import rule_row, with_status
from sabayon.cli.style import bold, say, say_json

_PREFIX: Final = f"Unable to obtain the list of entities for namespace '{shown_namespace(DEFAULT)}': "


def list_entities(*arguments: str, name_sort: bool, output: str) -> None:
    """All entities of the key's namespace."""
    if extra := [argument for argument in arguments if argument != "/_"]:
        raise usage(f"Invalid argument(s): {', '.join(extra)}. No arguments are required.")
    lists = {kind: _fetch(kind) for kind in ("action", "package", "trigger", "rule")}
    lists["rule"] = with_status(lists["rule"], DEFAULT)
    if name_sort:
        lists = {
            kind: sorted(items, key=actions_by_name if kind == "action" else by_name) for kind, items in lists.items()
        }
    if output == "json":
        say_json({f"{kind}s": items for kind, items in lists.items()})
        return
    say(f"Entities in namespace: {bold(shown_namespace(DEFAULT))}")
    print_table("packages", lists["package"], package_row)
    print_table("actions", lists["action"], action_row)
    print_table("triggers", lists["trigger"], trigger_row)
    print_table("rules", lists["rule"], rule_row)


def _fetch(kind: str) -> list[Any]:
    return session().documents("GET", f"{kind}s", query={"limit": 0, "skip": 0}, prefix=_PREFIX)


def get_flags() -> list[click.Option]:
    return [flag("-n", "--name-sort", help="sort the lists by name"), output_flag()]


COMMAND: Final = Leaf("list", list_entities, help="list entities in the current namespace", options=get_flags())
