"""What was accepted is kept, however often the platform is killed: found out from outside, by a checker of histories.

`make faults` runs it at full size and prints its seed; `FAULTS_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import BIN, Platform, await_value, running
from tests.faults.broken_builds import STORES
from tests.faults.checked_load import CheckedLoad, Target, records
from tests.faults.history import History, Told, unrecorded, violations
from tests.faults.witness import ACTION, Witness, witness

SCALE = float(os.environ.get("FAULTS_SCALE", "0.1"))
SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
INVOCATIONS = int(20_000 * SCALE)
KILLS = max(3, int(10 * SCALE))
SABAYON = (BIN / "sabayon",)
STILL_S = 3.0
SETTLED_S = 120.0
"""For all that was accepted to be recorded, once nobody kills the platform any more."""

UNTHROTTLED = {
    "SABAYON_INVOCATIONS_PER_MINUTE": "100000000",
    "SABAYON_CONCURRENT_INVOCATIONS": "100000",
    "SABAYON_EGRESS": "all",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root, functions cannot tell a witness that they run")


@contextmanager
def told_witness() -> Iterator[Witness]:
    try:
        with witness() as one:
            yield one
    except OSError as error:
        pytest.skip(f"this host has no address that a function could reach: {error}")


async def flood(start: Callable[[], Platform], kill: Callable[[], None], load: CheckedLoad, kills: list[int]) -> None:
    """Invoke, and kill the platform when so many were accepted; at the end there is one that runs."""
    running_load = asyncio.create_task(load.run())
    for accepted in kills:
        load.aim(Target.of(await asyncio.to_thread(start), "told"))
        await load.until_told(accepted)
        load.aim()
        await asyncio.to_thread(kill)
    load.aim(Target.of(await asyncio.to_thread(start), "told"))
    await running_load


class Lives:
    """One platform after the other on the same data."""

    def __init__(self, home: Path, program: Sequence[str | Path]) -> None:
        self._home = home
        self._program = program
        self._life: AbstractContextManager[Platform]
        self.platform: Platform

    def start(self) -> Platform:
        self._life = running(self._home, environment=UNTHROTTLED, program=self._program)
        self.platform = self._life.__enter__()
        return self.platform

    def kill(self) -> None:
        self.platform.kill()
        self._life.__exit__(None, None, None)

    def stop(self) -> None:
        """Gracefully, which waits for what runs."""
        self._life.__exit__(None, None, None)


def await_records(platform: Platform, told: list[Told], action: str = "told", still_s: float = STILL_S) -> None:
    """Until all that was accepted has its record, or none has come for `still_s`: the checker says what is missing."""
    counts: list[tuple[float, int]] = [(time.monotonic(), -1)]

    def is_over() -> bool:
        missing = len(unrecorded(told, records(platform, action)))
        if missing != counts[-1][1]:
            counts.append((time.monotonic(), missing))
        return not missing or time.monotonic() - counts[-1][0] > still_s

    await_value(is_over, within=SETTLED_S)


def history_of(home: Path, invocations: int, kills: int, seed: int, program: Sequence[str | Path] = SABAYON) -> History:
    """What happened in one course of invocations and kills."""
    choice = random.Random(seed)
    moments = sorted(choice.randrange(int(invocations * 0.95)) for _ in range(kills))
    lives = Lives(home, program)
    with told_witness() as one:
        load = CheckedLoad(range(invocations), lambda n: {"n": n, "host": one.host, "port": one.port})
        lives.start().create_action("told", ACTION)
        lives.stop()
        asyncio.run(flood(lives.start, lives.kill, load, moments))
        assert load.wrong == []
        await_records(lives.platform, load.told)
        lives.stop()
        runs = one.runs
        lives.start()
        lives.stop()
        later = one.runs - runs
        lives.start()
        history = History(load.told, records(lives.platform, "told"), runs, later)
        lives.stop()
    print(
        f"{len(load.told)} accepted, {len(load.unanswered)} without an answer, {sum(load.refused.values())} refused, "
        f"{len(history.records)} records, {runs.total()} runs, {kills} kills"
    )
    return history


def test_what_was_accepted_is_in_exactly_one_record_whenever_the_platform_is_killed(tmp_path: Path) -> None:
    print(f"FAULTS_SEED={SEED}")
    assert violations(history_of(tmp_path, INVOCATIONS, KILLS, SEED)) == []


@pytest.mark.parametrize("promise", STORES)
def test_a_build_that_breaks_a_promise_is_caught(tmp_path: Path, promise: str) -> None:
    program = (sys.executable, "-m", "tests.faults.broken_builds", promise)
    found = violations(history_of(tmp_path, 1_000, 3, SEED, program))
    assert found, f"FAULTS_SEED={SEED}"
    print(f"{len(found)} violations, such as: {found[0]}")
