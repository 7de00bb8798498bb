"""Records on their way to the database: at once safe from the death of this process, inserted many at a time.

Handing each record to the writer and waiting for its commit costs a thread's waking twice and a transaction; into a
mapped file it costs a copy. Two segments take turns: one is filled while the other is inserted, and cleared once that
is committed. What a killed process left in them is inserted at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sabayon.entity.activation import StoredActivation
from sabayon.errors import OperatorError, StoreUnavailable
from sabayon.store.counting import counts_of
from sabayon.store.sqlite.pruning import COUNT_MORE
from sabayon.store.sqlite.segment import Segment, UnknownFormat
from sabayon.store.sqlite.writer import Writer

SEGMENT_BYTES: Final = 4 * 1024 * 1024
MAX_ENTRY_BYTES: Final = 512 * 1024
"""Larger records go to the database by themselves."""

GATHER_S: Final = 0.1
"""How long records wait for others that are inserted with them."""

RETRY_S: Final = 0.5
_ROWS: Final = 32
"""In one statement: the writer thread lets go of the interpreter once for all of them."""

logger = logging.getLogger("sabayon.store")


class Spooled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record, and whether it settles a journal entry."""

    record: StoredActivation
    settles: bool


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Spooled] = msgspec.msgpack.Decoder(Spooled)


def paths_of(database: Path) -> tuple[Path, Path]:
    """The two segments that belong to a database."""
    return database.with_name(f"{database.name}-spool0"), database.with_name(f"{database.name}-spool1")


def missing_bytes(database: Path) -> int:
    """How much of the disk the segments still take when they are opened the next time. Raises OSError."""
    there = [path.stat().st_blocks * 512 for path in paths_of(database) if path.exists()]
    return max(0, 2 * SEGMENT_BYTES - sum(there))


def open_segments(database: Path, size_bytes: int) -> tuple[Segment, Segment]:
    """Make them, or take them with what is in them. Raises OperatorError."""
    first, second = paths_of(database)
    try:
        return Segment(first, size_bytes), Segment(second, size_bytes)
    except OSError as error:
        needed = f"{2 * size_bytes // (1024 * 1024)} MiB are needed"
        raise OperatorError(f"there is no room for records beside {database}: {error.strerror}; {needed}") from error
    except UnknownFormat as error:
        text = f"{error} beside {database} was not written by this version; move it away to start without its records"
        raise OperatorError(text) from error


