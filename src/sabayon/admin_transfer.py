"""`sabayon export`, `sabayon import`, `sabayon backup`: a whole installation into a folder or a file, and back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from sabayon import data_directory
from sabayon.admin import Place, with_place
from sabayon.errors import OperatorError, StoreUnavailable
from sabayon.store.sqlite.backup import back_up
from sabayon.stores import Store, open_store
from sabayon.transfer import Manifest, export, load


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@with_place
def export_(folder: Path, place: Place) -> None:
    """Write a whole installation, which must not run, into the new folder DIR.

    Entities, namespaces with their keys, timers, records, and accepted work that has none yet.
    """
    if not place.store and not (place.data_dir / data_directory.DATABASE).exists():
        raise OperatorError(f"{place.data_dir} holds no platform's data")
    _tell("exported", _on_store(place, lambda store: export(store, folder)))


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@with_place
def import_(folder: Path, place: Place) -> None:
    """Make an installation of what was exported into DIR: in an empty data directory, or an empty database."""
    _tell("imported", _on_store(place, lambda store: load(store, folder)))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@with_place
def backup(file: Path, place: Place) -> None:
    """Copy the SQLite database of a platform, which may run, into the new FILE."""
    if place.store:
        raise OperatorError("the data is in PostgreSQL; back it up with pg_dump")
    back_up(place.data_dir / data_directory.DATABASE, file)
    click.echo(f"wrote {file}")


def _on_store(place: Place, work: Callable[[Store], Awaitable[Manifest]]) -> Manifest:
    async def session() -> Manifest:
        with data_directory.held(place.data_dir):
            store = await open_store(place.store, place.data_dir, is_alone=True)
            async with contextlib.aclosing(store):
                return await work(store)

    try:
        return asyncio.run(session())
    except StoreUnavailable as error:
        raise OperatorError(f"it is not whole: {error}") from error


def _tell(done: str, manifest: Manifest) -> None:
    counts = (f"{count} {name.removesuffix('.jsonl')}" for name, count in manifest.lines.items())
    click.echo(f"{done} {', '.join(counts)}")
