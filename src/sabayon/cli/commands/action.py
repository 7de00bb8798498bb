"""`wsk action`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote_plus

from sabayon.cli.artifact import NO_ARTIFACT, WRONG, Flags, exec_of, save_code
from sabayon.cli.context import pairs, session
from sabayon.cli.entities import (
    action_row,
    actions_by_name,
    fetch_list,
    list_flags,
    print_entity,
    print_list,
    print_summary,
)
from sabayon.cli.failures import USAGE, ActivationFailed, CommandFailed, RequestFailed
from sabayon.cli.flags import flag, integer_flag, pair_flags, text_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.invoking import post_activation, print_invoked, shown_failure
from sabayon.cli.models import annotation, find_field
from sabayon.cli.names import QualifiedName, qualified_name
from sabayon.cli.style import bold, complain, say, say_ok
from sabayon.cli.webexport import annotations_for, check_mode

_NAME: Final = "An action name is required."
_NOT_FOUND: Final = 404 % 256
_LIMITS: Final = {"timeout": "timeout", "memory": "memory", "logsize": "logs", "concurrency": "concurrency"}


def _create(name: str, artifact: str | None = None, **flags: Any) -> None:
    action = qualified_name(name)
    body = _content(action, artifact, flags, _copied(artifact, flags), existing=lambda: None)
    if "exec" not in body:
        raise CommandFailed(NO_ARTIFACT, USAGE, is_hinted=True)
    _put(action, body, overwrite=False)
    say_ok(f"created action {bold(action.path)}")


def _update(name: str, artifact: str | None = None, **flags: Any) -> None:
    action = qualified_name(name)
    if artifact is None and (flags["kind"] or flags["main"]):
        complain("warning: --kind and --main have no effect without a code artifact")
    body = _content(action, artifact, flags, _copied(artifact, flags), existing=lambda: _existing(action))
    _put(action, body, overwrite=True)
    say_ok(f"updated action {bold(action.path)}")


def _content(
    action: QualifiedName, artifact: str | None, flags: dict[str, Any], copied: Any, existing: Callable[[], Any]
) -> dict[str, Any]:
    """The body of a PUT. existing: fetches what is updated; called once all that was typed has been found sound."""
    annotations = pairs().annotations.entries(WRONG)
    parameters = pairs().parameters.entries(WRONG)
    if copied is not None:
        exec_ = copied.get("exec")
        annotations += copied.get("annotations") or []
        parameters += copied.get("parameters") or []
    else:
        code = Flags(
            flags["kind"] or "", flags["main"] or "", flags["docker"] or "", flags["native"], flags["sequence"]
        )
        exec_ = exec_of(artifact, code)
    check_mode(flags["web"])
    sent, deleted = annotations_for(annotations, web=flags["web"], web_secure=flags["web_secure"], existing=existing())
    limits = {field: flags[name] for name, field in _LIMITS.items() if flags[name] is not None}
    body = {
        "namespace": action.namespace,
        "name": action.path,
        "exec": exec_,
        "annotations": sent,
        "delAnnotations": deleted or list(flags.get("del_annotation") or ()) or None,
        "parameters": parameters or None,
        "limits": limits or None,
    }
    return {key: value for key, value in body.items() if value is not None}


def _copied(source: str | None, flags: dict[str, Any]) -> Any:
    """The action that `--copy` names, or None without that flag."""
    if not flags["copy"]:
        return None
    if source is None:
        raise CommandFailed(NO_ARTIFACT, USAGE, is_hinted=True)
    return _fetch(qualified_name(source), code=True, prefix=WRONG)


def _existing(action: QualifiedName) -> Any:
    try:
        return _fetch(action, code=False, prefix=WRONG)
    except RequestFailed as failure:
        if failure.exit_code == _NOT_FOUND:
            return None
        raise


def _fetch(action: QualifiedName, *, code: bool, prefix: str = "") -> Any:
    return session().document(
        "GET",
        f"actions/{action.quoted}",
        query={"code": code},
        namespace=action.namespace,
        prefix=f"{prefix}Unable to get action '{action.path}': ",
        is_hinted=True,
    )


def _put(action: QualifiedName, body: dict[str, Any], *, overwrite: bool) -> None:
    session().call(
        "PUT",
        f"actions/{action.quoted}",
        query={"overwrite": overwrite},
        body=body,
        namespace=action.namespace,
        prefix=f"Unable to create action '{action.path}': ",
        is_hinted=True,
    )


def _invoke(name: str, *, blocking: bool, result: bool, idempotency_key: str | None) -> None:
    action = qualified_name(name)
    payload = pairs().parameters.values()
    is_blocking = blocking or result
    prefix = f"Unable to invoke action '{action.path}': "
    try:
        answer = post_activation(
            action,
            payload,
            is_blocking=is_blocking,
            is_result=result,
            prefix=prefix,
            is_hinted=True,
            key=idempotency_key,
        )
    except CommandFailed as failure:
        if not is_blocking and isinstance(failure, ActivationFailed):
            raise
        raise shown_failure(failure, action, is_result=result, has_banner=True) from failure
    print_invoked(action, answer, is_blocking=is_blocking, is_result=result)


def _get(name: str, field: str | None = None, *, summary: bool, url: bool, save: bool, save_as: str | None) -> None:
    action = qualified_name(name)
    is_saving = save or save_as is not None
    proper = None
    if field is not None and not url and not summary:
        proper = find_field("action", field, USAGE, is_hinted=True)
    document = _fetch(action, code=is_saving)
    if url:
        say_ok(f"got action {bold(action.leaf)}")
        say(_url(document, action))
    elif summary:
        print_summary("action", document)
    elif is_saving:
        say_ok(f"saved action code to {bold(save_code(document, save_as or '', action.leaf))}")
    else:
        print_entity("action", action.path, document, proper, field)


def _url(document: Any, action: QualifiedName) -> str:
    """Where the action is invoked; a web action's public address."""
    namespace, _, package = str(document.get("namespace", "")).partition("/")
    leaf = document.get("name") or action.leaf
    if annotation(document, "web-export") is True:
        parts = ["web", namespace, package or "default", leaf]
    else:
        parts = ["namespaces", namespace, "actions", *([package] if package else []), leaf]
    return f"{session().api_url}/{'/'.join(quote_plus(part).replace('+', '%20') for part in parts)}"


