"""`sabayon namespace …`: who may use the platform, and how much. Works on a data directory, in use or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from sabayon.bootstrap import GUEST, SYSTEM, put_alone, with_key
from sabayon.data_directory import DATABASE
from sabayon.entity.identity import MIN_SUBJECT_CHARS, Identity, new_identity, new_secret
from sabayon.entity.names import MAX_SEGMENT_CHARS, is_segment
from sabayon.errors import OperatorError
from sabayon.settings import Settings
from sabayon.store.base import Identities
from sabayon.store.sqlite import opened_identities

T = TypeVar("T")


@click.group()
@click.pass_context
def namespace(context: click.Context) -> None:
    """Create, list, block and limit namespaces."""


def with_data_dir(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option every command here has; the function gets the data directory as `data_dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="SABAYON_DATA_DIR",
        default=Settings().data_dir,
        show_default=True,
        help="the platform's data directory",
    )(function)


def on_identities(data_dir: Path, work: Callable[[Identities], Awaitable[T]]) -> T:
    """Run `work` on the identities of `data_dir`. Raises OperatorError when there is no platform's data."""
    path = data_dir.expanduser() / DATABASE
    if not path.exists():
        raise OperatorError(f"{data_dir} holds no platform's data; start one with: sabayon up --data-dir {data_dir}")

    async def session() -> T:
        async with opened_identities(path) as identities:
            return await work(identities)

    return asyncio.run(session())


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
@with_data_dir
def create(name: str, subject: str | None, auth: str | None, data_dir: Path) -> None:
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

    click.echo(on_identities(data_dir, work).auth_key)


@namespace.command()
@click.argument("name")
@with_data_dir
def get(name: str, data_dir: Path) -> None:
    """Print the key of a namespace."""
    click.echo(on_identities(data_dir, lambda identities: existing(identities, name)).auth_key)


@namespace.command("list")
@with_data_dir
def list_(data_dir: Path) -> None:
    """Print all namespaces, with their subject and whether they are blocked."""
    for identity in on_identities(data_dir, lambda identities: identities.all()):
        click.echo(f"{identity.namespace}\t{identity.subject}" + ("\tblocked" if identity.blocked else ""))


def not_system(name: str) -> None:
    """Raises OperatorError for the namespace that the platform's own packages need."""
    if name == SYSTEM:
        raise OperatorError(f"the namespace {SYSTEM!r} is the platform's own: nobody's timers work without it")


@namespace.command()
@click.argument("name")
@with_data_dir
def delete(name: str, data_dir: Path) -> None:
    """Remove a namespace with all its entities and activations."""
    not_system(name)

    async def work(identities: Identities) -> None:
        await existing(identities, name)
        await identities.delete(name)

    on_identities(data_dir, work)
    click.echo(f"deleted {name}")


def changing(data_dir: Path, name: str, change: Callable[[Identity], Identity]) -> Identity:
    """Replace the identity of `name` by what `change` makes of it."""

    async def work(identities: Identities) -> Identity:
        identity = change(await existing(identities, name))
        await identities.put(identity)
        return identity

    return on_identities(data_dir, work)


@namespace.command()
@click.argument("name")
@with_data_dir
def block(name: str, data_dir: Path) -> None:
    """Refuse the key of a namespace until it is unblocked."""
    not_system(name)
    changing(data_dir, name, lambda identity: msgspec.structs.replace(identity, blocked=True))
    click.echo(f"blocked {name}")


@namespace.command()
@click.argument("name")
@with_data_dir
def unblock(name: str, data_dir: Path) -> None:
    """Accept the key of a namespace again."""
    changing(data_dir, name, lambda identity: msgspec.structs.replace(identity, blocked=False))
    click.echo(f"unblocked {name}")


@namespace.group()
def key() -> None:
    """Keys of namespaces."""


@key.command()
@click.argument("name")
@with_data_dir
def rotate(name: str, data_dir: Path) -> None:
    """Replace the key of a namespace and print the new one; the old one stops working."""
    changed = changing(data_dir, name, lambda identity: msgspec.structs.replace(identity, secret=new_secret()))
    click.echo(changed.auth_key)
    if name == GUEST:
        click.echo("wsk still has the old key; give it the new one with: wsk property set --auth UUID:KEY", err=True)
