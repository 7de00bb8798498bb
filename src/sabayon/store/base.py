"""The store ports. One conformance suite in `tests/conformance` runs on every driver.

Guarantees of all of them: what a method has accepted is visible to every later call in
this process; `write`, `Identities.put`, `Keys.claim`, `Ledger.put` and what writes to the journal
or the dead letters, except `Journal.give_back`, are on disk (fsync) when they return; activation
records survive the death of the process when `put` returns and reach the disk within a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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

    async def prune(self, before: int) -> None:
        """Remove the records that started before the UTC day in which `before` (epoch ms) lies.

        Takes its time, so that others need not wait; what is removed already stays so when it is cancelled.
        """
        ...


class Entry(NamedTuple):
    """One row of the journal. namespace: whose work it is. due_ms: epoch. attempts: how often it was taken in hand."""

    activation_id: str
    namespace: str
    message: bytes
    due_ms: int
    attempts: int = 0


class Letter(NamedTuple):
    """A dead letter. summary: what may be shown, as JSON. message: as it was in the journal; it holds a key."""

    activation_id: str
    namespace: str
    summary: bytes
    message: bytes


class Settlement(NamedTuple):
    """How an activation ends. follow_up: what the journal keeps instead of it. letter: of what has failed for good."""

    record: StoredActivation
    follow_up: Entry | None = None
    letter: Letter | None = None


class Journal(Protocol):
    """Work that was accepted and has no record yet. An entry is waiting, or somebody has it in hand."""

    async def append(
        self, activation_id: str, message: bytes, *, namespace: str, due_ms: int | None = None, attempts: int = 0
    ) -> None:
        """Keep `message` until a record settles it, in the place of what was kept under the id.

        With `due_ms` it waits for its time; without, the caller has it in hand: its attempt `attempts` + 1.
        """
        ...

    async def take(self, namespace: str, now_ms: int, limit: int) -> Sequence[Entry]:
        """At most `limit` of a namespace that wait and are due, the longest due first. The caller has them in hand.

        Their `attempts` count this one.
        """
        ...

    async def take_one(self, namespace: str, activation_id: str) -> Entry | None:
        """The entry with this id, if it waits, due or not, and is of `namespace`; as with `take`."""
        ...

    async def waiting(self) -> Mapping[str, int]:
        """The namespaces of which something waits, each with the time when the first of it is due (epoch ms)."""
        ...

    async def give_back(self, activation_id: str) -> None:
        """What the caller has in hand and has not begun waits again, as if it had not been taken."""
        ...

    async def release(self, alive: Collection[str] = ()) -> None:
        """What was in somebody's hands when the store was opened waits again: they are no more.

        alive: the others who share the store and are still there, by the names they hold entries by.
        """
        ...

    async def drop(self, activation_id: str) -> None:
        """Forget an entry: there is nothing that it could be done for."""
        ...

    async def settle(self, settlement: Settlement) -> int:
        """In one transaction keep the record, remove its entry, and add what follows. Once an id is settled, nothing.

        How many dead letters of the namespace had to go because there were more than MAX_DEAD_LETTERS.
        """
        ...

    async def entries(self) -> Sequence[Entry]:
        """All that is not settled, oldest first, whoever has it in hand. For moving a platform that has stopped."""

    async def has(self, activation_id: str) -> bool:
        """Whether there is an entry, in somebody's hands or not. One that was just settled may still count."""
        ...

    async def pending(self) -> Mapping[str, bytes]:
        """What is not settled, oldest first, by activation id. For looking at a journal that is small."""
        ...


MAX_DEAD_LETTERS: Final = 1_000
"""Of one namespace; a new one makes the oldest go."""


class DeadLetters(Protocol):
    """What could not be delivered and waits for somebody's decision, by the namespace that invoked."""

    async def list(self, namespace: str, *, skip: int, limit: int) -> Sequence[bytes]:
        """Summaries, latest first."""
        ...

    async def count(self, namespace: str) -> int:
        """How many there are."""
        ...

    async def read(self, namespace: str, activation_id: str) -> Letter | None: ...

    async def put(self, letter: Letter) -> None:
        """Keep one that comes from another store."""
        ...

    async def delete(self, namespace: str, activation_id: str) -> bool:
        """Whether there was one."""
        ...

    async def revive(self, letter: Letter, entry: Entry) -> bool:
        """In one transaction remove `letter` and append `entry`, which the caller has in hand.

        False, and nothing is appended, when the letter has gone.
        """
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

    async def claim(self, claim: Claim, message: bytes, *, due_ms: int | None = None) -> Claim | None:
        """Take the key unless another claim has it, which is the result then, and nothing is changed.

        In the same transaction `message` is appended to the journal, as by `Journal.append`: a key never stands for
        what would be lost. A claim holds for `KEPT_MS`, reckoned up to `claim.claimed_ms`.
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


class Lease(Protocol):
    """Of several processes one at a time has it, for something that only one may do."""

    async def hold(self) -> bool:
        """Take it or keep it; whether it is this process's now.

        It has to be asked again each second: who does not ask for four seconds, or is cut off from the store for so
        long, has lost it, and finds that out here.
        """
        ...

    async def release(self) -> None:
        """Let another one have it."""
        ...


class Ledger(Protocol):
    """Documents of one event provider, opaque here; a key begins with its owner's namespace and a slash."""

    async def load(self) -> list[tuple[str, bytes]]: ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, document: bytes) -> None: ...

    async def replace(self, key: str, before: bytes, document: bytes) -> bool:
        """Put `document` in place of exactly `before`; whether it was there. Of several at once one succeeds."""
        ...

    async def delete(self, key: str) -> None: ...
