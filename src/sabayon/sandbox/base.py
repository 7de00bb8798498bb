"""The sandbox port: what a driver must offer to the container pool.

A *sandbox* is one isolated place that holds one runtime launcher. It is started
without user code (a stem cell), receives the code once (`place`, `init`) and then runs
activations (`run`): one at a time, or several at once if `init` said so. Replies have
the shape of the action-runtime HTTP contract, a status and a body, whatever the driver
speaks inside.

Who may call when: the pool owns a sandbox and never overlaps `init` and `run`.
`destroy` may come at any moment, also in the middle of a run, which then raises
`SandboxDied`. After `destroy` every call raises `SandboxDied` with the first reason.

Runs that overlap are told apart by a number that the caller chooses, from 0 to
2**32 - 1, which no other run in flight has. They share one process: what ends it ends
them all. When one of them times out, the sandbox takes no further run (`is_alive` is
False), and those in flight go on until their answer, their own time limit, or `destroy`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from sabayon.errors import SabayonError


class Egress(StrEnum):
    """What a sandbox can reach besides the platform's API, the least first."""

    NONE = "none"
    INTERNET = "internet"
    """All but the host, other sandboxes, and addresses that are not the internet's: private, local, metadata."""
    ALL = "all"

    def narrowed(self, wanted: str | None) -> Egress:
        """This or what is wanted, whichever is less; what is no level at all counts as none."""
        if wanted is None:
            return self
        levels = list(Egress)
        return min(self, Egress(wanted) if wanted in levels else Egress.NONE, key=levels.index)


class SandboxSpec(NamedTuple):
    """What to start.

    kind: concrete runtime kind such as `python:3.11`.
    memory_mb: hard limit for everything inside, files in memory included.
    egress: at most this; a driver that cannot give it gives less.
    dependencies: the name of the dependency set that its code finds imported; empty for none.
    """

    kind: str
    memory_mb: int
    egress: Egress = Egress.NONE
    dependencies: str = ""


class Code(NamedTuple):
    """An archive that a driver may make ready ahead of `init`, once for all sandboxes that need it.

    version: the same version of the same kind is always the same archive.
    read: gives it, base64, None when there is none; asked only if the driver does not have it ready, and perhaps
    after `place` has returned, when nobody is told of what it raises.
    """

    version: str
    read: Callable[[], Awaitable[str | None]]


class Reply(NamedTuple):
    """A launcher's answer to `init` or `run`.

    status: 200 is success, as in the HTTP contract.
    body: the raw text of the answer, never re-encoded; cut to the driver's result limit.
    length: the length in bytes that the launcher declared; greater than `len(body)` when the body was cut.
    """

    status: int
    body: bytes
    length: int

    @property
    def is_truncated(self) -> bool:
        """Whether the launcher's answer was longer than the limit."""
        return self.length > len(self.body)


class LogLine(NamedTuple):
    """One line of output. time_ns: epoch nanoseconds at which it was read."""

    time_ns: int
    stream: str  # "stdout" or "stderr"
    text: str


class Logs(NamedTuple):
    """Everything written since the last collection. is_truncated: the limit was exceeded and the rest dropped."""

    lines: Sequence[LogLine]
    is_truncated: bool


class SandboxDied(SabayonError):
    """The sandbox went away. `is_out_of_memory` tells whether the kernel killed it for its memory limit."""

    def __init__(self, reason: str, *, is_out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.is_out_of_memory = is_out_of_memory


class SandboxTimeout(SabayonError):
    """No answer within the time given. The sandbox takes no further run and must be destroyed."""


class SandboxUnavailable(SabayonError):
    """The driver could not start a sandbox: the platform's fault, worth a retry."""


class DependenciesUnusable(SabayonError):
    """The dependency set asked for is not there, or cannot be imported. The text is for the action's developer."""


class Sandbox(Protocol):
    """One isolated place. See the module docstring for who may call when."""

    @property
    def id(self) -> str:
        """A name that is unique on this host."""
        ...

    @property
    def is_alive(self) -> bool:
        """False as soon as it is known to have gone, also while nobody asks anything of it."""
        ...

    def memory_bytes(self) -> int | None:
        """How much memory it holds now, None when that is not known."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether runs overlap inside. Otherwise the next one begins when the one before has been answered."""
        ...

    async def place(self, code: Code) -> bool:
        """Have an archive in its place before `init`, whose body then comes without `code`; whether that was done.

        A driver may always answer False. Not a word is said of what is wrong with an archive: `init` says it.
        Raises SandboxDied, and what `code.read` raises.
        """
        ...

    async def init(self, body: bytes, timeout_s: float, concurrency: int = 1) -> Reply:
        """Hand over code: the JSON of the contract's `/init` body. Raises SandboxDied, SandboxTimeout.

        concurrency: how many runs there will be at once at most. Whether they overlap is up to the code: `is_shared`.
        """
        ...

    async def run(self, body: bytes, timeout_s: float, number: int = 0) -> Reply:
        """Run once: the JSON of the contract's `/run` body. Raises SandboxDied, SandboxTimeout."""
        ...

    def limit_logs(self, limit_bytes: int, number: int = 0) -> None:
        """Bound the output kept of a run until its `take_logs`; what exceeds it is read and dropped."""
        ...

    def take_logs(self, number: int = 0, *, goes_on: bool = False) -> Logs:
        """All output of a run written so far and not yet taken; to be asked once more, at its end, if it `goes_on`.

        What was written before a reply is there once the reply is. Where runs
        overlap, what cannot be told to be of one of them is of the one that was limited first.
        """
        ...

    async def suspend(self) -> None:
        """Stop all CPU use inside. Idempotent."""
        ...

    async def resume(self) -> None:
        """Undo `suspend`. Idempotent."""
        ...

    async def destroy(self, reason: str) -> None:
        """Kill everything inside and free what it held. Idempotent; never raises."""
        ...


class SandboxDriver(Protocol):
    """Makes sandboxes of one isolation method. Holds no policy: no pool, no retry, no limits of its own."""

    @property
    def level(self) -> str:
        """What isolation is in force, one phrase for the start-up line."""
        ...

    @property
    def egress(self) -> Egress:
        """The most that its sandboxes can reach."""
        ...

    @property
    def kinds(self) -> Mapping[str, str]:
        """Runtime kinds this host can start, kind to a description of the interpreter (path and version)."""
        ...

    async def start(self) -> None:
        """Make ready: sweep what an earlier instance left, start what is shared. Raises SandboxUnavailable."""
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A running stem cell of `spec`. Raises SandboxUnavailable, DependenciesUnusable."""
        ...

    async def aclose(self) -> None:
        """Destroy every sandbox and leave no process, mount, cgroup or network namespace behind."""
        ...
