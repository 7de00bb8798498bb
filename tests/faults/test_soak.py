"""After 10,000 mixed invocations, 500 kills and 5 restarts nothing is left over, and the platform has not grown.

`SOAK_SCALE=10` makes it ten times as long.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import Platform, await_value, running
from tests.faults.leftovers import (
    Watch,
    footprint,
    resident_mb,
    sandboxes_of,
    shared_memory,
    waits_for_input,
    zygotes_of,
)
from tests.faults.soak_load import UNHEARD_S, Account, Load, prepare, unrecorded

SCALE = float(os.environ.get("SOAK_SCALE", "1"))
INVOCATIONS = int(10_000 * SCALE)
KILLS = int(500 * SCALE)
ZYGOTE_EVERY = 25
"""Of so many kills one is a zygote's, which ends all its sandboxes."""

LOOK_EVERY = 10
"""After so many kills the platform's processes are noted, to find them again when it is gone."""

RESTARTS = (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)
SHORT_LIFE = int(400 * SCALE)
"""Invocations before each restart. The last life is the long one, in which growth would show."""

WARM_UP = int(2_000 * SCALE)
"""Invocations of the last life after which every cache, pool and thread of the platform is there."""

GROWTH_MB = 10.0
"""How much more memory the end of the last life may show than its warm-up. By then the database's page cache is still
filling, to 8 MB, which thousands of records take; a leak of 2 KB an invocation is more than that."""

SEEN_OF_BUSY = 0.7
"""How many answers may be faults for each sandbox that was ended while it was busy. An idle one has no answer to spoil:
its next job is moved. Of the busy, some start, and some run what nobody waits for: good runs show 0.5, and a platform
that fails the jobs of dead idle containers instead of moving them 0.9."""

STEM_CELLS = 2
ENVIRONMENT = {
    # as many as ever, and of the memory limit that the actions have
    "SABAYON_STEM_CELL_CLASSES": f"nodejs:default memory=128 initial={STEM_CELLS} min={STEM_CELLS} max={STEM_CELLS}",
    "SABAYON_KEEP_ALIVE_S": "4",  # so that at rest no container is left
    "SABAYON_PAUSE_GRACE_S": "0.5",  # so that the paused are among the killed
    "SABAYON_POOL_MEMORY_MB": "2560",  # so that containers are evicted and jobs wait
}
REST_S = 40.0
MADE_AHEAD = Counter({"cgroup": 16, "descriptor of net:[N]": 16})
"""What is kept ready for sandboxes to come, in numbers that vary."""


class Killer:
    """Kills sandboxes and zygotes of one platform at random, in step with the invocations."""

    def __init__(self, platform: Platform, watch: Watch, account: Account, choice: random.Random) -> None:
        self._pid = platform.process.pid
        self._watch = watch
        self._account = account
        self._choice = choice
        self._stop = threading.Event()
        self.of_sandboxes = 0
        self.of_zygotes = 0
        self.of_busy = 0
        """Sandboxes that a kill ended, their own or their zygote's, while they ran or started."""

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        begun, kills = self._account.answered, 0
        while not self._stop.wait(0.005):
            if (self._account.answered - begun) * KILLS < kills * INVOCATIONS:
                continue
            try:
                kills += self._kill(is_zygote=kills % ZYGOTE_EVERY == ZYGOTE_EVERY - 1)
                if kills % LOOK_EVERY == 0:
                    self._watch.look()
            except OSError:  # the platform is gone
                return

    def _kill(self, *, is_zygote: bool) -> bool:
        """Kill one, if there is one: it may run, start, be idle or paused."""
        there = zygotes_of(self._pid) if is_zygote else sandboxes_of(self._pid)
        if not there:
            return False
        victim = self._choice.choice(sorted(there))
        ended = sandboxes_of(self._pid, zygote=victim) if is_zygote else {victim}
        busy = sum(not waits_for_input(pid) for pid in ended)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.of_zygotes += is_zygote
        self.of_sandboxes += not is_zygote
        self.of_busy += busy
        return True


