"""What the thread of the trees is given."""

from __future__ import annotations

import asyncio
import os

from sabayon.sandbox.native.trees import Trees


def test_descriptors_that_trees_were_given_are_closed_also_when_nobody_waits_any_more() -> None:
    async def scenario() -> None:
        trees, before = Trees(), len(os.listdir("/proc/self/fd"))
        given = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
        shown = [asyncio.create_task(trees.show("none", descriptor, 1)) for descriptor in given]
        await asyncio.sleep(0)  # each has handed its work to the one thread, which has begun hardly any
        for task in shown:
            task.cancel()
        await asyncio.gather(*shown, return_exceptions=True)
        await trees.aclose()
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(scenario())
