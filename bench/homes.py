"""Homes of actions: how many move when an invoker comes or goes, how even they are, and what it costs to find one.

`python -m bench.homes` needs no platform. 1,000 invokers, 20,000 actions.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b

from sabayon.balancer.ring import Ring, point_of
from sabayon.balancer.sharding import Shard

INVOKERS = 1000
ACTIONS = 20_000
DEAREST = 10_000
"""Actions for the way that takes a thousand hashes each."""

PRIME = (1 << 61) - 1
Finder = Callable[[int], str]


def modulo(ids: Sequence[str]) -> Finder:
    return lambda point: ids[point % len(ids)]


def jump(ids: Sequence[str]) -> Finder:
    """Lamping and Veach's. Needs a numbering that all controllers agree about."""

    def find(point: int) -> str:
        at, following = -1, 0
        while following < len(ids):
            at = following
            point = (point * 2862933555777941757 + 1) % (1 << 64)
            following = int((at + 1) * ((1 << 31) / ((point >> 33) + 1)))
        return ids[at]

    return find


def rendezvous(ids: Sequence[str]) -> Finder:
    """The invoker whose hash together with the action's is highest."""
    salts = [int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big") % PRIME for id in ids]
    return lambda point: max(zip(salts, ids, strict=True), key=lambda each: point * each[0] % PRIME)[1]


def ring(ids: Sequence[str]) -> Finder:
    """Ours, of machines with 16 GB."""
    found = Ring()
    for id in ids:
        found.add(Shard(id, 16_384, frozenset()))
    next(found.walk(0))
    return lambda point: next(found.walk(point))[1].id


def main() -> None:
    ids = [f"invoker{number}" for number in range(INVOKERS)]
    fewer = [id for id in ids if id != "invoker500"]
    print(f"{'':<12}{'moved by one less':>18}{'at the least':>14}{'max/mean':>10}{'deviation':>11}{'µs':>8}")
    for make in (modulo, jump, rendezvous, ring):
        points = [point_of("ns", f"action{number}") for number in range(DEAREST if make is rendezvous else ACTIONS)]
        before, after = make(ids), make(fewer)
        began = time.thread_time()
        homes = [before(point) for point in points]
        micros = (time.thread_time() - began) * 1e6 / len(points)
        moved = sum(home != after(point) for home, point in zip(homes, points, strict=True)) / len(points)
        least = homes.count("invoker500") / len(points)
        counts = Counter(dict.fromkeys(ids, 0))
        counts.update(homes)
        mean = len(points) / INVOKERS
        spread = statistics.pstdev(counts.values()) / mean
        # what counting so few actions alone would give is no property of the way
        excess = math.sqrt(max(0.0, spread**2 - 1 / mean))
        row = f"{moved:>18.2%}{least:>14.2%}{max(counts.values()) / mean:>10.2f}{excess:>11.1%}{micros:>8.1f}"
        print(f"{make.__name__:<12}{row}", flush=True)


if __name__ == "__main__":
    main()
