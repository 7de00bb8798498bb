"""Messages that are longer than the server takes: sent in several parcels, and put together again. Pure.

A parcel says to which message it belongs, which one of how many it is, and carries a part. All of a message come from
one sender over one connection, so they arrive in order; when one does not, the message is lost as a whole, which is for
the sender to find out as with any other that is lost.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MARK: Final = b"P"
"""The first byte of a parcel. What begins otherwise is a whole message."""

MOST_PARCELS: Final = 1 << 16
UNFINISHED_BYTES: Final = 256 << 20
UNFINISHED: Final = 256
UNFINISHED_S: Final = 10.0
"""What one receiver keeps of messages that are not complete: so much, so many, and none that has waited for longer for
its next part. Beyond that the oldest are lost."""

_HEAD: Final = struct.Struct(">c16sHH")
HEAD_BYTES: Final = _HEAD.size


def split(payload: bytes, most_bytes: int, id: bytes) -> list[bytes]:
    """`payload` as parcels of at most `most_bytes` each, or as it is if it is not longer. id: 16 bytes, used once.

    Raises ValueError if it would take too many.
    """
    if len(payload) <= most_bytes:
        return [payload]
    part_bytes = most_bytes - HEAD_BYTES
    count = -(-len(payload) // part_bytes)
    if count >= MOST_PARCELS:
        raise ValueError(f"{len(payload)} bytes do not fit into {MOST_PARCELS} parcels of {most_bytes} bytes")
    view = memoryview(payload)
    return [
        _HEAD.pack(MARK, id, number, count) + view[number * part_bytes : (number + 1) * part_bytes]
        for number in range(count)
    ]


@dataclass(slots=True)
class _Unfinished:
    """What has come of one message. at: when its last part has."""

    count: int
    at: float
    size: int = 0
    parts: list[bytes] = field(default_factory=list)


class Assembly:
    """Puts parcels of any number of senders together."""

    def __init__(self) -> None:
        self.size = 0
        self._unfinished: OrderedDict[bytes, _Unfinished] = OrderedDict()

    def __len__(self) -> int:
        """How many messages are not complete."""
        return len(self._unfinished)

    def take(self, data: bytes, now: float) -> bytes | None:
        """The message that is complete with `data`; None if it is not yet, or never will be. Raises ValueError.

        now: seconds of a clock that never goes back.
        """
        if not data.startswith(MARK):
            return data
        if len(data) <= HEAD_BYTES:
            raise ValueError("a parcel without a part")
        _, id, number, count = _HEAD.unpack_from(data)
        if number >= count:
            raise ValueError(f"parcel {number} of {count}")
        unfinished = self._unfinished.get(id)
        if unfinished is None:
            if number:
                return None  # the beginning is lost
            unfinished = self._unfinished[id] = _Unfinished(count, now)
        elif number != len(unfinished.parts) or count != unfinished.count:
            self._drop(id)
            return None
        return self._add(id, unfinished, data[HEAD_BYTES:], now)

    def _add(self, id: bytes, unfinished: _Unfinished, part: bytes, now: float) -> bytes | None:
        unfinished.parts.append(part)
        unfinished.at = now
        unfinished.size += len(part)
        self.size += len(part)
        self._unfinished.move_to_end(id)
        if len(unfinished.parts) == unfinished.count:
            self._drop(id)
            return b"".join(unfinished.parts)
        self._bound(now)
        return None

    def _bound(self, now: float) -> None:
        while self._unfinished:
            id, oldest = next(iter(self._unfinished.items()))
            is_over = len(self._unfinished) > UNFINISHED or self.size > UNFINISHED_BYTES
            if not is_over and now - oldest.at < UNFINISHED_S:
                return
            self._drop(id)

    def _drop(self, id: bytes) -> None:
        self.size -= self._unfinished.pop(id).size
