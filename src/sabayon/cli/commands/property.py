"""`wsk property`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from sabayon import __version__
from sabayon.cli.context import config, session
from sabayon.cli.failures import CommandFailed, RequestFailed, usage
from sabayon.cli.flags import flag, text_flag
from sabayon.cli.grammar import Leaf, group_of
from sabayon.cli.properties import DEFAULT_VERSION, properties_path, write_properties
from sabayon.cli.session import check_host
from sabayon.cli.style import bold, say, say_ok

_LINES: Final = {
    "apihost": "whisk API host\t\t",
    "auth": "whisk auth\t\t",
    "namespace": "whisk namespace\t\t",
    "cert": "client cert\t\t",
    "key": "Client key\t\t",
    "apiversion": "whisk API version\t",
    "cliversion": "whisk CLI version\t",
    "apibuild": "whisk API build\t\t",
    "apibuildno": "whisk API build number\t",
}
_SINGLE_ORDER: Final = (
    "apihost",
    "auth",
    "namespace",
    "cert",
    "key",
    "cliversion",
    "apiversion",
    "apibuild",
    "apibuildno",
)
_WITHOUT_HOST: Final = ("auth", "cert", "key", "apihost", "apiversion", "cliversion")


def _get(*ignored: str, output: str, all: bool, **selected: bool) -> None:
    names = [name for name in _SINGLE_ORDER if selected.get(name)]
    is_all = all or not names
    if output not in ("std", "raw"):
        raise CommandFailed("Supported output format are std|raw")
    if output == "raw" and is_all:
        raise CommandFailed("--output|-o raw only supported with specific property type")
    if not any(name in _WITHOUT_HOST for name in names):
        check_host(config())
    shown = list(_LINES) if is_all else names
    values, failure = _values(shown)
    for name in shown:
        say(values[name] if output == "raw" else f"{_LINES[name]}{bold(values[name])}")
    if failure is not None:
        raise failure


def _values(names: list[str]) -> tuple[dict[str, str], RequestFailed | None]:
    settings = config()
    values = {
        "apihost": settings.api_host,
        "auth": settings.auth,
        "cert": settings.cert,
        "key": settings.key,
        "apiversion": settings.api_version,
        "cliversion": __version__,
    }
    if "namespace" in names:
        values["namespace"] = _namespace()
    if "apibuild" not in names and "apibuildno" not in names:
        return values, None
    try:
        info = session().api_info("Unable to obtain API build information: ")
    except RequestFailed as failure:
        return values | {"apibuild": "Unknown", "apibuildno": "Unknown"}, failure
    return values | {"apibuild": str(info.get("build", "")), "apibuildno": str(info.get("buildno", ""))}, None


def _namespace() -> str:
    try:
        names = session().namespaces("")
    except CommandFailed:
        return "_"
    return str(names[0]) if names else "_"


def _set(
    *ignored: str, cert: str | None, key: str | None, auth: str | None, apihost: str | None, apiversion: str | None
) -> None:
    if apihost:
        _check_host_text(apihost)
    given = {"CERT": cert, "KEY": key, "AUTH": auth, "APIHOST": apihost, "APIVERSION": apiversion}
    changes: dict[str, str | None] = {name: value for name, value in given.items() if value}
    if not changes:
        return
    _write(changes)
    if cert:
        say_ok("client cert set. Run 'wsk property get --cert' to see the new value.")
    if key:
        say_ok("client key set. Run 'wsk property get --key' to see the new value.")
    if auth:
        say_ok("whisk auth set. Run 'wsk property get --auth' to see the new value.")
    if apihost:
        say_ok(f"whisk API host set to {bold(apihost)}")
    if apiversion:
        say_ok(f"whisk API version set to {bold(apiversion)}")


def _check_host_text(host: str) -> None:
    try:
        parts = urlsplit(host if "//" in host else f"https://{host}")
        if not parts.hostname or any(c.isspace() for c in host) or parts.port == 0:
            raise ValueError("there is no host name in it")
    except ValueError as error:
        text = f"Unable to set API host value; the API host value '{host}' is invalid: {error}"
        raise usage(text) from error


def _unset(*ignored: str, **given: bool) -> None:
    changes = {name.upper(): None for name, is_given in given.items() if is_given}
    if not changes:
        return
    _write(changes)
    for name, line in (
        ("cert", "client cert unset."),
        ("key", "client key unset."),
        ("auth", "whisk auth unset."),
        ("apihost", "whisk API host unset."),
        ("apiversion", f"whisk API version unset; the default value of {DEFAULT_VERSION} will be used."),
    ):
        if given[name]:
            say_ok(line)


def _write(changes: Mapping[str, str | None]) -> None:
    path = properties_path(os.environ)
    try:
        write_properties(path, changes)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"Unable to set the property value(s): Whisk properties file write failure: open {path}: {reason}"
        raise CommandFailed(text) from error


def _selectors(*names: str) -> list[Any]:
    return [flag(f"--{name}", help=f"the {_LINES[name].strip()}") for name in names]


COMMAND: Final = group_of(
    "property",
    "work with whisk properties",
    Leaf(
        "get",
        _get,
        help="get property",
        options=[
            *_selectors(*_LINES),
            flag("--all", help="all properties"),
            text_flag(
                "-o",
                "--output",
                metavar="std|raw",
                help="how to print: with the name, or the value only",
                default="std",
            ),
        ],
    ),
    Leaf(
        "set",
        _set,
        help="set property",
        options=[
            text_flag("-u", "--auth", metavar="KEY", help="authorization KEY"),
            text_flag("--apihost", metavar="HOST", help="whisk API HOST"),
            text_flag("--apiversion", metavar="VERSION", help="whisk API VERSION"),
            text_flag("--cert", metavar="FILE", help="client cert FILE"),
            text_flag("--key", metavar="FILE", help="client key FILE"),
        ],
    ),
    Leaf(
        "unset",
        _unset,
        help="unset property",
        options=_selectors("auth", "apihost", "apiversion", "cert", "key"),
    ),
)
