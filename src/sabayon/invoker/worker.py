"""The invoker's shell: carries out what the pool decides, and settles every activation with a record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, Final, NamedTuple

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.delivery.decision import Ending
from sabayon.delivery.pending import PendingAction
from sabayon.delivery.report import record_without_run
from sabayon.delivery.settling import Settler
from sabayon.entity.activation import Activation, Outcome, Response, cancelled, cancelled_response, error_response
from sabayon.entity.limits import EffectiveLimits, SystemLimits, effective_limits, limits_out_of_bounds
from sabayon.entity.manifest import BLACKBOX
from sabayon.errors import SabayonError
from sabayon.invoker.code import CodeStore, CodeUnavailable
from sabayon.invoker.container import Container, Ended, concurrency_of
from sabayon.invoker.instructions import Create, Instruction, Job, Key, Pause, Remove, Run
from sabayon.invoker.logs import format_logs
from sabayon.invoker.outcome import Limits
from sabayon.invoker.pool import MOST_CONTAINERS, Pool
from sabayon.invoker.record import record_of
from sabayon.invoker.stem_cells import StemCells
from sabayon.invoker.trial import try_out
from sabayon.sandbox.base import (
    DependenciesUnusable,
    Egress,
    Logs,
    SandboxDied,
    SandboxDriver,
    SandboxSpec,
    SandboxUnavailable,
)
from sabayon.store.base import Artifacts

logger = logging.getLogger("sabayon.invoker")

TICK_S: Final = 1.0


class Stats(NamedTuple):
    """What the invoker is doing now. Memory in MB, at the containers' limits."""

    busy: int
    waiting: int
    used_mb: int
    memory_mb: int


class _Accepted(NamedTuple):
    message: ActivationMessage
    future: asyncio.Future[Activation]


