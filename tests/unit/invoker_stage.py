"""An invoker on scripted sandboxes and a store that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from sabayon.bus.base import ActivationMessage
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.settling import Settler
from sabayon.entity.action import Action
from sabayon.entity.activation import Outcome, StoredActivation, new_activation_id
from sabayon.entity.exec import Exec
from sabayon.entity.identity import new_identity
from sabayon.entity.limits import ActionLimits, SystemLimits
from sabayon.errors import StoreUnavailable
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.worker import Invoker
from sabayon.store.base import Put
from sabayon.store.memory import MemoryActivations, MemoryArtifacts, MemoryJournal, MemoryStore
from tests.unit.scripted_sandbox import ScriptedDriver, ScriptedSandbox

MEMORY_MB = 512


class FailingArtifacts(MemoryArtifacts):
    """Entities on a disk that can be taken away."""

    is_available = True
    reads = 0

    async def read_code(self, id: str, revision: int) -> str | None:
        self.reads += 1
        if not self.is_available:
            raise StoreUnavailable("the disk is gone")
        return await super().read_code(id, revision)


class FailingActivations(MemoryActivations):
    """Records on a disk that is full for the next `failures` of them; `refused` has an entry for each."""

    failures = 0

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__(journal)
        self.refused: asyncio.Queue[str] = asyncio.Queue()

    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            self.refused.put_nowait(record.activation_id)
            raise StoreUnavailable("the disk is full")
        await super().put(record, settles=settles)


class Stage:
    """An invoker with room for two containers, and an action `acme/a`."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.artifacts = FailingArtifacts()
        self.activations = self.store.journal.activations = FailingActivations(self.store.journal)
        self.driver = ScriptedDriver()
        self.acme = new_identity("acme", "acme-dev")
        self.action = Action(
            exec=Exec(kind="python:3.11", code="code", binary=False),
            limits=ActionLimits(),
            name="a",
            namespace="acme",
            updated=1,
            version="0.0.1",
        )
        self.revision = 0
        self.invoker = self.invoker_of()

    def invoker_of(self, *stem_cells: StemCells, pause_grace_s: float = 10) -> Invoker:
        return Invoker(
            self.driver,
            self.artifacts,
            Settler(self.activations, self.store.journal, Agenda(), lambda: 1),
            memory_mb=MEMORY_MB,
            keep_alive_s=60,
            pause_grace_s=pause_grace_s,
            stem_cells=stem_cells,
            limits=SystemLimits(),
        )

    async def open(self) -> Stage:
        [self.revision] = await self.artifacts.write([Put(self.action, None)])
        return self

    def accept(self, **fields: Any) -> asyncio.Future[Any]:
        """Have the action run; `fields` are those of the message that differ."""
        message = ActivationMessage(
            accepted_ms=1,
            action=replace(self.action, exec=replace(self.action.exec, code=UNSET)),
            activation_id=new_activation_id(),
            arguments=Raw(b'{"n":1}'),
            blocking=True,
            environment={},
            identity=self.acme,
            revision=self.revision,
            transaction_id="tx",
        )
        return self.invoker.accept(replace(message, **fields))

    async def result(self, **fields: Any) -> tuple[Outcome, Any]:
        """Class and result of a run that has ended and has its record."""
        activation = await asyncio.wait_for(self.accept(**fields), 5)
        assert await self.activations.read("acme", activation.activation_id) is not None
        return activation.response.outcome, msgspec.json.decode(activation.response.result)


def on_stage(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def play() -> None:
            stage = await Stage().open()
            await asyncio.wait_for(test(stage), 10)
            await stage.invoker.aclose()
            assert not [sandbox.id for sandbox in stage.driver.made if sandbox.is_alive]

        asyncio.run(play())

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


async def never(sandbox: ScriptedSandbox) -> bytes:
    await asyncio.Event().wait()
    return b""
