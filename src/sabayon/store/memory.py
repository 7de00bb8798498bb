"""The store ports in memory: a plain reading of what they promise, for tests. Nothing lasts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sabayon.entity.activation import StoredActivation
from sabayon.entity.identity import Identity
from sabayon.errors import Conflict
from sabayon.store.base import (
    KEPT_MS,
    MAX_DEAD_LETTERS,
    Claim,
    Delete,
    Document,
    Entity,
    EntityKind,
    Entry,
    Filter,
    Letter,
    Put,
    Settlement,
)
from sabayon.store.counting import DAY_MS
from sabayon.store.documents import KINDS, Row, entity_of, row_of


class MemoryArtifacts:
    """See the port."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Row, int]] = {}
        self._code: dict[str, str] = {}
        self._revision = 0

    async def read(self, id: str) -> Document | None:
        found = self._rows.get(id)
        return Document(entity_of(found[0].kind, found[0].body), found[1]) if found else None

    async def read_code(self, id: str, revision: int) -> str | None:
        found = self._rows.get(id)
        return self._code.get(id) if found and found[1] == revision else None

    async def write(self, changes: Sequence[Put | Delete]) -> list[int]:
        for change in changes:
            id = change.entity.entity_name.id if isinstance(change, Put) else change.id
            found = self._rows.get(id)
            if (found[1] if found else None) != change.expected:
                raise Conflict(f"{id} was changed meanwhile")
        return [self._put(c.entity) if isinstance(c, Put) else self._delete(c.id) for c in changes]

    def _put(self, entity: Entity) -> int:
        self._revision += 1
        row = row_of(entity)
        self._rows[row.id] = row, self._revision
        if row.code is not None:
            self._code[row.id] = row.code
        return self._revision

    def _delete(self, id: str) -> int:
        del self._rows[id]
        self._code.pop(id, None)
        return 0

    async def list(
        self,
        kind: EntityKind,
        namespace: str,
        *,
        package: str | None = None,
        is_shared_only: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Entity]:
        rows = sorted(self._select(kind, namespace, package, is_shared_only), key=lambda row: (-row.updated, row.id))
        return [entity_of(row.kind, row.body) for row in rows[skip : None if limit is None else skip + limit]]

    async def count(
        self, kind: EntityKind, namespace: str, *, package: str | None = None, is_shared_only: bool = False
    ) -> int:
        return len(self._select(kind, namespace, package, is_shared_only))

    def _select(self, kind: EntityKind, namespace: str, package: str | None, is_shared_only: bool) -> Sequence[Row]:
        return [
            row
            for row, _ in self._rows.values()
            if (row.namespace, row.kind) == (namespace, KINDS[kind])
            and package in (None, row.package)
            and (row.is_shared or not is_shared_only)
        ]

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace."""
        for id in [id for id, (row, _) in self._rows.items() if row.namespace == namespace]:
            self._delete(id)


class _Kept(NamedTuple):
    """An entry. is_held: whether somebody has it in hand."""

    entry: Entry
    is_held: bool


class MemoryJournal:
    """See the port."""

    def __init__(self) -> None:
        self.rows: dict[str, _Kept] = {}
        self._left: set[str] = set()
        self.activations: MemoryActivations
        self.dead_letters: MemoryDeadLetters

    async def append(
        self, activation_id: str, message: bytes, *, namespace: str, due_ms: int | None = None, attempts: int = 0
    ) -> None:
        self.rows.pop(activation_id, None)
        if due_ms is None:
            self.rows[activation_id] = _Kept(Entry(activation_id, namespace, message, 0, attempts + 1), True)
        else:
            self.rows[activation_id] = _Kept(Entry(activation_id, namespace, message, due_ms, attempts), False)

    async def take(self, namespace: str, now_ms: int, limit: int) -> Sequence[Entry]:
        waiting = [entry for entry, is_held in self.rows.values() if not is_held and entry.namespace == namespace]
        due = [entry for entry in waiting if entry.due_ms <= now_ms]
        taken = [self._counted(entry, 1) for entry in sorted(due, key=lambda entry: entry.due_ms)[:limit]]
        self.rows.update({entry.activation_id: _Kept(entry, True) for entry in taken})
        return taken

    async def take_one(self, namespace: str, activation_id: str) -> Entry | None:
        kept = self.rows.get(activation_id)
        if kept is None or kept.is_held or kept.entry.namespace != namespace:
            return None
        taken = self._counted(kept.entry, 1)
        self.rows[activation_id] = _Kept(taken, True)
        return taken

    async def waiting(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for entry, is_held in self.rows.values():
            if not is_held:
                found[entry.namespace] = min(entry.due_ms, found.get(entry.namespace, entry.due_ms))
        return found

    async def give_back(self, activation_id: str) -> None:
        if (kept := self.rows.get(activation_id)) and kept.is_held:
            self.rows[activation_id] = _Kept(self._counted(kept.entry, -1), False)

    async def release(self, alive: Collection[str] = ()) -> None:
        for id in self._left & self.rows.keys():
            self.rows[id] = self.rows[id]._replace(is_held=False)
        self._left.clear()

    async def drop(self, activation_id: str) -> None:
        self.rows.pop(activation_id, None)

    async def settle(self, settlement: Settlement) -> int:
        record, follow_up, letter = settlement
        is_first = record.activation_id in self.rows
        await self.activations.put(record, settles=True)
        if is_first and follow_up is not None:
            self.rows[follow_up.activation_id] = _Kept(follow_up, False)
        return self.dead_letters.add(letter) if is_first and letter is not None else 0

    async def entries(self) -> Sequence[Entry]:
        return [kept.entry for kept in self.rows.values()]

    async def has(self, activation_id: str) -> bool:
        return activation_id in self.rows

    async def pending(self) -> Mapping[str, bytes]:
        return {id: kept.entry.message for id, kept in self.rows.items()}

    def close(self) -> None:
        """Those who had something in hand are no more."""
        self._left = set(self.rows)

    @staticmethod
    def _counted(entry: Entry, step: int) -> Entry:
        return entry._replace(attempts=entry.attempts + step)


class MemoryDeadLetters:
    """See the port."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._letters: dict[str, Letter] = {}

    async def list(self, namespace: str, *, skip: int, limit: int) -> Sequence[bytes]:
        return [letter.summary for letter in reversed(self._of(namespace))][skip : skip + limit]

    async def count(self, namespace: str) -> int:
        return len(self._of(namespace))

    async def read(self, namespace: str, activation_id: str) -> Letter | None:
        letter = self._letters.get(activation_id)
        return letter if letter and letter.namespace == namespace else None

    async def put(self, letter: Letter) -> None:
        self.add(letter)

    async def delete(self, namespace: str, activation_id: str) -> bool:
        if await self.read(namespace, activation_id) is None:
            return False
        del self._letters[activation_id]
        return True

    async def revive(self, letter: Letter, entry: Entry) -> bool:
        if not await self.delete(letter.namespace, letter.activation_id):
            return False
        id, namespace, message, _, attempts = entry
        await self._journal.append(id, message, namespace=namespace, attempts=attempts)
        return True

    def add(self, letter: Letter) -> int:
        """Keep it; how many had to go."""
        self._letters[letter.activation_id] = letter
        excess = self._of(letter.namespace)[:-MAX_DEAD_LETTERS]
        for old in excess:
            del self._letters[old.activation_id]
        return len(excess)

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace, and its work from the journal."""
        for id in [id for id, kept in self._journal.rows.items() if kept.entry.namespace == namespace]:
            del self._journal.rows[id]
        self._letters = {id: letter for id, letter in self._letters.items() if letter.namespace != namespace}

    def _of(self, namespace: str) -> Sequence[Letter]:
        return [letter for letter in self._letters.values() if letter.namespace == namespace]


class MemoryKeys:
    """See the port."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._claims: dict[tuple[str, str, str], Claim] = {}

    async def claim(self, claim: Claim, message: bytes, *, due_ms: int | None = None) -> Claim | None:
        if earlier := await self.find(claim.namespace, claim.target, claim.key, claim.claimed_ms):
            return earlier
        self._claims[claim.namespace, claim.target, claim.key] = claim
        await self._journal.append(claim.activation_id, message, namespace=claim.namespace, due_ms=due_ms)
        return None

    async def find(self, namespace: str, target: str, key: str, now_ms: int) -> Claim | None:
        found = self._claims.get((namespace, target, key))
        return found if found and found.claimed_ms > now_ms - KEPT_MS else None

    async def prune(self, now_ms: int, most: int) -> int:
        old = [key for key, claim in self._claims.items() if claim.claimed_ms <= now_ms - KEPT_MS][:most]
        for key in old:
            del self._claims[key]
        return len(old)

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace."""
        self._claims = {key: claim for key, claim in self._claims.items() if claim.namespace != namespace}


class MemoryActivations:
    """See the port."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._records: dict[str, StoredActivation] = {}

    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        self._records.setdefault(record.activation_id, record)
        if settles:
            self._journal.rows.pop(record.activation_id, None)

    async def read(self, namespace: str, activation_id: str) -> bytes | None:
        record = self._records.get(activation_id)
        return record.record if record and record.namespace == namespace else None

    async def list(self, namespace: str, filter: Filter, *, skip: int, limit: int) -> Sequence[bytes]:
        found = sorted(self._select(namespace, filter), key=lambda record: -record.start)[skip : skip + limit]
        return [record.summary for record in found]

    async def count(self, namespace: str, filter: Filter) -> int:
        return len(self._select(namespace, filter))

    async def prune(self, before: int) -> None:
        kept_from = before // DAY_MS * DAY_MS
        self._records = {id: record for id, record in self._records.items() if record.start >= kept_from}

    def _select(self, namespace: str, filter: Filter) -> Sequence[StoredActivation]:
        return [
            record
            for record in self._records.values()
            if record.namespace == namespace
            and filter.name in (None, record.name_filter)
            and (filter.since is None or record.start >= filter.since)
            and (filter.upto is None or record.start <= filter.upto)
        ]

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace."""
        self._records = {id: record for id, record in self._records.items() if record.namespace != namespace}


class MemoryIdentities:
    """See the port."""

    def __init__(
        self,
        artifacts: MemoryArtifacts,
        activations: MemoryActivations,
        keys: MemoryKeys,
        dead_letters: MemoryDeadLetters,
        ledgers: Mapping[str, MemoryLedger],
    ) -> None:
        self._artifacts = artifacts
        self._activations = activations
        self._keys = keys
        self._dead_letters = dead_letters
        self._ledgers = ledgers
        self._identities: dict[str, Identity] = {}

    async def by_uuid(self, uuid: str) -> Identity | None:
        return next((identity for identity in self._identities.values() if identity.uuid == uuid), None)

    async def by_namespace(self, namespace: str) -> Identity | None:
        return self._identities.get(namespace)

    async def put(self, identity: Identity) -> None:
        self._identities[identity.namespace] = identity

    async def delete(self, namespace: str) -> None:
        self._identities.pop(namespace, None)
        self._artifacts.drop(namespace)
        self._activations.drop(namespace)
        self._keys.drop(namespace)
        self._dead_letters.drop(namespace)
        for ledger in self._ledgers.values():
            ledger.drop(namespace)

    async def all(self) -> list[Identity]:
        return sorted(self._identities.values(), key=lambda identity: identity.namespace)


class MemoryLedger:
    """See the port."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}

    async def load(self) -> list[tuple[str, bytes]]:
        return sorted(self._documents.items())

    async def put(self, key: str, document: bytes) -> None:
        self._documents[key] = document

    async def get(self, key: str) -> bytes | None:
        return self._documents.get(key)

    async def replace(self, key: str, before: bytes, document: bytes) -> bool:
        if self._documents.get(key) != before:
            return False
        await self.put(key, document)
        return True

    async def delete(self, key: str) -> None:
        self._documents.pop(key, None)

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace."""
        self._documents = {k: d for k, d in self._documents.items() if not k.startswith(f"{namespace}/")}


class MemoryStore:
    """All ports."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.artifacts = MemoryArtifacts()
        self.journal = journal or MemoryJournal()
        self.keys = MemoryKeys(self.journal)
        self.activations = self.journal.activations = MemoryActivations(self.journal)
        self.dead_letters = self.journal.dead_letters = MemoryDeadLetters(self.journal)
        self._ledgers: dict[str, MemoryLedger] = {}
        self.identities = MemoryIdentities(
            self.artifacts, self.activations, self.keys, self.dead_letters, self._ledgers
        )

    def ledger(self, provider: str) -> MemoryLedger:
        """The documents of one event provider."""
        return self._ledgers.setdefault(provider, MemoryLedger())

    async def aclose(self) -> None:
        """What is in somebody's hands is left."""
        self.journal.close()
