"""`wsk package`."""

from __future__ import annotations

from typing import Any, Final

from sabayon.cli.context import pairs, session
from sabayon.cli.entities import fetch_list, full_name, list_flags, package_row, print_entity, print_list, print_summary
from sabayon.cli.failures import GENERAL, usage
from sabayon.cli.flags import flag, pair_flags, text_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.models import find_field
from sabayon.cli.names import namespace_only, qualified_name, shown_namespace
from sabayon.cli.style import bold, say, say_ok

_NAME: Final = "A package name is required."
_NAMESPACE: Final = "An optional namespace is the only valid argument."


def _create(name: str, *, shared: str | None) -> None:
    package = qualified_name(name)
    prefix = f"Unable to create package '{package.path}': "
    _put(name, _content(name, shared), overwrite=False, prefix=prefix)
    say_ok(f"created package {bold(package.path)}")


def _update(name: str, *, shared: str | None) -> None:
    _put(name, _content(name, shared), overwrite=True, prefix="Package update failed: ")
    say_ok(f"updated package {bold(qualified_name(name).path)}")


def _bind(source: str, name: str, *, overwrite: bool) -> None:
    bound = qualified_name(source)
    body = {**_key_values(), "binding": {"namespace": bound.namespace, "name": bound.path}}
    _put(name, body, overwrite=overwrite, prefix="Binding creation failed: ")
    say_ok(f"created binding {bold(name)}")


def _put(name: str, body: dict[str, Any], *, overwrite: bool, prefix: str) -> None:
    package = qualified_name(name)
    session().call(
        "PUT",
        f"packages/{package.quoted}",
        query={"overwrite": overwrite},
        body=body,
        namespace=package.namespace,
        prefix=prefix,
    )


def _content(name: str, shared: str | None) -> dict[str, Any]:
    package = qualified_name(name)
    body: dict[str, Any] = {"namespace": package.namespace, "name": package.path}
    if shared is not None:
        if shared.lower() not in ("yes", "no"):
            raise usage(f"Cannot use value '{shared}' for shared.")
        body["publish"] = shared.lower() == "yes"
    return {**body, **_key_values()}


def _key_values() -> dict[str, Any]:
    found = {"annotations": pairs().annotations.entries(), "parameters": pairs().parameters.entries()}
    return {key: entries for key, entries in found.items() if entries}


def _get(name: str, field: str | None = None, *, summary: bool) -> None:
    package = qualified_name(name)
    proper = find_field("package", field, GENERAL, is_hinted=False) if field is not None and not summary else None
    document = session().document(
        "GET",
        f"packages/{package.quoted}",
        namespace=package.namespace,
        prefix=f"Unable to get package '{package.path}': ",
    )
    if not summary:
        print_entity("package", package.path, document, proper, field)
        return
    print_summary("package", document)
    for kind, items in ((" action", document.get("actions")), (" feed  ", document.get("feeds"))):
        for item in (item for item in items or [] if isinstance(item, dict)):
            print_summary(kind, item, f"{full_name(document)}/{item.get('name', '')}")


def _delete(name: str) -> None:
    package = qualified_name(name)
    session().call(
        "DELETE",
        f"packages/{package.quoted}",
        namespace=package.namespace,
        prefix=f"Unable to delete package '{package.path}': ",
    )
    say_ok(f"deleted package {bold(package.path)}")


def _list(namespace: str | None = None, *, limit: int, skip: int, name_sort: bool, output: str) -> None:
    items = fetch_list("package", namespace_only(namespace), limit=limit, skip=skip)
    print_list("packages", items, package_row, name_sort=name_sort, output=output)


def _refresh(namespace: str | None = None) -> None:
    name = namespace_only(namespace)
    shown = shown_namespace(name)
    prefix = f"Package refresh for namespace '{shown}' failed: "
    answer = session().document("POST", "packages/refresh", namespace=name, prefix=prefix)
    say(f"'{shown}' refreshed successfully")
    for title, field in (("created", "added"), ("updated", "updated"), ("deleted", "deleted")):
        say(f"{title} bindings:")
        for item in answer.get(field) or []:
            say(str(item))


def _content_flags() -> list[Any]:
    shared = text_flag("--shared", metavar="yes|no", help="make the package readable by everybody (yes), or not (no)")
    return [shared, *pair_flags("param", "annotation")]


COMMAND: Final = group_of(
    "package",
    "work with packages",
    Leaf(
        "bind",
        _bind,
        help="bind parameters to a package",
        arguments="PACKAGE_NAME BOUND_PACKAGE_NAME",
        positionals=(2, 2, "A package name and binding name are required."),
        options=[
            flag("-o", "--overwrite", help="replace a package or binding of this name"),
            *pair_flags("param", "annotation"),
        ],
    ),
    Leaf(
        "create",
        _create,
        help="create a new package",
        arguments="PACKAGE_NAME",
        positionals=(1, 1, _NAME),
        options=_content_flags(),
    ),
    Leaf(
        "update",
        _update,
        help="update an existing package, or create one",
        arguments="PACKAGE_NAME",
        positionals=(1, 1, _NAME),
        options=_content_flags(),
    ),
    Leaf(
        "get",
        _get,
        help="get a package",
        arguments="PACKAGE_NAME [FIELD_FILTER]",
        positionals=(1, 2, _NAME),
        options=[flag("-s", "--summary", help="summarize the package")],
    ),
    Leaf("delete", _delete, help="delete a package", arguments="PACKAGE_NAME", positionals=(1, 1, _NAME)),
    Leaf(
        "list",
        _list,
        help="list all packages",
        arguments="[/NAMESPACE]",
        positionals=(0, 1, _NAMESPACE),
        options=list_flags(),
    ),
    Leaf(
        "refresh", _refresh, help="refresh package bindings", arguments="[/NAMESPACE]", positionals=(0, 1, _NAMESPACE)
    ),
)
