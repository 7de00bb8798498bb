"""The store ports in memory: a plain reading of what they promise, for tests. Nothing lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sabayon.entity.activation import StoredActivation
from sabayon.entity.identity import Identity
from sabayon.errors import Conflict
from sabayon.store.base import KEPT_MS, Claim, Delete, Document, Entity, EntityKind, Filter, Put
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


class MemoryJournal:
    """See the port."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    async def append(self, activation_id: str, message: bytes) -> None:
        self.entries[activation_id] = message

    async def pending(self) -> Mapping[str, bytes]:
        return dict(self.entries)


class MemoryKeys:
    """See the port."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._claims: dict[tuple[str, str, str], Claim] = {}

    async def claim(self, claim: Claim, message: bytes) -> Claim | None:
        if earlier := await self.find(claim.namespace, claim.target, claim.key, claim.claimed_ms):
            return earlier
        self._claims[claim.namespace, claim.target, claim.key] = claim
        await self._journal.append(claim.activation_id, message)
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
            self._journal.entries.pop(record.activation_id, None)

    async def read(self, namespace: str, activation_id: str) -> bytes | None:
        record = self._records.get(activation_id)
        return record.record if record and record.namespace == namespace else None

    async def list(self, namespace: str, filter: Filter, *, skip: int, limit: int) -> Sequence[bytes]:
        found = sorted(self._select(namespace, filter), key=lambda record: -record.start)[skip : skip + limit]
        return [record.summary for record in found]

    async def count(self, namespace: str, filter: Filter) -> int:
        return len(self._select(namespace, filter))

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
        ledgers: Mapping[str, MemoryLedger],
    ) -> None:
        self._artifacts = artifacts
        self._activations = activations
        self._keys = keys
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

    async def delete(self, key: str) -> None:
        self._documents.pop(key, None)

    def drop(self, namespace: str) -> None:
        """Remove all of a namespace."""
        self._documents = {k: d for k, d in self._documents.items() if not k.startswith(f"{namespace}/")}


class MemoryStore:
    """All ports."""

    def __init__(self) -> None:
        self.artifacts = MemoryArtifacts()
        self.journal = MemoryJournal()
        self.keys = MemoryKeys(self.journal)
        self.activations = MemoryActivations(self.journal)
        self._ledgers: dict[str, MemoryLedger] = {}
        self.identities = MemoryIdentities(self.artifacts, self.activations, self.keys, self._ledgers)

    def ledger(self, provider: str) -> MemoryLedger:
        """The documents of one event provider."""
        return self._ledgers.setdefault(provider, MemoryLedger())

    async def aclose(self) -> None:
        """Nothing to close."""
