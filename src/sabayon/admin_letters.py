"""`sabayon dead-letters …`: what could not be delivered. A client of a running platform, with the settings of `wsk`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from sabayon.cli.properties import properties_path, read_properties, resolve
from sabayon.client import Client, ConnectionFailed, Response
from sabayon.client.http import Tls, segment
from sabayon.errors import OperatorError

_ROUTE: Final = "namespaces/_/dead-letters"
_TIMEOUT_S: Final = 60.0
_GREATEST_PAGE: Final = 200


def with_server(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which platform and whose key; the function gets a client as `client`."""

    @click.option("--apihost", metavar="HOST", help="the platform's address, instead of the one wsk uses")
    @click.option("--auth", metavar="UUID:KEY", help="the key of the namespace, instead of the one wsk uses")
    @functools.wraps(function)
    def call(apihost: str | None, auth: str | None, **arguments: Any) -> None:
        function(client=_client({"apihost": apihost, "auth": auth}), **arguments)

    return call


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be delivered: activations whose retries or max-age are used up.

    Works on the namespace that wsk works on.
    """


@dead_letters.command("list")
@with_server
@click.option("--limit", type=click.IntRange(1, _GREATEST_PAGE), default=30, show_default=True, help="how many")
@click.option("--skip", type=click.IntRange(0), default=0, help="how many of the latest to leave out")
def list_(client: Client, limit: int, skip: int) -> None:
    """Print dead letters, latest first: id, when it was given up, action, attempts, reason."""
    for letter in _document(client, "GET", "", {"limit": limit, "skip": skip}):
        buried = datetime.fromtimestamp(letter["buried"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        columns = (letter["activationId"], buried, letter["action"], letter["attempts"], letter["reason"])
        click.echo("\t".join(str(column) for column in columns))


@dead_letters.command()
@click.argument("id")
@with_server
def show(client: Client, id: str) -> None:
    """Print a dead letter with the argument of its call; `wsk activation get ID` tells how the last attempt ended."""
    click.echo(msgspec.json.format(msgspec.json.encode(_document(client, "GET", id)), indent=4).decode())


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_server
def retry(client: Client, ids: tuple[str, ...]) -> None:
    """Invoke the actions again, as they are now; each letter makes way for an activation with a new id."""
    for id in ids:
        click.echo(f"{id} is retried as {_document(client, 'POST', id)['activationId']}")


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_server
def drop(client: Client, ids: tuple[str, ...]) -> None:
    """Forget dead letters; the records of their activations stay."""
    for id in ids:
        _document(client, "DELETE", id)
        click.echo(f"dropped {id}")


def _client(flags: dict[str, str | None]) -> Client:
    config = resolve(flags, os.environ, read_properties(properties_path(os.environ)))
    if not config.api_host or not config.auth:
        raise OperatorError("which platform, and whose key? Give --apihost and --auth, or use: wsk property set")
    tls = Tls(config.is_insecure, config.cert, config.key)
    return Client(config.api_host, config.auth, api_version=config.api_version, timeout_s=_TIMEOUT_S, tls=tls)


def _document(client: Client, method: str, id: str, query: dict[str, object] | None = None) -> Any:
    """The answer's JSON. Raises OperatorError."""
    try:
        response = client.request(method, f"{_ROUTE}/{segment(id)}" if id else _ROUTE, query=query)
    except ConnectionFailed as error:
        raise OperatorError(str(error)) from error
    if not response.is_success:
        raise OperatorError(f"{id}: {_refusal(response)}" if id else _refusal(response))
    return response.json()


def _refusal(response: Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status}"
