"""The store ports. One conformance suite in `tests/conformance` runs on every driver.

Guarantees of all of them: what a method has accepted is visible to every later call in
this process; `write`, `Identities.put`, `Journal.append`, `Keys.claim` and `Ledger.put` are on disk
(fsync) when they return; activation records survive the death of the process when
`put` returns and reach the disk within a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from sabayon.entity.action import Action
from sabayon.entity.activation import StoredActivation
from sabayon.entity.identity import Identity
from sabayon.entity.package import Package
from sabayon.entity.rule import Rule
from sabayon.entity.trigger import Trigger

Entity = Action | Package | Trigger | Rule
EntityKind = type[Action] | type[Package] | type[Trigger] | type[Rule]


class Document(NamedTuple):
    """A stored entity and its revision, which grows with every write and never repeats for an id."""

    entity: Entity
    revision: int


class Put(NamedTuple):
    """Write `entity`. `expected` is the revision that was read, None to create."""

    entity: Entity
    expected: int | None


class Delete(NamedTuple):
    """Remove the document `id` that was read at revision `expected`."""

    id: str
    expected: int


class Artifacts(Protocol):
    """Entities of all kinds in one key space: `ns/name`, or `ns/pkg/name` for packaged actions."""

    async def read(self, id: str) -> Document | None:
        """The document, an action without its code (`exec.code` unset). Raises Corrupt."""
        ...

    async def read_code(self, id: str, revision: int) -> str | None:
        """The code of an action as it was at `revision`; None when it has changed or gone since."""
        ...

    async def write(self, changes: Sequence[Put | Delete]) -> list[int]:
        """All changes or none; the new revisions (0 for deletions). Raises Conflict when one was expected otherwise.

        An action put without code (`exec.code` unset) keeps the code it had.
        """
        ...

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
        """Entities of `kind`, newest update first, actions without code.

        namespace: the root namespace; all its packages' actions are included unless `package` narrows them to one.
        is_shared_only: packages that are published and no bindings.
        """
        ...

    async def count(
        self, kind: EntityKind, namespace: str, *, package: str | None = None, is_shared_only: bool = False
    ) -> int:
        """How many `list` would give without skip and limit."""
        ...


class Filter(NamedTuple):
    """Which activations: exact `name_filter` of the record, inclusive bounds on `start` in epoch ms."""

    name: str | None = None
    since: int | None = None
    upto: int | None = None


class Activations(Protocol):
    """Activation records, by the namespace that invoked."""

    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        """Keep `record`; a second put of an id changes nothing.

        settles: in the same transaction remove its journal entry.
        """
        ...

    async def read(self, namespace: str, activation_id: str) -> bytes | None:
        """The full record's JSON."""
        ...

    async def list(self, namespace: str, filter: Filter, *, skip: int, limit: int) -> Sequence[bytes]:
        """Summaries as JSON, latest start first."""
        ...

    async def count(self, namespace: str, filter: Filter) -> int:
        """How many records match."""
        ...


class Journal(Protocol):
    """Work that was accepted and has no record yet."""

    async def append(self, activation_id: str, message: bytes) -> None:
        """Keep `message` until a record settles it."""
        ...

    async def pending(self) -> Mapping[str, bytes]:
        """What is not settled, oldest first, by activation id."""
        ...


KEPT_MS: Final = 24 * 3600 * 1000
"""How long an idempotency key stands for the activation that took it."""


class Claim(NamedTuple):
    """An idempotency key, and what it stands for.

    namespace: whose request it was. target: what was invoked or fired; the same key for another target is another key.
    fingerprint: of what was asked for. claimed_ms: epoch ms.
    """

    namespace: str
    target: str
    key: str
    fingerprint: bytes
    activation_id: str
    claimed_ms: int


class Keys(Protocol):
    """Idempotency keys. Which of several requests was the first is decided here, whoever they came to."""

    async def claim(self, claim: Claim, message: bytes) -> Claim | None:
        """Take the key unless another claim has it, which is the result then, and nothing is changed.

        In the same transaction `message` is appended to the journal: a key never stands for what would be lost. A claim
        holds for `KEPT_MS`, reckoned up to `claim.claimed_ms`.
        """
        ...

    async def find(self, namespace: str, target: str, key: str, now_ms: int) -> Claim | None:
        """Who has the key."""
        ...

    async def prune(self, now_ms: int, most: int) -> int:
        """Forget at most `most` claims that hold no longer; how many those were."""
        ...


class Identities(Protocol):
    """Namespaces with their keys. Other processes may write them; readers see it within a second."""

    async def by_uuid(self, uuid: str) -> Identity | None: ...

    async def by_namespace(self, namespace: str) -> Identity | None: ...

    async def put(self, identity: Identity) -> None:
        """Create or replace the identity of `identity.namespace`."""
        ...

    async def delete(self, namespace: str) -> None:
        """Remove the namespace's identity; its entities, records, keys and providers' documents go with it."""
        ...

    async def all(self) -> list[Identity]:
        """Every identity, by namespace."""
        ...


class Ledger(Protocol):
    """Documents of one event provider, opaque here; a key begins with its owner's namespace and a slash."""

    async def load(self) -> list[tuple[str, bytes]]: ...

    async def put(self, key: str, document: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...