class Spool:
    """Where records are until the database has them."""

    def __init__(self, writer: Writer, segments: tuple[Segment, Segment]) -> None:
        self._writer = writer
        self._filling, self._inserting = segments
        self._most_bytes = min(MAX_ENTRY_BYTES, self._filling.most_bytes)
        self._gathered: list[Spooled] = []  # what is in the segment that is filled
        self._held: list[Spooled] = []  # what is in the other one
        self._recent: dict[str, StoredActivation] = {}
        self._put_count = self._insert_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._insertion: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._is_failing = False  # told already

    async def recover(self) -> None:
        """Insert what an earlier process left. Raises OperatorError, with everything still there."""
        for segment in (self._filling, self._inserting):
            try:
                left = [_decoder.decode(entry) for entry in segment.entries()]
                if left:
                    await self._writer.submit(insertion_of(left), is_durable=True)
            except (StoreUnavailable, msgspec.DecodeError) as error:
                raise OperatorError(f"the last run's records cannot be stored: {error}; nothing was lost") from error
            segment.clear()

    async def put(self, record: StoredActivation, *, settles: bool) -> None:
        """Keep `record`. Raises StoreUnavailable when there is no room because the database takes nothing."""
        entry = Spooled(record, settles)
        encoded = _encoder.encode(entry)
        if len(encoded) > self._most_bytes:
            await self._writer.submit(insertion_of((entry,)), is_durable=False, is_alone=False)
            return
        while not self._filling.append(encoded):
            await self._inserted()
        self._gathered.append(entry)
        self._put_count += 1
        self._recent.setdefault(record.activation_id, record)
        self._expect_insertion(GATHER_S)

    def find(self, activation_id: str) -> StoredActivation | None:
        """A record that the database may not have yet."""
        return self._recent.get(activation_id)

    def unsettled(self) -> list[StoredActivation]:
        """What the database does not have, oldest first."""
        return [entry.record for entry in (*self._held, *self._gathered)]

    async def settled(self) -> None:
        """Until the database has all that was put before. Raises StoreUnavailable, at once while it takes nothing."""
        wanted = self._put_count
        while self._insert_count < wanted:
            await self._inserted()

    def _expect_insertion(self, delay_s: float) -> None:
        if self._timer is None and self._insertion is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._insert)

    async def _inserted(self) -> None:
        """Until the insertion that is under way, or a new one, has ended. Raises StoreUnavailable.

        After one that failed the next has its time: not every reader tries again.
        """
        if self._insertion is None:
            if self._failure is not None:
                raise self._failure
            self._insert()
        assert self._insertion is not None
        await asyncio.wait((self._insertion,))
        if self._failure is not None:
            raise self._failure

    def _insert(self) -> None:
        """Insert what is held still, or else all that has gathered; the other segment is filled meanwhile."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            self._held, self._gathered = self._gathered, []
            self._filling, self._inserting = self._inserting, self._filling
        self._insertion = self._writer.submit(insertion_of(self._held), is_durable=False, is_alone=False)
        self._insertion.add_done_callback(self._on_inserted)

    def _on_inserted(self, insertion: asyncio.Future[None]) -> None:
        self._insertion = None
        self._failure = insertion.exception()
        if self._failure is not None:
            if not self._is_failing:
                self._is_failing = True
                logger.warning("the database takes no records, %d wait: %s", len(self._held), self._failure)
            self._expect_insertion(RETRY_S)
            return
        if self._is_failing:
            self._is_failing = False
            waited = len(self._held) + len(self._gathered)
            logger.warning("the database takes records again; %d have waited", waited)
        self._inserting.clear()
        for entry in self._held:
            self._recent.pop(entry.record.activation_id, None)
        self._insert_count += len(self._held)
        self._held = []
        if self._gathered:
            self._expect_insertion(GATHER_S)

    async def aclose(self) -> None:
        """Insert all there is; what the database does not take stays in the files."""
        self._failure = None
        with contextlib.suppress(StoreUnavailable):
            await self.settled()
        if self._timer is not None:
            self._timer.cancel()
        for segment in (self._filling, self._inserting):
            segment.close()


def insertion_of(entries: Sequence[Spooled]) -> Callable[[sqlite3.Connection], None]:
    """Insert and count them; of one id the first one stays, and none of what a namespace did before it was deleted."""

    def work(connection: sqlite3.Connection) -> None:
        deleted = dict(connection.execute("SELECT namespace, at FROM deletions"))
        kept = [entry for entry in entries if entry.record.start > deleted.get(entry.record.namespace, -1)]
        new: list[tuple[str, str, int]] = []
        for start in range(0, len(kept), _ROWS):
            group = kept[start : start + _ROWS]
            values = [value for entry in group for value in msgspec.structs.astuple(entry.record)]
            rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(group))
            insertion = f"INSERT OR IGNORE INTO activations VALUES {rows} RETURNING namespace, name, start"
            new += connection.execute(insertion, values)
        connection.executemany(COUNT_MORE, [(*count, number) for count, number in counts_of(new).items()])
        settled = [entry.record.activation_id for entry in entries if entry.settles]
        for start in range(0, len(settled), _ROWS):
            ids = settled[start : start + _ROWS]
            connection.execute(f"DELETE FROM journal WHERE id IN ({', '.join('?' * len(ids))})", ids)

    return work
