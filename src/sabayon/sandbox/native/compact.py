"""Arranges the zygote's memory so that a process forked from it comes to own few pages.

A page that a fork writes to is copied, and is that fork's own from then on. What is
allocated after the fork goes first where there are holes between older objects, and these
are everywhere: so they are filled before. What is allocated next lies together in fresh
pages: the code that runs in every fork, if it is imported after that, and what forks make.
See `docs/decisions/013-memory-of-an-idle-container.md`.

CPython's allocator has pools of blocks of one size, up to 512 bytes; what is larger comes
from the C library and is left alone. Where an allocator does otherwise, forks own more
pages, and nothing else changes.
"""

from __future__ import annotations

from typing import Final

_POOL_BYTES: Final = 16384
_HEAD_BYTES: Final = 48
_STEP: Final = 16
_LARGEST: Final = 512
_BYTES_HEAD: Final = 33
"""What an object of `bytes` takes besides its content."""

_LARGE_NUMBER: Final = 1 << 40
_MOST_BLOCKS: Final = 1 << 16

_fillings: Final[list[object]] = []


def fill_holes() -> None:
    """Take what is free between the objects there are, for good."""
    for size in range(_LARGEST, 0, -_STEP):
        _fill(size)


def _fill(size: int) -> None:
    """Until as many blocks as a pool has came one after the other, so that no older pool had one to give."""
    wanted, run, last = (_POOL_BYTES - _HEAD_BYTES) // size, 0, 0
    for _ in range(_MOST_BLOCKS):
        block = _block(size)
        _fillings.append(block)
        # A number that is made in between, such as an address, may take some of them.
        run = run + 1 if 0 < id(block) - last <= 4 * size else 1
        last = id(block)
        if run == wanted:
            return


def _block(size: int) -> object:
    """An object of that size, of a type that keeps none for later use."""
    if size == 16:
        return object()
    if size == 32:
        return _LARGE_NUMBER + len(_fillings)
    return bytes(size - _BYTES_HEAD)
