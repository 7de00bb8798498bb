"""What the commands of all kinds of entities have in common: lists, single fields, summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import click

from sabayon.cli.context import session
from sabayon.cli.failures import CommandFailed
from sabayon.cli.flags import flag, integer_flag
from sabayon.cli.models import SHOW, annotation, field_of
from sabayon.cli.names import DEFAULT, shown_namespace
from sabayon.cli.style import bold, heading, say, say_json, say_ok
from sabayon.cli.values import Number

LISTED: Final = 30


def list_flags() -> list[click.Option]:
    """The flags of every list of entities."""
    return [
        integer_flag("-l", "--limit", metavar="LIMIT", help="only return LIMIT number of entities", default=LISTED),
        integer_flag("-s", "--skip", metavar="SKIP", help="exclude the first SKIP number of entities", default=0),
        flag("-n", "--name-sort", help="sort the list by name"),
        output_flag(),
    ]


def output_flag() -> click.Option:
    """How a list is printed: `table` or `json`."""

    def known(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if value not in ("table", "json"):
            raise CommandFailed("Supported output format are table|json")
        return value

    text = "table, or json for the server's answer"
    return click.Option(("--output",), metavar="FORMAT", help=text, default="table", callback=known)


def fetch_list(
    kind: str, namespace: str = DEFAULT, *, route: str = "", limit: int = LISTED, skip: int = 0
) -> list[Any]:
    """One page of entities. route: instead of the plain collection."""
    prefix = f"Unable to obtain the list of {kind}s for namespace '{shown_namespace(namespace)}': "
    query: dict[str, object] = {"limit": limit, "skip": skip}
    is_hinted = kind == "action"
    return session().documents(
        "GET", route or f"{kind}s", query=query, prefix=prefix, namespace=namespace, is_hinted=is_hinted
    )


def full_name(item: Any) -> str:
    return f"/{item.get('namespace', '')}/{item.get('name', '')}"


def by_name(item: Any) -> tuple[Any, ...]:
    return (full_name(item).lower(),)


def actions_by_name(item: Any) -> tuple[Any, ...]:
    """Those of no package first."""
    is_packaged = "/" in str(item.get("namespace", ""))
    return (is_packaged, full_name(item).lower() if is_packaged else str(item.get("name", "")))


def action_row(item: Any) -> str:
    return f"{bold(f'{full_name(item):<70}')} {'private'} {_text(annotation(item, 'exec', ''))}"


def package_row(item: Any) -> str:
    return f"{bold(f'{full_name(item):<70}')} {'shared' if item.get('publish') is True else 'private'}"


def trigger_row(item: Any) -> str:
    return f"{bold(f'{full_name(item):<70}')} private"


def print_table(title: str, items: Iterable[Any], row: Callable[[Any], str]) -> None:
    heading(title)
    for item in items:
        say(row(item))


def print_list(
    title: str,
    items: Sequence[Any],
    row: Callable[[Any], str],
    *,
    name_sort: bool,
    output: str,
    key: Callable[[Any], tuple[Any, ...]] = by_name,
) -> None:
    """A page of entities as a table, or as the JSON they came in."""
    if name_sort:
        items = sorted(items, key=key)
    if output == "json":
        say_json(list(items))
    else:
        print_table(title, items, row)


def print_entity(kind: str, name: str, document: Any, field: str | None, typed: str | None) -> None:
    """`ok: got …` and the entity, or one of its fields. typed: the field as the user wrote it."""
    if field is None:
        say_ok(f"got {kind} {bold(name)}")
        say_json(SHOW[kind](document))
    else:
        say_ok(f"got {kind} {bold(name)}, displaying field {bold(typed)}")
        say_json(field_of(kind, document, field))


def print_summary(kind: str, document: Any, full: str | None = None) -> None:
    """Name, description, parameters. kind: padded as it shall appear."""
    parameters = _parameter_names(document)
    description = annotation(document, "description")
    text = f": {description}" if isinstance(description, str) and description else ""
    if not text and parameters:
        text = f": Returns a result based on parameter{_enumeration(parameters)}"
    say(f"{bold(kind)} {full or full_name(document)}{text}")
    say(f"   ({bold('parameters')}: {', '.join(parameters) if parameters else 'none defined'})")


def _parameter_names(document: Any) -> list[str]:
    """Bound ones with a star, with two when they are final."""
    star = "**" if annotation(document, "final") is True else "*"
    found: dict[str, str] = {}
    described = annotation(document, "parameters")
    for entry in described if isinstance(described, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and not isinstance(entry["name"], Number):
            found[entry["name"]] = entry["name"]
    bound = document.get("parameters")
    for entry in bound if isinstance(bound, list) else []:
        if isinstance(entry, dict):
            found[str(entry.get("key"))] = f"{star}{entry.get('key')}"
    return [found[name] for name in sorted(found)]


def _enumeration(parameters: list[str]) -> str:
    names = [name.lstrip("*") for name in parameters]
    if len(names) == 1:
        return f" {names[0]}"
    return f"s {', '.join(names[:-1])} and {names[-1]}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
