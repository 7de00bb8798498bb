"""`wsk trigger`."""

from __future__ import annotations

from typing import Any, Final

from sabayon.cli import feeds
from sabayon.cli.context import pairs, session
from sabayon.cli.entities import fetch_list, list_flags, print_entity, print_list, print_summary, trigger_row
from sabayon.cli.failures import GENERAL, NOT_ALLOWED, CommandFailed, RequestFailed
from sabayon.cli.flags import flag, pair_flags, text_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.invoking import key_header
from sabayon.cli.models import find_field
from sabayon.cli.names import QualifiedName, namespace_only, qualified_name, reference
from sabayon.cli.prescan import KeyValues
from sabayon.cli.style import bold, say_ok

_NAME: Final = "A trigger name is required."
_MIXED: Final = (
    "Incorrect usage. Cannot combine --feed-param or --trigger-param flag with neither --param nor --param-file flag"
)


def _create(name: str, *, feed: str | None = None) -> None:
    trigger = qualified_name(name)
    _check_modes()
    if not feed:
        if pairs().feed_parameters:
            raise CommandFailed("Incorrect usage. Trigger without a feed cannot have feed parameters", NOT_ALLOWED)
        _put(trigger, _of_trigger(), overwrite=False, verb="create")
        say_ok(f"created trigger {bold(trigger.path)}")
        return
    full = reference(feed)
    feed_name = qualified_name(full)
    _put(trigger, pairs().trigger_parameters, overwrite=False, verb="create", feed=full)
    try:
        feeds.call(feed_name, trigger, "CREATE", _of_feed(), prefix=_feed_prefix("create", trigger, full))
    except CommandFailed as failure:
        reported = feeds.show_failure(failure, feed_name)
        _delete(name)
        raise reported from failure
    say_ok(f"created trigger {bold(trigger.path)}")


def _update(name: str) -> None:
    trigger = qualified_name(name)
    _check_modes()
    try:
        existing = _fetch(trigger, "update")
    except RequestFailed as failure:
        if failure.exit_code != 404 % 256:
            raise
        _create(name)
        return
    feed = feeds.feed_of(existing)
    is_split = bool(pairs().feed_parameters or pairs().trigger_parameters)
    if feed is None or is_split:
        _put(trigger, pairs().trigger_parameters if feed else _of_trigger(), overwrite=True, verb="update")
    if pairs().feed_parameters and feed is None:
        raise CommandFailed(f"Unable to configure feed '{trigger.path}': this trigger does not contain a feed")
    if feed is not None and (not is_split or pairs().feed_parameters):
        _update_feed(trigger, feed)
    say_ok(f"updated trigger {bold(trigger.path)}")


def _update_feed(trigger: QualifiedName, feed: str) -> None:
    name = qualified_name(feed)
    prefix = _feed_prefix("create", trigger, feed)
    try:
        feeds.call(name, trigger, "UPDATE", _of_feed(), prefix=prefix, has_banner=False, is_hinted=True)
    except CommandFailed as failure:
        raise feeds.show_failure(failure, name, is_hinted=True) from failure


def _put(trigger: QualifiedName, parameters: KeyValues, *, overwrite: bool, verb: str, feed: str | None = None) -> None:
    annotations = pairs().annotations.entries()
    if feed is not None:
        annotations.append({"key": "feed", "value": feed})
    body = {"name": trigger.path, "annotations": annotations, "parameters": parameters.entries()}
    session().call(
        "PUT",
        f"triggers/{trigger.quoted}",
        query={"overwrite": overwrite},
        body={key: value for key, value in body.items() if value},
        namespace=trigger.namespace,
        prefix=f"Unable to {verb} trigger '{trigger.path}': ",
    )


def _of_trigger() -> KeyValues:
    """The parameters of a trigger without a feed."""
    return pairs().trigger_parameters or pairs().parameters


def _of_feed() -> dict[str, Any]:
    return (pairs().feed_parameters or pairs().parameters).values()


