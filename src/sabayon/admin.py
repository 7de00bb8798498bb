"""`sabayon namespace …`: who may use the platform, and how much. Works on a platform's data, in use or not."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from sabayon.bootstrap import GUEST, SYSTEM, put_alone, with_key
from sabayon.entity.identity import MIN_SUBJECT_CHARS, Identity, new_identity, new_secret
from sabayon.entity.names import MAX_SEGMENT_CHARS, is_segment
from sabayon.errors import Conflict, Corrupt, OperatorError, StoreUnavailable
from sabayon.settings import Settings, load_settings
from sabayon.store.base import Identities
from sabayon.stores import opened_identities

T = TypeVar("T")


@click.group()
@click.pass_context
def namespace(context: click.Context) -> None:
    """Create, list, block and limit namespaces."""


class Place(NamedTuple):
    """Where a platform's data is. store: URL of a database, empty for SQLite in the data directory."""

    data_dir: Path
    store: str


def with_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options every command here has; the function gets `place`."""

    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="SABAYON_DATA_DIR",
        default=Settings().data_dir,
        show_default=True,
        help="the platform's data directory",
    )
    @click.option("--store", metavar="URL", help="the platform's database, if that is not in the data directory")
    @functools.wraps(function)
    def with_options(*args: Any, data_dir: Path, store: str | None, **options: Any) -> Any:
        flags = {"data_dir": data_dir, "store": store}
        return function(*args, place=Place(data_dir.expanduser(), load_settings(flags, os.environ).store), **options)

    return with_options


def on_identities(place: Place, work: Callable[[Identities], Awaitable[T]]) -> T:
    """Run `work` on the identities of `place`. Raises OperatorError when there is no platform's data."""

    async def session() -> T:
        async with opened_identities(place.store, place.data_dir) as identities:
            return await work(identities)

    try:
        return asyncio.run(session())
    except (Conflict, Corrupt, StoreUnavailable) as error:
        raise OperatorError(f"nothing was changed: {error}") from error


async def existing(identities: Identities, name: str) -> Identity:
    """The identity of a namespace that must exist."""
    identity = await identities.by_namespace(name)
    if identity is None:
        raise OperatorError(f"there is no namespace {name!r}; `sabayon namespace list` shows those there are")
    return identity


@namespace.command()
@click.argument("name")
@click.option("--subject", help="who owns it; at least 5 characters")
@click.option("--auth", metavar="UUID:KEY", help="the key to give it instead of a random one")
@with_place
def create(name: str, subject: str | None, auth: str | None, place: Place) -> None:
    """Make a namespace and print its key."""
    if len(name) > MAX_SEGMENT_CHARS or not is_segment(name) or name.startswith("_"):
        raise OperatorError(f"{name!r} is not a valid namespace name")
    if subject is not None and len(subject) < MIN_SUBJECT_CHARS:
        raise OperatorError(f"a subject has at least {MIN_SUBJECT_CHARS} characters")

    async def work(identities: Identities) -> Identity:
        if await identities.by_namespace(name):
            raise OperatorError(f"the namespace {name!r} exists already")
        identity = with_key(new_identity(name, subject), auth)
        await identities.delete(name)  # what ran on after a namespace of this name was deleted has left its records
        await put_alone(identities, identity)
        return identity

    click.echo(on_identities(place, work).auth_key)


@namespace.command()
@click.argument("name")
@with_place
def get(name: str, place: Place) -> None:
    """Print the key of a namespace."""
    click.echo(on_identities(place, lambda identities: existing(identities, name)).auth_key)


@namespace.command("list")
@with_place
def list_(place: Place) -> None:
    """Print all namespaces, with their subject and whether they are blocked."""
    for identity in on_identities(place, lambda identities: identities.all()):
        click.echo(f"{identity.namespace}\t{identity.subject}" + ("\tblocked" if identity.blocked else ""))


def not_system(name: str) -> None:
    """Raises OperatorError for the namespace that the platform's own packages need."""
    if name == SYSTEM:
        raise OperatorError(f"the namespace {SYSTEM!r} is the platform's own: nobody's timers work without it")


@namespace.command()
@click.argument("name")
@with_place
def delete(name: str, place: Place) -> None:
    """Remove a namespace with all its entities and activations."""
    not_system(name)

    async def work(identities: Identities) -> None:
        await existing(identities, name)
        await identities.delete(name)

    on_identities(place, work)
    click.echo(f"deleted {name}")


def changing(place: Place, name: str, change: Callable[[Identity], Identity]) -> Identity:
    """Replace the identity of `name` by what `change` makes of it."""

    async def work(identities: Identities) -> Identity:
        identity = change(await existing(identities, name))
        await identities.put(identity)
        return identity

    return on_identities(place, work)


@namespace.command()
@click.argument("name")
@with_place
def block(name: str, place: Place) -> None:
    """Refuse the key of a namespace until it is unblocked."""
    not_system(name)
    changing(place, name, lambda identity: msgspec.structs.replace(identity, blocked=True))
    click.echo(f"blocked {name}")


@namespace.command()
@click.argument("name")
@with_place
def unblock(name: str, place: Place) -> None:
    """Accept the key of a namespace again."""
    changing(place, name, lambda identity: msgspec.structs.replace(identity, blocked=False))
    click.echo(f"unblocked {name}")


@namespace.group()
def key() -> None:
    """Keys of namespaces."""


@key.command()
@click.argument("name")
@with_place
def rotate(name: str, place: Place) -> None:
    """Replace the key of a namespace and print the new one; the old one stops working."""
    changed = changing(place, name, lambda identity: msgspec.structs.replace(identity, secret=new_secret()))
    click.echo(changed.auth_key)
    if name == GUEST:
        click.echo("wsk still has the old key; give it the new one with: wsk property set --auth UUID:KEY", err=True)
