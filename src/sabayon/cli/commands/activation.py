"""`wsk activation`."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from sabayon.cli.activations import activation_table, go_time, local_time
from sabayon.cli.context import session
from sabayon.cli.entities import output_flag
from sabayon.cli.failures import GENERAL, usage
from sabayon.cli.flags import flag, integer_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.models import find_field, show_activation
from sabayon.cli.names import qualified_name
from sabayon.cli.poll import poll
from sabayon.cli.style import bold, heading, say, say_json, say_ok
from sabayon.cli.values import integer
from sabayon.client.http import segment

_ID: Final = "An activation ID is required."
_LOG_LINE: Final = re.compile(
    r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d.\d+Z( *(stdout|stderr):)?\s(.*)", re.DOTALL
)


def _list(
    target: str | None = None, *, limit: int, skip: int, full: bool, since: int | None, upto: int | None, output: str
) -> None:
    query: dict[str, object] = {"limit": limit, "skip": skip}
    if target is not None and (path := qualified_name(target).path):
        query["name"] = path
    optional = {"docs": True if full else None, "since": since, "upto": upto}
    query |= {name: value for name, value in optional.items() if value}
    prefix = "Unable to obtain the list of activations for namespace 'default': "
    items = session().documents("GET", "activations", query=query, prefix=prefix)
    if output == "json":
        say_json(items)
    elif full:
        heading("activations")
        for item in items:
            say_json(show_activation(item))
    elif items:
        for line in activation_table(items):
            say(line)
    else:
        say()


def _get(*arguments: str, last: bool, summary: bool, logs: bool) -> None:
    activation_id, rest = _target(arguments, last, "Unable to get activation", most=2)
    typed = rest[0] if rest else None
    field = find_field("activation", typed, GENERAL, is_hinted=False) if typed and not summary and not logs else None
    prefix = f"Unable to get activation '{activation_id}': "
    document = session().document("GET", f"activations/{segment(activation_id)}", prefix=prefix)
    shown = show_activation(document)
    if summary:
        _print_summary(document)
    elif logs:
        _print_logs(document.get("logs"), is_stripped=True)
    elif field:
        say_ok(f"got activation {bold(activation_id)}, displaying field {bold(typed)}")
        say_json(shown.get(field, "" if field == "cause" else None))
    else:
        say_ok(f"got activation {bold(activation_id)}")
        say_json(shown)


def _print_summary(document: Any) -> None:
    response = document.get("response") or {}
    name = f"/{document.get('namespace', '')}/{document.get('name', '')}"
    end = go_time(local_time(integer(document.get("end"))))
    say(f"activation result for '{name}' ({response.get('status', '')} at {end})")
    say_json(response.get("result"), sort=True)


def _logs(*arguments: str, last: bool, strip: bool) -> None:
    activation_id, _ = _target(arguments, last, "Unable to get logs for activation", most=1)
    prefix = f"Unable to get logs for activation '{activation_id}': "
    document = session().document("GET", f"activations/{segment(activation_id)}/logs", prefix=prefix)
    _print_logs(document.get("logs"), is_stripped=strip)


def _print_logs(lines: Any, *, is_stripped: bool) -> None:
    for line in lines or []:
        match = _LOG_LINE.fullmatch(str(line)) if is_stripped else None
        say(match.group(3) or str(line) if match else str(line))


def _result(*arguments: str, last: bool) -> None:
    activation_id, _ = _target(arguments, last, "Unable to get result for activation", most=1)
    prefix = f"Unable to get result for activation '{activation_id}': "
    document = session().document("GET", f"activations/{segment(activation_id)}/result", prefix=prefix)
    say_json(document.get("result"), sort=True)


def _cancel(activation_id: str) -> None:
    prefix = f"Unable to cancel activation '{activation_id}': "
    session().document("DELETE", f"activations/{segment(activation_id)}", prefix=prefix)
    say_ok(f"cancelled activation {bold(activation_id)}")


def _target(arguments: tuple[str, ...], last: bool, prefix: str, *, most: int) -> tuple[str, tuple[str, ...]]:
    """The activation's id, typed or looked up, and the arguments after it."""
    allowed = most - 1 if last else most
    if not last and not arguments:
        raise usage(f"Invalid argument(s). {_ID}")
    if len(arguments) > allowed:
        raise usage(f"Invalid argument(s): {', '.join(arguments[allowed:])}. {_ID}")
    if not last:
        return arguments[0], arguments[1:]
    items = session().documents("GET", "activations", query={"limit": 1, "skip": 0}, prefix=f"{prefix}: ")
    if not items:
        raise usage(f"{prefix}: Activation list does not contain any activations.")
    return str(items[0].get("activationId", "")), arguments


def _last() -> click.Option:
    return flag("-l", "--last", help="take the most recent activation")


COMMAND: Final = group_of(
    "activation",
    "work with activations",
    Leaf(
        "list",
        _list,
        help="list activations",
        arguments="[NAMESPACE or NAME]",
        positionals=(0, 1, "An optional namespace is the only valid argument."),
        options=[
            integer_flag("-l", "--limit", metavar="LIMIT", help="only return LIMIT number of activations", default=30),
            integer_flag("-s", "--skip", metavar="SKIP", help="leave out the first SKIP activations", default=0),
            flag("-f", "--full", help="show whole records"),
            integer_flag("--since", metavar="MS", help="only those started since MS, in milliseconds since 1970"),
            integer_flag("--upto", metavar="MS", help="only those started up to MS, in milliseconds since 1970"),
            output_flag(),
        ],
    ),
    Leaf(
        "get",
        _get,
        help="get an activation",
        arguments="(ACTIVATION_ID | --last) [FIELD_FILTER]",
        options=[
            _last(),
            flag("-s", "--summary", help="summarize the activation"),
            flag("-g", "--logs", help="show only its logs, stripped"),
        ],
    ),
    Leaf(
        "logs",
        _logs,
        help="get the logs of an activation",
        arguments="(ACTIVATION_ID | --last)",
        options=[_last(), flag("-r", "--strip", help="strip timestamp and stream")],
    ),
    Leaf(
        "result",
        _result,
        help="get the result of an activation",
        arguments="(ACTIVATION_ID | --last)",
        options=[_last()],
    ),
    Leaf(
        "cancel",
        _cancel,
        help="stop an activation that waits or runs",
        arguments="ACTIVATION_ID",
        positionals=(1, 1, _ID),
    ),
    Leaf(
        "poll",
        poll,
        help="poll continuously for log messages of new activations",
        arguments="[NAMESPACE or NAME]",
        positionals=(0, 1, "An optional namespace is the only valid argument."),
        options=[
            integer_flag("-e", "--exit", metavar="SECONDS", help="stop after this many seconds", default=0),
            *(
                integer_flag(f"--since-{unit}", metavar=unit.upper(), help=f"start that many {unit} ago", default=0)
                for unit in ("seconds", "minutes", "hours", "days")
            ),
        ],
    ),
)
