"""Where an action's jobs start at once: beside others in a container with slots, or in a warm one without jobs."""

from __future__ import annotations

from collections.abc import Collection

from sabayon.balancer.instructions import Key
from sabayon.balancer.sharding import Shard


class Warm:
    """For each action the invokers that have something ready for it, the one that became so first in front."""

    def __init__(self) -> None:
        self._ready: dict[Key, dict[Shard, None]] = {}

    def __len__(self) -> int:
        """For how many actions something is ready."""
        return len(self._ready)

    def ready(self, key: Key) -> Collection[Shard]:
        """Those that have something ready, so far as is known."""
        return self._ready.get(key, {}).keys()

    def note(self, shard: Shard, key: Key) -> None:
        """Something may be different for `key` at `shard`."""
        slots = shard.slots.get(key)
        if slots and (slots.has_idle or slots.has_slot):
            self._ready.setdefault(key, {})[shard] = None
        elif ready := self._ready.get(key):
            ready.pop(shard, None)
            if not ready:
                del self._ready[key]

    def forget(self, shard: Shard) -> None:
        """The invoker is not there any more."""
        for key in shard.slots:
            if ready := self._ready.get(key):
                ready.pop(shard, None)
                if not ready:
                    del self._ready[key]
