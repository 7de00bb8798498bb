"""Time limits that share timers: each ends by itself, in order, and one that is cancelled never does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sabayon.deadlines import Deadlines
from tests.unit.patient_loop import run_patiently


def on_time(test: Callable[[Deadlines], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        await test(Deadlines())

    def run() -> None:
        run_patiently(main())

    run.__name__, run.__module__ = test.__name__, test.__module__
    return run


@on_time
async def test_limits_end_in_the_order_of_their_ends(deadlines: Deadlines) -> None:
    ended: list[str] = []
    deadlines.begin(3, lambda: ended.append("long"))
    deadlines.begin(1, lambda: ended.append("short"))
    await asyncio.sleep(0.5)
    deadlines.begin(1, lambda: ended.append("short, later"))
    await asyncio.sleep(0.6)
    assert ended == ["short"]
    await asyncio.sleep(2)
    assert ended == ["short", "short, later", "long"]


@on_time
async def test_a_cancelled_limit_never_ends_and_those_behind_it_do(deadlines: Deadlines) -> None:
    ended: list[int] = []
    first, *_ = [deadlines.begin(1, lambda n=n: ended.append(n)) for n in range(3)]  # type: ignore[misc]
    first.cancel()
    await asyncio.sleep(2)
    assert ended == [1, 2]
    first.cancel()


@on_time
async def test_a_length_can_be_used_again_after_all_of_its_limits_are_gone(deadlines: Deadlines) -> None:
    deadlines.begin(1, lambda: None).cancel()
    await asyncio.sleep(2)
    ended = asyncio.Event()
    deadlines.begin(1, ended.set)
    await asyncio.wait_for(ended.wait(), 1.5)


@on_time
async def test_work_within_its_limit_goes_on_undisturbed(deadlines: Deadlines) -> None:
    with deadlines.within(1):
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)


@on_time
async def test_work_past_its_limit_is_interrupted(deadlines: Deadlines) -> None:
    with pytest.raises(TimeoutError), deadlines.within(1):
        await asyncio.sleep(2)
    await asyncio.sleep(1)


@on_time
async def test_cancellation_from_outside_is_no_time_out(deadlines: Deadlines) -> None:
    async def work() -> None:
        with deadlines.within(10):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_time
async def test_the_outer_of_two_limits_interrupts_the_inner(deadlines: Deadlines) -> None:
    with pytest.raises(TimeoutError), deadlines.within(1):
        try:
            with deadlines.within(5):
                await asyncio.sleep(3)
        except TimeoutError:
            pytest.fail("the inner limit has not passed")


@on_time
async def test_an_end_that_fails_is_told_and_takes_no_other_along(deadlines: Deadlines) -> None:
    told: list[str] = []
    ended: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

    def fail() -> None:
        raise LookupError

    deadlines.begin(1, fail)
    deadlines.begin(1, lambda: ended.append("beside it"))
    await asyncio.sleep(2)
    deadlines.begin(1, lambda: ended.append("after it"))
    await asyncio.sleep(2)
    assert told == ["the end of a time limit failed"]
    assert ended == ["beside it", "after it"]
