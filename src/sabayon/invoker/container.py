"""One container, carried out: its sandbox, made when first needed, and the runs in it."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import msgspec

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.entity.action import Action
from sabayon.entity.activation import Outcome, Response, error_response
from sabayon.entity.limits import MB
from sabayon.invoker.code import CodeStore
from sabayon.invoker.outcome import Limits, died, init_failure, run_response, timed_out
from sabayon.invoker.record import Times
from sabayon.runtimes.manifest import can_overlap
from sabayon.sandbox.base import (
    Logs,
    Sandbox,
    SandboxDied,
    SandboxDriver,
    SandboxSpec,
    SandboxTimeout,
    SandboxUnavailable,
)

START_TRIES = 3
MEASURED_S = 2.0
NUMBERS = 2**32 - 1


class Ended(NamedTuple):
    """How a run ended. is_usable: whether the container may run again. times is None when nothing was started."""

    response: Response
    logs: Logs
    times: Times | None
    is_timeout: bool
    is_usable: bool


class _Opened(NamedTuple):
    """How loading the code went. failure: None when it is loaded. Times in epoch ms and ms."""

    failure: Response | None
    is_timeout: bool
    started_ms: int
    init_ms: int


class _Phase(NamedTuple):
    """What run `number` does: it initializes, or runs, since `since` (monotonic). init_ms: None for a warm start."""

    number: int
    started_ms: int
    since: float
    init_ms: int | None
    is_init: bool


class _InitValue(msgspec.Struct, omit_defaults=True):
    name: str
    main: str
    binary: bool
    env: dict[str, str]
    code: str | None = None


class _Context(msgspec.Struct, omit_defaults=True):
    """What a run is told beside its arguments."""

    namespace: str
    action_name: str
    action_version: str
    activation_id: str
    transaction_id: str
    deadline: str
    api_key: str | None = None


_encoder = msgspec.json.Encoder()


class Container:
    """The shell around one sandbox. The pool sees to it that no more runs overlap than their action allows.

    The first run has the sandbox made and the code loaded; those that come meanwhile wait for that, and fail with it.
    A worker that gives it a run says `enter` then, and `leave` when that run has ended.
    """

    def __init__(self, driver: SandboxDriver, spec: SandboxSpec) -> None:
        self._driver = driver
        self._spec = spec
        self._sandbox: Sandbox | None = None
        self._opening: asyncio.Future[_Opened] | None = None
        self._is_initialized = False
        self._turn: asyncio.Lock | None = None
        self._number = 0
        self._inside = 0
        self._is_doomed = False
        self._is_suspended = False
        self._reason: str | None = None
        self._measured = float("-inf")
        self._held_mb = spec.memory_mb
        self._phases: dict[str, _Phase] = {}
        self._abandoned: set[str] = set()

    async def start(self) -> None:
        """Make the sandbox. Raises SandboxUnavailable, DependenciesUnusable."""
        for attempt in range(1, START_TRIES + 1):
            if self._reason is not None:
                raise SandboxUnavailable(self._reason)
            try:
                self._sandbox = await self._driver.create(self._spec)
                break
            except SandboxUnavailable:
                if attempt == START_TRIES:
                    raise
        if self._reason is not None and self._sandbox is not None:
            await self._sandbox.destroy(self._reason)
            raise SandboxUnavailable(self._reason)

    @property
    def has_died(self) -> bool:
        """Whether its sandbox was there and has gone by itself."""
        return self._sandbox is not None and not self._sandbox.is_alive

    def held_mb(self) -> int:
        """How much memory it holds, measured at most two seconds ago: that takes a tenth of a short run.

        Its limit where that is not known.
        """
        now = time.monotonic()
        if now - self._measured > MEASURED_S and self._sandbox is not None:
            self._measured = now
            held = self._sandbox.memory_bytes()
            self._held_mb = self._spec.memory_mb if held is None else -(-held // MB)
        return self._held_mb

    async def suspend(self) -> None:
        """Stop its CPU use until the next run. Raises SandboxDied."""
        if self._sandbox is not None:
            self._is_suspended = True
            await self._sandbox.suspend()

    async def destroy(self, reason: str) -> None:
        """End it, also while it is being made or runs."""
        self._reason = reason
        if self._sandbox is not None:
            await self._sandbox.destroy(reason)

    def enter(self) -> None:
        """It was given a run."""
        self._inside += 1

    def leave(self, *, is_usable: bool) -> bool:
        """A run has ended; whether the container has to be destroyed now: it is of no use, and nobody else is in it."""
        self._inside -= 1
        self._is_doomed = self._is_doomed or not is_usable
        return self._is_doomed and not self._inside

    def abandon(self, message: ActivationMessage) -> tuple[Times | None, Logs]:
        """Nobody wants the outcome of a run any more: how far it came, and what it has printed.

        One that has not begun will not, for which its time is None. One that has goes on until the container is
        destroyed, as others may depend on it. The container cannot be used again.
        """
        self._abandoned.add(message.activation_id)
        phase = self._phases.get(message.activation_id)
        if phase is None or self._sandbox is None:
            return None, Logs((), False)
        elapsed_ms = _elapsed_ms(phase.since)
        init_ms, run_ms = (elapsed_ms, 0) if phase.is_init else (phase.init_ms, elapsed_ms)
        times = Times(phase.started_ms, _waited(message, phase.started_ms), init_ms, run_ms)
        return times, self._sandbox.take_logs(phase.number, goes_on=True)

    async def run(self, message: ActivationMessage, limits: Limits, codes: CodeStore) -> Ended:
        """Make what is missing, then run once.

        Raises SandboxUnavailable, DependenciesUnusable, SandboxDied and CodeUnavailable, all before anything ran.
        """
        self._number = number = self._number % NUMBERS + 1
        opened = None
        if not self._is_initialized:
            is_first = self._opening is None
            if self._opening is None:
                opened = await self._open_for_all(message, limits, codes, number)
            else:
                opened = await asyncio.shield(self._opening)
            if opened.failure is not None:
                return self._failed(message, opened, opened.failure, number if is_first else None)
            if not is_first:
                opened = None
        if self._turn is None:
            return await self._run(message, limits, number, opened)
        async with self._turn:  # its time begins when it does
            return await self._run(message, limits, number, opened)

    async def _open_for_all(self, message: ActivationMessage, limits: Limits, codes: CodeStore, number: int) -> _Opened:
        """Open it for run `number` and for those that come meanwhile. Raises as `run` does."""
        self._opening = asyncio.get_running_loop().create_future()
        try:
            opened = await self._open(message, limits, codes, number)
        except Exception as error:
            self._opening.set_exception(error)
            self._opening.exception()  # it is no mistake if nobody waits for it
            raise
        self._opening.set_result(opened)
        return opened

    async def _open(self, message: ActivationMessage, limits: Limits, codes: CodeStore, number: int) -> _Opened:
        """Make the sandbox if there is none, and load the code. Raises as `run` does."""
        if self._sandbox is None:
            await self.start()
        assert self._sandbox is not None
        await self._wake(self._sandbox)
        self._sandbox.limit_logs(message.action.limits.logs * MB, number)
        code = await codes.hand_over(message, self._sandbox)
        started_ms, started = _now_ms(), time.monotonic()
        self._phases[message.activation_id] = _Phase(number, started_ms, started, None, True)
        try:
            failure, is_timeout = await self._init(self._sandbox, message, limits, code)
        finally:
            del self._phases[message.activation_id]
        if concurrency_of(message.action) > 1 and not self._sandbox.is_shared:
            self._turn = asyncio.Lock()
        self._is_initialized = failure is None
        return _Opened(failure, is_timeout, started_ms, _elapsed_ms(started))

    async def _wake(self, sandbox: Sandbox) -> None:
        """Make sure that it is there and not suspended. Raises SandboxDied."""
        if not sandbox.is_alive:
            raise SandboxDied("it has gone, or takes no further run")
        if self._is_suspended:
            self._is_suspended = False
            await sandbox.resume()

    def _failed(self, message: ActivationMessage, opened: _Opened, failure: Response, number: int | None) -> Ended:
        """The code cannot be loaded. number: of the run for which that was tried; None for one that waited for it.

        Raises SandboxDied for one that waited until the container was destroyed: it has not begun.
        """
        if number is None and self._reason is not None:
            raise SandboxDied(self._reason)
        init_ms, logs = None, Logs((), False)
        if number is not None and self._sandbox is not None:
            init_ms, logs = opened.init_ms, self._sandbox.take_logs(number)
        times = Times(opened.started_ms, _waited(message, opened.started_ms), init_ms, 0)
        return Ended(failure, logs, times, opened.is_timeout, False)

    async def _init(
        self, sandbox: Sandbox, message: ActivationMessage, limits: Limits, code: str | None
    ) -> tuple[Response | None, bool]:
        started = time.monotonic()
        try:
            body, concurrency = init_body(message, code), concurrency_of(message.action)
            reply = await sandbox.init(body, limits.timeout_ms / 1000, concurrency)
        except SandboxTimeout:
            return timed_out(limits, during_init=True), True
        except SandboxDied as error:
            return self._died(error, during_init=True), False
        elapsed_ms = (time.monotonic() - started) * 1000
        return init_failure(reply, elapsed_ms, limits), elapsed_ms >= limits.timeout_ms

    async def _run(self, message: ActivationMessage, limits: Limits, number: int, opened: _Opened | None) -> Ended:
        """opened: how the code was loaded, if that was for this run. Raises SandboxDied if it has not begun."""
        sandbox = self._sandbox
        assert sandbox is not None
        if message.activation_id in self._abandoned:
            raise SandboxDied("it was cancelled before it began")
        if opened is None:
            if self._is_suspended or not sandbox.is_alive:
                await self._wake(sandbox)
            sandbox.limit_logs(message.action.limits.logs * MB, number)
        started_ms, init_ms = (_now_ms(), None) if opened is None else (opened.started_ms, opened.init_ms)
        started, is_timeout = time.monotonic(), False
        self._phases[message.activation_id] = _Phase(number, started_ms, started, init_ms, False)
        try:
            reply = await sandbox.run(run_body(message), limits.timeout_ms / 1000, number)
            elapsed_ms = (time.monotonic() - started) * 1000
            is_timeout = elapsed_ms >= limits.timeout_ms
            response = run_response(reply, elapsed_ms, limits)
        except SandboxTimeout:
            response, is_timeout = timed_out(limits, during_init=False), True
        except SandboxDied as error:
            response = self._died(error, during_init=False)
        finally:
            del self._phases[message.activation_id]
        times = Times(started_ms, _waited(message, started_ms), init_ms, _elapsed_ms(started))
        logs = sandbox.take_logs(number)
        is_usable = response.outcome <= Outcome.APPLICATION_ERROR and not logs.is_truncated and self._reason is None
        return Ended(response, logs, times, is_timeout, is_usable)

    def _died(self, error: SandboxDied, *, during_init: bool) -> Response:
        """The action's doing, unless the container was destroyed."""
        if self._reason is not None:
            return error_response(Outcome.WHISK_ERROR, messages.INTERRUPTED)
        return died(during_init=during_init, is_out_of_memory=error.is_out_of_memory)


