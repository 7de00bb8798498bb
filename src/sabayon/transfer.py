"""A whole installation as a folder of JSON lines: written from one store, read into another.

One file a kind, one object a line, bytes in base64. The manifest is written last and says how many lines each file has:
a folder without it, or with fewer lines, is no whole export. The folder holds keys; it is made for its owner only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from sabayon.entity.action import Action
from sabayon.entity.activation import StoredActivation
from sabayon.entity.identity import Identity
from sabayon.errors import Conflict, OperatorError
from sabayon.store.base import MAX_DEAD_LETTERS, Entity, Entry, Letter, Put
from sabayon.store.documents import KINDS, entity_of, row_of
from sabayon.stores import Store

T = TypeVar("T")

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_AT_ONCE: Final = 256


class Manifest(msgspec.Struct, frozen=True):
    """lines: of each file, by its name."""

    format: int
    lines: dict[str, int]


class EntityLine(msgspec.Struct, frozen=True):
    """An entity as stores keep it: the JSON of its document, and an action's code."""

    kind: str
    body: bytes
    code: str | None


class LedgerLine(msgspec.Struct, frozen=True):
    """One document of an event provider."""

    provider: str
    key: str
    document: bytes


class _Kind(msgspec.Struct, frozen=True):
    """What one file holds, where it comes from and how it is kept. Files are read in the order of KINDS_OF_LINES."""

    type: Any
    lines: Callable[[Store], AsyncIterator[Any]]
    keep: Callable[[Store, Any], Awaitable[None]]


async def export(store: Store, folder: Path) -> Manifest:
    """Write all there is in `store`, which nobody changes meanwhile. Raises OperatorError."""
    counts = {}
    try:
        os.makedirs(folder, mode=0o700)
        for name, kind in KINDS_OF_LINES.items():
            counts[name] = await _write(folder / name, kind.lines(store))
        manifest = Manifest(FORMAT, counts)
        _private(folder / MANIFEST, msgspec.json.encode(manifest) + b"\n")
    except FileExistsError as error:
        raise OperatorError(f"{folder} exists already; name a folder that does not") from error
    except OSError as error:
        raise OperatorError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return manifest


async def load(store: Store, folder: Path) -> Manifest:
    """Keep in `store`, which is empty, all there is in the folder of an export. Raises OperatorError."""
    if await store.identities.all():
        raise OperatorError("there is an installation already; import into an empty data directory or database")
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        if manifest.format != FORMAT:
            raise OperatorError(f"{folder} was exported by another version of Sabayon, which must import it")
        for name, kind in KINDS_OF_LINES.items():
            await _read(folder / name, manifest.lines.get(name, 0), kind, store)
    except FileNotFoundError as error:
        raise OperatorError(f"{folder} is no whole export: there is no {error.filename}") from error
    except OSError as error:
        raise OperatorError(f"cannot read {error.filename or folder}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise OperatorError(f"{folder} is no whole export: {error}") from error
    except Conflict as error:
        raise OperatorError(f"the store is not empty: {error}; import into an empty one") from error
    return manifest


async def _write(path: Path, lines: AsyncIterator[Any]) -> int:
    count = 0
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        async for line in lines:
            file.write(msgspec.json.encode(line) + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


async def _read(path: Path, wanted: int, kind: _Kind, store: Store) -> None:
    decoder = msgspec.json.Decoder(kind.type)
    count = 0
    with path.open("rb") as file:
        for group in _groups(file, _AT_ONCE):
            await asyncio.gather(*(kind.keep(store, decoder.decode(line)) for line in group))
            count += len(group)
    if count != wanted:
        raise OperatorError(f"{path} is not whole: it has {count} lines of {wanted}")


def _groups(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    for line in lines:
        group.append(line)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


async def _identities(store: Store) -> AsyncIterator[Identity]:
    for identity in await store.identities.all():
        yield identity


async def _entities(store: Store) -> AsyncIterator[EntityLine]:
    for identity in await store.identities.all():
        for kind in KINDS:
            for entity in await store.artifacts.list(kind, identity.namespace):
                yield await _entity_line(store, entity)


async def _entity_line(store: Store, entity: Entity) -> EntityLine:
    row = row_of(entity)
    document = await store.artifacts.read(row.id)
    code = await store.artifacts.read_code(row.id, document.revision) if document else None
    return EntityLine(row.kind, row.body, code)


async def _keep_entity(store: Store, line: EntityLine) -> None:
    entity = entity_of(line.kind, line.body)
    if isinstance(entity, Action):
        code = UNSET if line.code is None else line.code
        entity = msgspec.structs.replace(entity, exec=msgspec.structs.replace(entity.exec, code=code))
    await store.artifacts.write([Put(entity, None)])


async def _ledgers(store: Store) -> AsyncIterator[LedgerLine]:
    for provider in await store.providers():
        for key, document in await store.ledger(provider).load():
            yield LedgerLine(provider, key, document)


async def _journal(store: Store) -> AsyncIterator[Entry]:
    for entry in await store.journal.entries():
        yield entry


async def _keep_entry(store: Store, entry: Entry) -> None:
    id, namespace, message, due_ms, attempts = entry
    await store.journal.append(id, message, namespace=namespace, due_ms=due_ms, attempts=attempts)


async def _letters(store: Store) -> AsyncIterator[Letter]:
    for identity in await store.identities.all():
        summaries = await store.dead_letters.list(identity.namespace, skip=0, limit=MAX_DEAD_LETTERS)
        for summary in reversed(summaries):
            activation_id = msgspec.json.decode(summary)["activationId"]
            letter = await store.dead_letters.read(identity.namespace, activation_id)
            if letter is not None:
                yield letter


KINDS_OF_LINES: Final = {
    "entities.jsonl": _Kind(EntityLine, _entities, _keep_entity),
    "ledgers.jsonl": _Kind(LedgerLine, _ledgers, lambda s, line: s.ledger(line.provider).put(line.key, line.document)),
    "activations.jsonl": _Kind(
        StoredActivation, lambda store: store.all_records(), lambda store, record: store.activations.put(record)
    ),
    "journal.jsonl": _Kind(Entry, _journal, _keep_entry),
    "dead-letters.jsonl": _Kind(Letter, _letters, lambda store, letter: store.dead_letters.put(letter)),
    # Last: what has none yet is no installation, and may be imported into.
    "identities.jsonl": _Kind(Identity, _identities, lambda store, identity: store.identities.put(identity)),
}
