"""A bounded cache of documents that is exact as long as every write passes through it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sabayon.store.base import Document

MAX_DOCUMENTS: Final = 20_000
MAX_BYTES: Final = 32 * 1024 * 1024


class DocumentCache:
    """Least recently used documents go first. Sizes are those of the stored JSON."""

    def __init__(self, max_documents: int = MAX_DOCUMENTS, max_bytes: int = MAX_BYTES) -> None:
        self._documents: OrderedDict[str, tuple[Document, int]] = OrderedDict()
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._bytes = 0
        self.generation = 0
        """Grows with every write. What was read from disk at an older generation may be stale: see `fill`."""

    def find(self, id: str) -> Document | None:
        """The document, if it is here."""
        entry = self._documents.get(id)
        if entry is None:
            return None
        self._documents.move_to_end(id)
        return entry[0]

    def fill(self, id: str, document: Document, size_bytes: int, generation: int) -> None:
        """Keep what was read from disk, unless something was written since the reading began."""
        if generation == self.generation:
            self._keep(id, document, size_bytes)

    def written(self, id: str, document: Document, size_bytes: int) -> None:
        """Keep what has just been written."""
        self.generation += 1
        self._keep(id, document, size_bytes)

    def removed(self, id: str) -> None:
        """Forget a document that has just been deleted."""
        self.generation += 1
        self._drop(id)

    def superseded(self, id: str, revision: int) -> None:
        """Somebody has written `id` at `revision`, or with 0 deleted it: forget what is older."""
        self.generation += 1
        entry = self._documents.get(id)
        if entry is not None and (not revision or entry[0].revision < revision):
            self._drop(id)

    def clear(self) -> None:
        """Forget everything: somebody else has written."""
        self.generation += 1
        self._documents.clear()
        self._bytes = 0

    def _keep(self, id: str, document: Document, size_bytes: int) -> None:
        self._drop(id)
        self._documents[id] = document, size_bytes
        self._bytes += size_bytes
        while len(self._documents) > self._max_documents or self._bytes > self._max_bytes:
            self._drop(next(iter(self._documents)))

    def _drop(self, id: str) -> None:
        if entry := self._documents.pop(id, None):
            self._bytes -= entry[1]
