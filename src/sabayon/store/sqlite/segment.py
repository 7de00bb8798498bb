"""One file of the spool, in memory that the kernel keeps: what is appended outlives the death of this process.

The file is as long as it will ever be, so a full disk shows when it is made and not in the middle of a record. It
begins with a magic number; each entry is a length (u32), a checksum (u32) and that many bytes; a length of 0 ends it.
An entry's length is written last: an entry whose writing was cut short is not there.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAGIC: Final = b"Sabayon spool 1\n"
_HEAD: Final = struct.Struct("<II")
_LENGTH: Final = struct.Struct("<I")


class UnknownFormat(ValueError):
    """The file is no segment, or one of another version; it is left as it is."""


class Segment:
    """Entries in the order in which they were appended, until they are cleared together."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Make the file, or take it with what is in it.

        Raises UnknownFormat, and OSError, also when the disk has no room for it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            self._memory = mmap.mmap(descriptor, size_bytes)
        finally:
            os.close(descriptor)
        self._size = size_bytes
        self._end = len(_MAGIC)
        magic = self._memory[: len(_MAGIC)]
        if not any(magic):
            self.clear()
        elif magic != _MAGIC:
            self._memory.close()
            raise UnknownFormat(path.name)

    @property
    def most_bytes(self) -> int:
        """The longest entry that there is room for when it is empty."""
        return self._size - len(_MAGIC) - _HEAD.size - _LENGTH.size

    def append(self, entry: bytes) -> bool:
        """Keep `entry`; False when there is no room for it."""
        start = self._end + _HEAD.size
        end = start + len(entry)
        if end + _LENGTH.size > self._size:
            return False
        memory = self._memory
        memory[start:end] = entry
        _LENGTH.pack_into(memory, end, 0)
        _LENGTH.pack_into(memory, self._end + _LENGTH.size, zlib.crc32(entry))
        _LENGTH.pack_into(memory, self._end, len(entry))
        self._end = end
        return True

    def entries(self) -> Iterator[bytes]:
        """What an earlier process left here. Ends before the first entry that is not whole."""
        at = len(_MAGIC)
        while at + _HEAD.size <= self._size:
            length, checksum = _HEAD.unpack_from(self._memory, at)
            entry = self._memory[at + _HEAD.size : at + _HEAD.size + length]
            if not length or len(entry) < length or zlib.crc32(entry) != checksum:
                return
            yield entry
            at += _HEAD.size + length

    def clear(self) -> None:
        """Forget all entries."""
        _LENGTH.pack_into(self._memory, len(_MAGIC), 0)
        self._memory[: len(_MAGIC)] = _MAGIC
        self._end = len(_MAGIC)

    def close(self) -> None:
        """Leave the file as it is."""
        self._memory.close()