def _delete(name: str) -> None:
    action = qualified_name(name)
    session().call(
        "DELETE",
        f"actions/{action.quoted}",
        namespace=action.namespace,
        prefix=f"Unable to delete action '{action.path}': ",
        is_hinted=True,
    )
    say_ok(f"deleted action {bold(action.path)}")


def _list(target: str | None = None, *, limit: int, skip: int, name_sort: bool, output: str) -> None:
    name = qualified_name(target) if target is not None else QualifiedName("_", "")
    route = f"actions/{name.quoted}/" if name.path else "actions"
    items = fetch_list("action", name.namespace, route=route, limit=limit, skip=skip)
    print_list("actions", items, action_row, name_sort=name_sort, output=output, key=actions_by_name)


def _code_flags() -> list[Any]:
    return [
        text_flag("--kind", metavar="KIND", help="the KIND of the action runtime, for example nodejs:20"),
        text_flag("--main", metavar="NAME", help="the NAME of the function to call"),
        text_flag("--docker", metavar="IMAGE", help="use a container IMAGE to run the action"),
        flag("--native", help="treat the artifact as a native executable"),
        flag("--sequence", help="treat the artifact as a comma separated sequence of actions"),
        flag("--copy", help="treat the artifact as the name of an action to copy"),
        text_flag("--web", metavar="MODE", help="as a web action (yes), with raw HTTP (raw), or not (no)"),
        text_flag(
            "--web-secure", metavar="SECRET", help="demand SECRET of web callers; true makes one, false drops it"
        ),
        integer_flag("-t", "--timeout", metavar="LIMIT", help="the timeout LIMIT in milliseconds"),
        integer_flag("-m", "--memory", metavar="LIMIT", help="the maximum memory LIMIT in MB"),
        integer_flag("-l", "--logsize", metavar="LIMIT", help="the maximum log size LIMIT in MB"),
        integer_flag("-c", "--concurrency", metavar="LIMIT", help="the maximum activations in one container"),
        *pair_flags("param", "annotation"),
    ]


def _update_flags() -> list[Any]:
    import click

    deleted = click.Option(("--del-annotation",), multiple=True, metavar="KEY", help="annotation KEY to remove")
    return [*_code_flags(), deleted]


COMMAND: Final = group_of(
    "action",
    "work with actions",
    Leaf(
        "create",
        _create,
        help="create a new action",
        arguments="ACTION_NAME ACTION",
        positionals=(1, 2, "An action name and code artifact are required."),
        options=_code_flags(),
    ),
    Leaf(
        "update",
        _update,
        help="update an existing action, or create one",
        arguments="ACTION_NAME [ACTION]",
        positionals=(1, 2, "An action name is required. A code artifact is optional."),
        options=_update_flags(),
    ),
    Leaf(
        "invoke",
        _invoke,
        help="invoke an action",
        arguments="ACTION_NAME",
        positionals=(1, 1, _NAME),
        options=[
            flag("-b", "--blocking", help="wait for the activation to end"),
            flag("-r", "--result", help="wait, and show only the result"),
            text_flag(
                "--idempotency-key", metavar="KEY", help="run once, however often this is sent with KEY in a day"
            ),
            *pair_flags("param"),
        ],
    ),
    Leaf(
        "get",
        _get,
        help="get an action",
        arguments="ACTION_NAME [FIELD_FILTER]",
        positionals=(1, 2, _NAME),
        options=[
            flag("-s", "--summary", help="summarize the action"),
            flag("-r", "--url", help="show the action's URL"),
            flag("--save", help="save the code to a file named after the action"),
            text_flag("--save-as", metavar="FILE", help="save the code to FILE"),
        ],
    ),
    Leaf("delete", _delete, help="delete an action", arguments="ACTION_NAME", positionals=(1, 1, _NAME)),
    Leaf(
        "list",
        _list,
        help="list all actions in a namespace, or those of a package",
        arguments="[/NAMESPACE/PACKAGE]",
        positionals=(0, 1, "An optional namespace is the only valid argument."),
        options=list_flags(),
    ),
)
