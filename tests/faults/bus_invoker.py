"""An invoker in a process of its own, to be killed and held up: `python bus_invoker.py URL NAME FILE`.

It writes the id of each activation into FILE when it begins, and ends it a moment later.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import uvloop

from sabayon.bus.address import bus_address
from sabayon.bus.base import ActivationMessage
from sabayon.bus.intake import Intake
from sabayon.bus.link import Link
from sabayon.bus.subjects import Subjects
from tests.conformance.bus_stage import Host


class WritingHost(Host):
    """One with a single container. What has the argument "hold" runs until it is cancelled."""

    def __init__(self, file: Path) -> None:
        super().__init__(slots=1)
        self._file = file

    def begin(self, message: ActivationMessage) -> None:
        with self._file.open("a") as file:
            file.write(f"{message.activation_id}\n")
        if b"hold" not in bytes(message.arguments):
            asyncio.get_running_loop().call_later(0.02, self.succeed, message)


async def main(url: str, name: str, file: str) -> None:
    link = Link(bus_address(url), name)
    started_ms = time.time_ns() // 1_000_000
    intake = Intake(link, Subjects("test"), name, WritingHost(Path(file)), started_ms=started_ms)
    await link.start(5)
    await intake.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
