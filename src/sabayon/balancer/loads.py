"""Invokers by load, so that the least loaded one is found without looking at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sabayon.balancer.sharding import NO_BUCKET, Shard

STEPS: Final = 32
"""How many degrees of load there are between empty and full."""


class Loads:
    """Open invokers in buckets of about the same load; in each the one that came first in front.

    One that is loaded up to `overcommit` has no room for anything, and is in no bucket.
    """

    def __init__(self, overcommit: float) -> None:
        self._buckets: list[dict[Shard, None]] = [{} for _ in range(int(overcommit * STEPS) + 1)]

    def __iter__(self) -> Iterator[Shard]:
        """Least loaded first."""
        for bucket in self._buckets:
            yield from bucket

    def put(self, shard: Shard) -> None:
        """Its load, or whether it is open, may be different."""
        bucket = int(shard.load * STEPS) if shard.is_open else NO_BUCKET
        if bucket >= len(self._buckets):
            bucket = NO_BUCKET
        if bucket == shard.bucket:
            return
        self.remove(shard)
        if bucket != NO_BUCKET:
            self._buckets[bucket][shard] = None
        shard.bucket = bucket

    def remove(self, shard: Shard) -> None:
        """It is not there any more."""
        if shard.bucket != NO_BUCKET:
            del self._buckets[shard.bucket][shard]
            shard.bucket = NO_BUCKET