class Soak:
    """The platform's lives on one data directory, and the account of all of them."""

    def __init__(self, home: Path) -> None:
        self.account = Account()
        self.keys: dict[str, str] = {}
        self.kills = 0
        self.ended_busy = 0
        self._home = home
        self._temporary = home / "tmp"
        self._temporary.mkdir()
        self._choice = random.Random(1)

    @contextmanager
    def life(self) -> Iterator[tuple[Platform, Watch]]:
        """One run of the platform, which is followed."""
        environment = {**ENVIRONMENT, "TMPDIR": str(self._temporary)}
        with running(self._home, environment=environment) as platform:
            watch = Watch(platform.process.pid)
            self.keys = self.keys or prepare(platform)
            yield platform, watch

    @contextmanager
    def load(self, platform: Platform, watch: Watch) -> Iterator[None]:
        """Clients and kills until the end of the block."""
        killer = Killer(platform, watch, self.account, self._choice)
        load = Load(platform, self.keys, self.account, self._choice.randrange(1 << 30))
        with load.running(), killer.running():
            yield
        self.kills += killer.of_sandboxes + killer.of_zygotes
        self.ended_busy += killer.of_busy

    def answered(self, number: int) -> None:
        """Wait until the account shows that many answers."""
        await_value(lambda: self.account.answered >= number, within=300 * max(1.0, SCALE))

    def at_rest(self, platform: Platform) -> Counter[str]:
        """What the platform takes once it has nothing to do: it holds no process but its zygotes and stem cells."""
        deadline = time.monotonic() + REST_S
        while True:
            found = footprint(platform.process.pid, self._home / "data", self._temporary)
            found["descriptor of socket:[N]"] -= found["descriptor of net:[N]"]  # a network is made with its listener
            held = found["descriptor of anon_inode:[pidfd]"]
            if found["sandbox"] == STEM_CELLS and held == found["zygote"] + STEM_CELLS:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)


def end(soak: Soak, platform: Platform, watch: Watch, how: signal.Signals) -> None:
    """End the platform under load. Only what a kill cut off or what reached a stopping one may have no answer."""
    unanswered = len(soak.account.broken)
    with soak.load(platform, watch):
        soak.answered(soak.account.answered + SHORT_LIFE)
        watch.look()
        told = time.monotonic()
        platform.process.send_signal(how)
        assert platform.process.wait(40) == (0 if how is signal.SIGTERM else -signal.SIGKILL)
    for sent, seen in soak.account.broken[unanswered:]:
        assert (sent > told - UNHEARD_S) if how is signal.SIGTERM else (seen >= told)


@pytest.mark.timeout(400 * max(1.0, SCALE))
def test_after_ten_thousand_invocations_500_kills_and_5_restarts_nothing_is_left_over(tmp_path: Path) -> None:
    soak = Soak(tmp_path)
    shared_before = shared_memory()
    watches: list[Watch] = []
    for how in RESTARTS:
        with soak.life() as (platform, watch):
            assert [watch.leftovers() for watch in watches] == [set()] * len(watches)
            end(soak, platform, watch, how)
        watches.append(watch)
        if how is signal.SIGTERM:
            assert watch.leftovers() == set()
        else:  # what is not a process is swept by the next start
            await_value(lambda watch=watch: not any(one.startswith("process") for one in watch.leftovers()))

    with soak.life() as (platform, watch):
        begun = soak.account.answered
        with soak.load(platform, watch):
            soak.answered(begun + WARM_UP)
        early, early_mb = soak.at_rest(platform), resident_mb(platform.process.pid)
        with soak.load(platform, watch):
            soak.answered(INVOCATIONS)
        assert soak.at_rest(platform) - early - MADE_AHEAD == Counter()
        grown_mb = resident_mb(platform.process.pid) - early_mb
        assert unrecorded(platform, soak.account.accepted, within_s=60) == []
        assert platform.stop() == 0
    watches.append(watch)
    assert [watch.leftovers() for watch in watches] == [set()] * len(watches)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert shared_memory() - shared_before == set()
    assert grown_mb <= GROWTH_MB
    assert soak.account.wrong == []
    assert len(soak.account.otherwise) <= SEEN_OF_BUSY * soak.ended_busy, soak.ended_busy
    assert soak.kills >= KILLS