def _check_modes() -> None:
    if pairs().parameters and (pairs().feed_parameters or pairs().trigger_parameters):
        raise CommandFailed(_MIXED, NOT_ALLOWED)


def _feed_prefix(verb: str, trigger: QualifiedName, feed: str) -> str:
    return f"Unable to {verb} trigger '{trigger.path}': Unable to configure feed '{feed}': "


def _fetch(trigger: QualifiedName, verb: str) -> Any:
    return session().document(
        "GET",
        f"triggers/{trigger.quoted}",
        namespace=trigger.namespace,
        prefix=f"Unable to {verb} trigger '{trigger.path}': ",
    )


def _fire(name: str, *, idempotency_key: str | None) -> None:
    trigger = qualified_name(name)
    answer = session().call(
        "POST",
        f"triggers/{trigger.quoted}",
        body=dict(sorted(pairs().parameters.values().items())),
        headers=key_header(idempotency_key),
        namespace=trigger.namespace,
        prefix=f"Unable to fire trigger '{trigger.path}': ",
    )
    activation_id = answer.get("activationId", "") if isinstance(answer, dict) else ""
    say_ok(f"triggered {bold(trigger.full)} with id {bold(activation_id)}")


def _get(name: str, field: str | None = None, *, summary: bool) -> None:
    trigger = qualified_name(name)
    proper = find_field("trigger", field, GENERAL, is_hinted=False) if field is not None and not summary else None
    document = _fetch(trigger, "get")
    feed = feeds.feed_of(document)
    if feed is not None:
        feeds.tell(qualified_name(feed), trigger, "READ")
    elif summary:
        print_summary("trigger", document)
    else:
        print_entity("trigger", trigger.path, document, proper, field)


def _delete(name: str) -> None:
    trigger = qualified_name(name)
    document = _fetch(trigger, "get")
    feed = feeds.feed_of(document)
    if feed is not None:
        feeds.tell(qualified_name(feed), trigger, "DELETE")
    session().call(
        "DELETE",
        f"triggers/{trigger.quoted}",
        namespace=trigger.namespace,
        prefix=f"Unable to delete trigger '{trigger.path}': ",
    )
    say_ok(f"deleted trigger {bold(trigger.path)}")


def _list(namespace: str | None = None, *, limit: int, skip: int, name_sort: bool, output: str) -> None:
    items = fetch_list("trigger", namespace_only(namespace), limit=limit, skip=skip)
    print_list("triggers", items, trigger_row, name_sort=name_sort, output=output)


COMMAND: Final = group_of(
    "trigger",
    "work with triggers",
    Leaf(
        "create",
        _create,
        help="create a new trigger",
        arguments="TRIGGER_NAME",
        positionals=(1, 1, _NAME),
        options=[
            text_flag("-f", "--feed", metavar="ACTION", help="feed ACTION that fires the trigger"),
            *pair_flags("param", "annotation", "feed"),
        ],
    ),
    Leaf(
        "update",
        _update,
        help="update an existing trigger, or create one",
        arguments="TRIGGER_NAME",
        positionals=(1, 1, _NAME),
        options=pair_flags("param", "annotation", "feed"),
    ),
    Leaf(
        "fire",
        _fire,
        help="fire a trigger",
        arguments="TRIGGER_NAME",
        positionals=(1, 1, _NAME),
        options=[
            text_flag(
                "--idempotency-key", metavar="KEY", help="fire once, however often this is sent with KEY in a day"
            ),
            *pair_flags("param"),
        ],
    ),
    Leaf(
        "get",
        _get,
        help="get a trigger",
        arguments="TRIGGER_NAME [FIELD_FILTER]",
        positionals=(1, 2, _NAME),
        options=[flag("-s", "--summary", help="summarize the trigger")],
    ),
    Leaf("delete", _delete, help="delete a trigger", arguments="TRIGGER_NAME", positionals=(1, 1, _NAME)),
    Leaf(
        "list",
        _list,
        help="list all triggers",
        arguments="[/NAMESPACE]",
        positionals=(0, 1, "An optional namespace is the only valid argument."),
        options=list_flags(),
    ),
)
