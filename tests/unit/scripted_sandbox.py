"""A sandbox driver whose sandboxes answer what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from sabayon.sandbox.base import Code, Egress, Logs, Reply, SandboxDied, SandboxSpec, SandboxUnavailable

Script = Callable[["ScriptedSandbox"], Awaitable[bytes]]


async def succeed(_: ScriptedSandbox) -> bytes:
    """An answer at once, an empty object."""
    return b"{}"


class ScriptedSandbox:
    """Keeps the port's promises. `gone` is set when it has been destroyed, `reason` says why."""

    def __init__(self, driver: ScriptedDriver, spec: SandboxSpec) -> None:
        self._driver = driver
        self.id = f"scripted-{len(driver.made) + 1}"
        self.spec = spec
        self.is_alive = True
        self.held_bytes: int | None = None
        self.is_suspended = False
        self.is_shared = False
        self.offered: list[str] = []
        self.inits: list[bytes] = []
        self.runs: list[bytes] = []
        self.gone = asyncio.Event()
        self.reason = ""

    def memory_bytes(self) -> int | None:
        return self.held_bytes

    async def place(self, code: Code) -> bool:
        self._check()
        self.offered.append(code.version)
        if code.version not in self._driver.ready:
            await code.read()
        return code.version in self._driver.ready

    async def init(self, body: bytes, timeout_s: float, concurrency: int = 1) -> Reply:
        self._check()
        self.is_shared = concurrency > 1 and self._driver.can_overlap
        self.inits.append(body)
        return await self._answer(self._driver.on_init)

    async def run(self, body: bytes, timeout_s: float, number: int = 0) -> Reply:
        self._check()
        assert not self.is_suspended
        self.runs.append(body)
        return await self._answer(self._driver.on_run)

    async def _answer(self, script: Script) -> Reply:
        """What `script` says, unless the sandbox goes away before."""
        self._driver.is_asked.set()
        answer = asyncio.ensure_future(script(self))
        gone = asyncio.ensure_future(self.gone.wait())
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        answer.cancel()
        self._check()
        reply = answer.result()
        return Reply(200, reply, len(reply))

    def limit_logs(self, limit_bytes: int, number: int = 0) -> None:
        """It prints nothing."""

    def take_logs(self, number: int = 0, *, goes_on: bool = False) -> Logs:
        return Logs((), False)

    async def suspend(self) -> None:
        self.is_suspended = True
        self._driver.on_suspend(self)

    async def resume(self) -> None:
        self.is_suspended = False

    async def destroy(self, reason: str) -> None:
        self.die(reason)

    def die(self, reason: str = "it was killed") -> None:
        """Go away, asked to or not."""
        self.reason = self.reason or reason
        self.is_alive = False
        self.gone.set()

    def arguments(self) -> object:
        """What the last run was given."""
        return msgspec.json.decode(self.runs[-1])["value"]

    def _check(self) -> None:
        if not self.is_alive:
            raise SandboxDied(self.reason)


class ScriptedDriver:
    """Makes scripted sandboxes; the next `failures` starts fail, all with `refusal` if it is set.

    ready: versions of archives that it puts in place itself; it has a look at others.
    is_starting: set when a sandbox is wanted. may_start: cleared to hold starts up. is_asked: set when one is asked.
    breaks_starting: whether those that were held up fail then.
    can_overlap: whether the code of its sandboxes lets runs overlap. on_suspend: called when one is suspended.
    """

    level = "scripted"
    egress = Egress.INTERNET

    def __init__(self) -> None:
        self.kinds = {"python:3.11": "python", "nodejs:20": "node"}
        self.is_asked = asyncio.Event()
        self.is_starting = asyncio.Event()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.breaks_starting = False
        self.made: list[ScriptedSandbox] = []
        self.failures = 0
        self.refusal: Exception | None = None
        self.tries = 0
        self.can_overlap = True
        self.ready: set[str] = set()
        self.on_init: Script = succeed
        self.on_run: Script = succeed
        self.on_suspend: Callable[[ScriptedSandbox], object] = id

    async def start(self) -> None:
        """There is nothing to make ready."""

    async def create(self, spec: SandboxSpec) -> ScriptedSandbox:
        self.tries += 1
        if self.refusal:
            raise self.refusal
        if self.failures:
            self.failures -= 1
            raise SandboxUnavailable("no sandbox today")
        self.is_starting.set()
        await self.may_start.wait()
        if self.breaks_starting:
            raise SandboxUnavailable("it was ended while it started")
        sandbox = ScriptedSandbox(self, spec)
        self.made.append(sandbox)
        return sandbox

    async def aclose(self) -> None:
        """The invoker destroys what it has asked for."""