def concurrency_of(action: Action) -> int:
    """How many runs of `action` one container takes at once."""
    allowed = action.limits.concurrency
    return allowed if allowed > 1 and can_overlap(action.exec.kind) else 1


def init_body(message: ActivationMessage, code: str | None) -> bytes:
    """The contract's `/init` body."""
    action = message.action
    context = _context(message)
    system = {f"__OW_{name.upper()}": value for name, value in msgspec.structs.asdict(context).items() if value}
    value = _InitValue(
        name=action.name,
        main=action.exec.main or "main",
        binary=action.exec.is_binary,
        env={**message.environment, **system},
        code=code,
    )
    return _encoder.encode({"value": value})


def run_body(message: ActivationMessage) -> bytes:
    """The contract's `/run` body; the arguments go in as they are."""
    return b'{"value":' + bytes(message.arguments) + b"," + _encoder.encode(_context(message))[1:]


def _context(message: ActivationMessage) -> _Context:
    action = message.action
    return _Context(
        namespace=message.identity.namespace,
        action_name=action.entity_name.absolute,
        action_version=action.version,
        activation_id=message.activation_id,
        transaction_id=message.transaction_id,
        deadline=str(_now_ms() + action.limits.timeout),
        api_key=message.identity.auth_key if action.exposes_api_key else None,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _waited(message: ActivationMessage, started_ms: int) -> int:
    return max(0, started_ms - message.accepted_ms)
