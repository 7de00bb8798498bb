"""`wsk namespace`."""

from __future__ import annotations

from typing import Final

from sabayon.cli.commands.list import get_flags, list_entities
from sabayon.cli.context import session
from sabayon.cli.entities import output_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.style import heading, say, say_json


def _list(*, output: str) -> None:
    names = session().namespaces("Unable to obtain the list of available namespaces: ")
    if output == "json":
        say_json(names)
        return
    heading("namespaces")
    for name in names:
        say(str(name))


COMMAND: Final = group_of(
    "namespace",
    "work with namespaces",
    Leaf(
        "list",
        _list,
        help="list available namespaces",
        positionals=(0, 0, "No arguments are required."),
        options=[output_flag()],
    ),
    Leaf("get", list_entities, help="get triggers, actions, and rules in the namespace", options=get_flags()),
)
