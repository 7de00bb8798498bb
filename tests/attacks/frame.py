"""The frame of the attacks: one piece of code, run where it must fail and where it must work.

An attack is the source of a function `attack(args)`. It returns what it gained, or raises OSError. In a sandbox the
outcome must be the denial that the attack names. As root on this host the very same source must gain something: an
attack that works nowhere would prove nothing.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

from sabayon.sandbox.base import SandboxDied
from tests.conformance.sandbox_stage import Stage, init_body, run_body

Outcome = dict[str, Any]
"""`{"gained": value}`, `{"errno": number}`, or `{"died": …}` when whatever ran the attack did not survive it."""

Verdict = Callable[[Outcome], bool]

PRIVATE = (
    "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--net",
    "sh", "-c", 'mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm && exec "$@"', "sh",
)  # fmt: skip
"""The start of a command line that keeps what it runs from changing the machine."""

LOOPBACK_UP = "import subprocess; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)"
"""A set-up for attacks in PRIVATE that need a network."""

PRELUDE = """
import ctypes, errno, os, socket, struct, sys
NUMBERS = {numbers}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(name, *args):
    number = NUMBERS.get(name)
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    function = getattr(libc, name) if number is None else libc.syscall
    result = function(*([] if number is None else [ctypes.c_long(number)]), *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result

def in_child(action):
    # what `action` gains in a child process; the signal that ended it is the error number, negated
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, repr({{"gained": action()}}).encode())
        except OSError as error:
            os.write(writing, repr({{"errno": error.errno}}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    return eval(text) if text else {{"errno": -os.WTERMSIG(status)}}

def contents(path, most=100):
    with open(path, "rb") as file:
        return file.read(most).decode(errors="replace")

{code}

def main(args):
    try:
        gained = attack(args)
    except OSError as error:
        return {{"errno": error.errno}}
    return gained if isinstance(gained, dict) else {{"gained": gained}}
"""

JAVASCRIPT_PRELUDE = """
const os = require('os');
const numberOf = (error) => error.errno === undefined ? os.constants.errno[error.code] : -error.errno;
%s
async function main(args) {
  try {
    return { gained: await attack(args) };
  } catch (error) {
    if (numberOf(error) === undefined) throw error;
    return { errno: numberOf(error) };
  }
}
"""

_OUTSIDE_JAVASCRIPT = """
const [source, setup, args] = JSON.parse(require('fs').readFileSync(0));
new Function('require', `${source}; return main`)(require)(args).then((outcome) => {
  console.log('\\n' + JSON.stringify(outcome));
  process.exit(0);
});
"""

_OUTSIDE = """
import json, sys
source, setup, args = json.load(sys.stdin)
scope = {"__name__": "attack"}
exec(setup, scope)
exec(source, scope)
sys.stdout.write("\\n" + json.dumps(scope["main"](args)))
"""

_X86_64 = {
    "modify_ldt": 154, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248,
    "keyctl": 250, "request_key": 249, "syslog": 103, "kcmp": 312, "finit_module": 313, "move_pages": 279,
    "pivot_root": 155, "name_to_handle_at": 303, "open_by_handle_at": 304, "pidfd_open": 434, "clone": 56, "sync": 162,
}  # fmt: skip
_AARCH64 = {
    "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "add_key": 217, "keyctl": 219, "request_key": 218,
    "syslog": 116, "kcmp": 272, "finit_module": 273, "move_pages": 239, "pivot_root": 41, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "pidfd_open": 434, "clone": 220, "sync": 81,
}  # fmt: skip
_EVERYWHERE = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "process_mrelease": 448,
}  # fmt: skip
NUMBERS = {**(_X86_64 if platform.machine() == "x86_64" else _AARCH64), **_EVERYWHERE}


def fails_with(*numbers: int) -> Verdict:
    """Denied with one of these error numbers."""
    return lambda outcome: outcome.get("errno") in numbers


def is_killed_by(number: signal.Signals) -> Verdict:
    """Denied by a signal to the process that tried."""
    return lambda outcome: outcome.get("errno") == -number


def gains_nothing(outcome: Outcome) -> bool:
    """It ran to its end, and what it found is empty, zero or false."""
    return "gained" in outcome and not outcome["gained"]


def is_out_of_memory(outcome: Outcome) -> bool:
    """The sandbox as a whole was ended for its memory limit."""
    return bool(outcome.get("out_of_memory"))


def gains_something(outcome: Outcome) -> bool:
    """The attack worked."""
    return bool(outcome.get("gained"))


NOT_PERMITTED = fails_with(errno.EPERM)
NOT_THERE = fails_with(errno.ENOENT)


@dataclass(frozen=True)
class Attack:
    """name: what it attempts. code: source of `attack(args)`. denied: how it must end in a sandbox.

    outside: what the command line of the run on the host starts with. setup: source that prepares that run only, for
    what a host has anyway. only_as_root: the denial rests on what the unprivileged level does not claim.
    """

    name: str
    code: str
    denied: Verdict
    outside: tuple[str, ...] = ()
    setup: str = ""
    language: str = "python"
    machine: str = ""
    only_as_root: bool = False
    memory_mb: int = 128
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """A whole action, or a whole program's module."""
        if self.language == "nodejs":
            return JAVASCRIPT_PRELUDE % self.code
        return PRELUDE.format(numbers=NUMBERS, code=self.code)


def cases(attacks: list[Attack]) -> pytest.MarkDecorator:
    """Parametrizes a test with `attack`; those of another processor's kernel are left out."""
    return pytest.mark.parametrize("attack", for_this_machine(attacks), ids=lambda attack: attack.name)


def for_this_machine(attacks: list[Attack]) -> list[Attack]:
    return [attack for attack in attacks if attack.machine in ("", platform.machine())]


def skip_without_node() -> NoReturn:
    """What Node.js is needed for is left out on a laptop without it, and fails in CI."""
    if os.environ.get("CI"):
        pytest.fail("there is no `node` on the PATH; scripts/setup installs it")
    pytest.skip("there is no `node` on the PATH")


def inside(stage: Stage, attack: Attack, args: dict[str, Any]) -> Outcome:
    """The outcome in a sandbox."""
    kind = next((kind for kind in stage.driver.kinds if kind.startswith(f"{attack.language}:")), "")
    if not kind:
        skip_without_node()

    async def scenario() -> Outcome:
        async with stage.sandbox(kind, attack.memory_mb) as sandbox:
            try:
                init = await sandbox.init(init_body(attack.source), 20)
                assert init.status == 200, (init, sandbox.take_logs())
                reply = await sandbox.run(run_body({**args, **attack.args}), 30)
            except SandboxDied as error:
                return {"died": str(error), "out_of_memory": error.is_out_of_memory}
            assert reply.status == 200, (reply, sandbox.take_logs())
            outcome: Outcome = json.loads(reply.body)
            assert "error" not in outcome, (outcome, sandbox.take_logs())
            return outcome

    return stage.run(scenario())


def outside(attack: Attack, args: dict[str, Any]) -> Outcome:
    """The outcome as root on this host."""
    if os.geteuid():
        pytest.skip("only root can do what an attack must be able to do where nothing confines it")
    # The interpreter itself: a virtual environment may lie below /tmp, of which an attack gets its own.
    program = [os.path.realpath(sys.executable), "-I", "-c", _OUTSIDE]
    if attack.language == "nodejs":
        program = [shutil.which("node") or skip_without_node(), "-e", _OUTSIDE_JAVASCRIPT]
    done = subprocess.run(
        [*attack.outside, *program],
        input=json.dumps([attack.source, attack.setup, {**args, **attack.args}]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        return {"died": f"{done.returncode} {done.stderr[-2000:]}"}
    outcome: Outcome = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    return outcome