class Invoker:
    """Runs primitive actions on this host."""

    def __init__(
        self,
        driver: SandboxDriver,
        artifacts: Artifacts,
        settler: Settler,
        *,
        memory_mb: int,
        keep_alive_s: float,
        pause_grace_s: float,
        stem_cells: Iterable[StemCells],
        limits: SystemLimits,
        most_containers: int = MOST_CONTAINERS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._driver = driver
        self._codes = CodeStore(artifacts)
        self._settler = settler
        self._limits = limits
        self._memory_mb = memory_mb
        self._pool = Pool(
            memory_mb,
            most_containers=most_containers,
            keep_alive_s=keep_alive_s,
            pause_grace_s=pause_grace_s,
            stem_cells=stem_cells,
        )
        self._containers: dict[int, Container] = {}
        self._accepted: dict[str, _Accepted] = {}
        self._placed: dict[str, int] = {}  # activations in containers
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_closing = False
        self._ticker: asyncio.Task[None] | None = None

    def stats(self) -> Stats:
        """What is going on now."""
        return Stats(self._pool.busy, self._pool.waiting, self._pool.used_mb, self._memory_mb)

    @property
    def kinds(self) -> frozenset[str]:
        """What it can run."""
        return frozenset(self._driver.kinds)

    @property
    def memory_mb(self) -> int:
        """Its pool's."""
        return self._memory_mb

    def containers(self) -> dict[tuple[str, str, int], frozenset[int]]:
        """The ids of its containers, by the action that they are of."""
        return self._pool.containers()

    def test(self) -> Awaitable[bool]:
        """Whether a sandbox can be made and run something here. Raises nothing."""
        return try_out(self._driver)

    async def start(self) -> None:
        """Begin to keep stem cells and to look after idle containers."""
        self._carry_out(self._pool.start())
        self._ticker = asyncio.create_task(self._tick(), name="invoker ticker")

    def accept(self, message: ActivationMessage) -> asyncio.Future[Activation]:
        """Run `message`; the future gives its activation, stored already. It is never cancelled by who waits for it."""
        future: asyncio.Future[Activation] = self._loop.create_future()
        self._accepted[message.activation_id] = _Accepted(message, future)
        self._is_idle.clear()
        allowed = self._allowed(message)
        refusal = self._refusal(message, allowed)
        if refusal is not None:
            ending = Ending(refusal.outcome, has_begun=False, is_hopeless=True)
            self._spawn(self._settle(message, record_without_run(message, refusal, _now_ms()), ending))
        else:
            action = message.action
            key = Key(message.identity.namespace, action.entity_name.id, message.revision)
            egress = self._driver.egress.narrowed(action.egress)
            kind, concurrency = _with_dependencies(action.exec.kind, action.dependencies), concurrency_of(action)
            job = Job(message.activation_id, key, kind, action.limits.memory, allowed.kept_warm, egress, concurrency)
            self._carry_out(self._pool.submit(job, time.monotonic()))
        return future

    def cancel(self, namespace: str, activation_id: str) -> bool:
        """Stop an activation of `namespace`; whether it had not ended yet. It ends at once, whatever its run does.

        What waits does not start. A container in which it runs alone is destroyed; one in which others run as well is
        when they have ended, and with it what is left of the run.
        """
        accepted = self._accepted.get(activation_id)
        if accepted is None or accepted.message.identity.namespace != namespace:
            return False
        message = accepted.message
        container_id = self._placed.pop(activation_id, None)
        times, logs = None, Logs((), False)
        if container_id is None:
            instructions = self._pool.withdraw(activation_id, time.monotonic())
            if instructions is None:
                return False  # it has ended, and is about to have its record
        else:
            times, logs = self._containers[container_id].abandon(message)
            instructions = self._pool.abandoned(container_id, activation_id, time.monotonic())
            self._leave(container_id, is_usable=False)
        self._carry_out(instructions)
        ended = Ended(cancelled_response(), logs, times, False, False)
        logger.info("activation %s tx=%s is cancelled", activation_id, message.transaction_id)
        ending = Ending(ended.response.outcome, has_begun=times is not None, is_final=True)
        self._spawn(self._settle(message, cancelled(self._record(message, ended)), ending))
        return True

    def release(self, activation_id: str) -> bool:
        """Give up an activation that waits for a container, whose future is cancelled; False if it may have begun."""
        if activation_id not in self._accepted or activation_id in self._placed:
            return False
        instructions = self._pool.withdraw(activation_id, time.monotonic())
        if instructions is None:
            return False
        self._carry_out(instructions)
        self._forget(activation_id).future.cancel()
        return True

    def _forget(self, activation_id: str) -> _Accepted:
        accepted = self._accepted.pop(activation_id)
        if not self._accepted:
            self._is_idle.set()
        return accepted

    def _refusal(self, message: ActivationMessage, allowed: EffectiveLimits) -> Response | None:
        """Why `message` cannot run on this host at all."""
        exec_ = message.action.exec
        if self._is_closing:
            return error_response(Outcome.WHISK_ERROR, messages.INTERRUPTED)
        if exec_.kind == BLACKBOX:
            return error_response(Outcome.DEVELOPER_ERROR, messages.image_not_pulled(str(exec_.image)))
        if text := limits_out_of_bounds(message.action.limits, allowed):
            return error_response(Outcome.APPLICATION_ERROR, text)
        if exec_.kind not in self._driver.kinds or message.action.limits.memory > self._memory_mb:
            return error_response(Outcome.WHISK_ERROR, messages.NO_RESOURCES)
        return None

    def _carry_out(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Run(container, job, is_new):
                    if is_new:
                        spec = _spec(job.kind, job.memory_mb, job.egress)
                        self._containers[container] = Container(self._driver, spec)
                    self._containers[container].enter()
                    self._placed[job.id] = container
                    self._spawn(self._run(container, job))
                case Create(container, kind, memory_mb, egress):
                    self._containers[container] = Container(self._driver, _spec(kind, memory_mb, egress))
                    self._spawn(self._create(container))
                case Remove(container, reason):
                    self._spawn(self._containers.pop(container).destroy(reason))
                case Pause(container):
                    self._spawn(self._pause(container))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, container_id: int, job: Job) -> None:
        """One activation in its container; whatever happens, it ends with a record, or in another container.

        If it is cancelled meanwhile, it has ended already, and is no longer in its container.
        """
        if self._placed.get(job.id) != container_id:
            return
        container = self._containers[container_id]
        message = self._accepted[job.id].message
        ended = await self._ended(container, message)
        if self._placed.get(job.id) != container_id:
            return
        del self._placed[job.id]
        is_usable = ended is not None and ended.is_usable
        instructions = self._pool.finished(
            container_id, job.id, time.monotonic(), is_usable=is_usable, held_mb=container.held_mb()
        )
        self._leave(container_id, is_usable=is_usable)
        self._carry_out(instructions)
        if ended is None:
            self._carry_out(self._pool.submit(job, time.monotonic()))
        else:
            has_begun = ended.times is not None or ended.is_unclear
            await self._settle(message, self._record(message, ended), Ending(ended.response.outcome, has_begun))

    def _leave(self, container_id: int, *, is_usable: bool) -> None:
        """An activation is in its container no longer."""
        container = self._containers[container_id]
        if container.leave(is_usable=is_usable):
            del self._containers[container_id]
            self._spawn(container.destroy("it cannot be used again"))

    async def _ended(self, container: Container, message: ActivationMessage) -> Ended | None:
        """How the activation ended; None when its container had gone already, and another one can run it."""
        nothing = Logs((), False)
        try:
            return await container.run(message, self._limits_of(message), self._codes)
        except CodeUnavailable as unavailable:
            return Ended(unavailable.response, nothing, None, False, False)
        except DependenciesUnusable as error:
            return Ended(error_response(Outcome.DEVELOPER_ERROR, str(error)), nothing, None, False, False)
        except SandboxDied as error:
            if not self._is_closing and message.activation_id in self._placed:
                logger.warning("activation %s tx=%s is moved: %s", message.activation_id, message.transaction_id, error)
                return None
            text = messages.INTERRUPTED
        except SandboxUnavailable as error:
            if message.activation_id in self._placed:
                logger.error("activation %s tx=%s: %s", message.activation_id, message.transaction_id, error)
            text = messages.INTERRUPTED if self._is_closing else messages.NO_RESOURCES
        except Exception:  # the supervisor of one activation: a defect of ours must end that one only
            logger.exception("activation %s tx=%s", message.activation_id, message.transaction_id)
            response = error_response(Outcome.WHISK_ERROR, messages.RUN_DIED)
            return Ended(response, nothing, None, False, False, is_unclear=True)
        return Ended(error_response(Outcome.WHISK_ERROR, text), nothing, None, False, False)

    def _allowed(self, message: ActivationMessage) -> EffectiveLimits:
        return effective_limits(self._limits, message.identity.limits)

    def _limits_of(self, message: ActivationMessage) -> Limits:
        allowed = self._allowed(message)
        return Limits(message.action.limits.timeout, allowed.payload_bytes, allowed.truncation_bytes)

    def _record(self, message: ActivationMessage, ended: Ended) -> Activation:
        if ended.times is None:
            return record_without_run(message, ended.response, _now_ms())
        is_unreliable = ended.response.outcome is Outcome.DEVELOPER_ERROR
        logs = format_logs(
            ended.logs, limit_mb=message.action.limits.logs, now_ns=time.time_ns(), is_unreliable=is_unreliable
        )
        return record_of(message, ended.response, logs, ended.times, is_timeout=ended.is_timeout)

    async def _settle(self, message: ActivationMessage, activation: Activation, ending: Ending) -> None:
        """Store the record, or have it tried again, then tell who waits.

        When the platform stops, what is in the journal and not over, as it has not started, stays there: it runs at the
        next start.
        """
        try:
            if not message.is_journaled:
                if message.is_stored:
                    await self._settler.store(activation)
            elif self._is_closing and not ending.has_begun and not ending.is_final:
                await self._settler.give_back(message.activation_id)
            else:
                await self._settler.after(PendingAction(message), activation, ending)
        except SabayonError as error:
            logger.error("the record of activation %s is lost: %s", message.activation_id, error)
        finally:
            accepted = self._forget(message.activation_id)
            if not accepted.future.done():
                accepted.future.set_result(activation)

    async def _create(self, container_id: int) -> None:
        """Start a stem cell, unless it has been removed, which it may be until it has started."""
        container = self._containers.get(container_id)
        if container is None:
            return
        try:
            await container.start()
        except SandboxUnavailable as error:
            if self._containers.pop(container_id, None) is not None and not self._is_closing:
                logger.warning("no stem cell: %s", error)
                self._carry_out(self._pool.removed(container_id, time.monotonic()))
            return
        self._carry_out(self._pool.ready(container_id, time.monotonic(), held_mb=container.held_mb()))

    async def _pause(self, container_id: int) -> None:
        """Suspend a container, unless it has been given a job. One that has one when that fails is left to it."""
        if not self._pool.is_idle(container_id):
            return
        container = self._containers[container_id]
        try:
            await container.suspend()
        except SandboxDied as error:
            logger.warning("container %s: %s", container_id, error)
            if self._pool.is_idle(container_id):
                self._lose(container_id, "it cannot be paused")

    def _lose(self, container_id: int, reason: str) -> None:
        """An idle container, or a stem cell, is of no use any more."""
        self._spawn(self._containers.pop(container_id).destroy(reason))
        self._carry_out(self._pool.removed(container_id, time.monotonic()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._bury()
            self._carry_out(self._pool.tick(time.monotonic()))

    def _bury(self) -> None:
        """Forget idle containers whose sandbox has died; of one that runs the run itself finds out."""
        for container_id, container in list(self._containers.items()):
            if container.has_died and self._pool.is_idle(container_id):
                logger.warning("container %s died while it was idle", container_id)
                self._lose(container_id, "it has died")

    def give_up_records(self) -> None:
        """Do not wait any longer for a store that takes nothing: what is in the journal is left to the next start."""
        self._settler.give_up()

    async def drain(self, deadline_s: float) -> None:
        """Until nothing is accepted any more, at most `deadline_s`."""
        try:
            await asyncio.wait_for(self._is_idle.wait(), deadline_s)
        except TimeoutError:
            number = len(self._accepted)
            logger.info("%d %s did not finish in time", number, "activation" if number == 1 else "activations")

    async def aclose(self) -> None:
        """End all that runs or waits, each with a record, and all containers. Idempotent."""
        self._is_closing = True
        self.give_up_records()
        if self._ticker is not None:
            self._ticker.cancel()
        for job in self._pool.stop():
            message = self._accepted[job.id].message
            response = error_response(Outcome.WHISK_ERROR, messages.INTERRUPTED)
            ending = Ending(Outcome.WHISK_ERROR, has_begun=False)
            self._spawn(self._settle(message, record_without_run(message, response, _now_ms()), ending))
        await asyncio.gather(*(container.destroy("the platform stops") for container in self._containers.values()))
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._settler.tell_left()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _with_dependencies(kind: str, dependencies: str) -> str:
    """What the pool takes for a kind: containers that differ in it are never taken for each other."""
    return f"{kind}+{dependencies}" if dependencies else kind


def _spec(kind: str, memory_mb: int, egress: Egress) -> SandboxSpec:
    kind, _, dependencies = kind.partition("+")
    return SandboxSpec(kind, memory_mb, egress, dependencies)
