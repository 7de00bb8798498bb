"""Attempts to find what an earlier or a neighbouring tenant left, or what the platform left in the copied process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.attacks.frame import (
    LOOPBACK_UP,
    NUMBERS,
    PRELUDE,
    PRIVATE,
    Attack,
    fails_with,
    gains_something,
    inside,
    outside,
)
from tests.conformance.sandbox_stage import Stage, run_body


class Trail(NamedTuple):
    """What one tenant leaves, as statements, and how the next one looks for it, as an expression."""

    name: str
    leave: str
    look: str


TRAILS = [
    Trail("a name among the builtins", "import builtins; builtins.left = 'secret'", "__builtins__.get('left')"),
    Trail("a module", "import types; sys.modules['left'] = types.ModuleType('left')", "'left' in sys.modules"),
    Trail(
        "a changed function",
        "import textwrap; textwrap.dedent = str.upper",
        "__import__('textwrap').dedent('a') == 'A'",
    ),
    Trail("a variable of the environment", "os.environ['LEFT'] = 'secret'", "os.environ.get('LEFT')"),
    Trail("a file in a folder for all", "open('/tmp/left', 'w').close()", "os.path.exists('/tmp/left')"),
    Trail("a file in shared memory", "open('/dev/shm/left', 'w').close()", "os.path.exists('/dev/shm/left')"),
    Trail("a segment of shared memory", "libc.shmget(77, 4096, 0o1666)", "libc.shmget(77, 0, 0) >= 0"),
    Trail("a set of semaphores", "libc.semget(77, 1, 0o1666)", "libc.semget(77, 0, 0) >= 0"),
    Trail("a queue of messages", "libc.msgget(77, 0o1666)", "libc.msgget(77, 0) >= 0"),
    Trail(
        "a thread",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True, name='left').start()",
        "'left' in [t.name for t in __import__('threading').enumerate()]",
    ),
    Trail(
        "a process",
        "import subprocess; subprocess.Popen(['sleep', '0.77'])",
        "len([name for name in os.listdir('/proc') if name.isdigit()]) > 1",
    ),
    Trail(
        "a nameless socket",
        "left = socket.socket(socket.AF_UNIX); left.bind('\\0left'); left.listen()",
        "socket.socket(socket.AF_UNIX).connect_ex('\\0left') == 0",
    ),
    Trail(
        "a port",
        "left = socket.create_server(('127.0.0.1', 4077))",
        "socket.socket().connect_ex(('127.0.0.1', 4077)) == 0",
    ),
    Trail(
        "an open file",
        "left = os.memfd_create('left')",
        "any(is_left(f) for f in os.listdir('/proc/self/fd'))",
    ),
    Trail("a mask of rights", "os.umask(0o777)", "os.umask(0o022) == 0o777"),
    Trail("a working directory", "os.makedirs('/tmp/d'); os.chdir('/tmp/d')", "os.getcwd() == '/tmp/d'"),
    Trail(
        "a handler of a signal",
        "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "__import__('signal').getsignal(10) == 1",
    ),
    Trail(
        "a blocked signal",
        "import signal; signal.pthread_sigmask(0, [10])",
        "10 in __import__('signal').pthread_sigmask(0, [])",
    ),
    Trail(
        "a timer",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 1000)",
        "__import__('signal').getitimer(0)[0] > 0",
    ),
    Trail(
        "the state of chance",
        "import random; random.seed(77)",
        "__import__('random').random() == __import__('random').Random(77).random()",
    ),
    Trail("a folder to import from", "sys.path.append('/left')", "'/left' in sys.path"),
    Trail("a hook of imports", "sys.meta_path.append('left')", "'left' in sys.meta_path"),
    Trail("a tracer", "import threading; threading.settrace(print)", "__import__('threading').gettrace() is print"),
    Trail("a name of the process", "libc.prctl(15, b'left', 0, 0, 0)", "contents('/proc/self/comm') == 'left\\n'"),
    Trail("a name of the host", "libc.sethostname(b'left', 4)", "socket.gethostname() == 'left'"),
    Trail(
        "a bound on open files",
        "import resource; resource.setrlimit(7, (77, 1024))",
        "__import__('resource').getrlimit(7)[0] == 77",
    ),
]


HELPERS = """
def is_left(descriptor):
    try:
        return "memfd:left" in os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False
"""


def _looking(trail: Trail) -> str:
    return f"{HELPERS}\ndef attack(args): return {trail.look}"


def _source(code: str) -> str:
    return PRELUDE.format(numbers=NUMBERS, code=code)


@pytest.mark.parametrize("trail", TRAILS, ids=lambda trail: trail.name)
def test_nothing_of_one_sandbox_is_found_in_the_next(stage: Stage, trail: Trail) -> None:
    """While the first still lives, and again when it has ended."""

    async def scenario() -> list[Any]:
        async with stage.action(_source(f"{trail.leave}\n{_looking(trail)}")) as first:
            await first.run(run_body(), 10)
            neighbour = await stage.result(_source(_looking(trail)))
        return [neighbour, await stage.result(_source(_looking(trail)))]

    for outcome in stage.run(scenario()):
        assert not outcome["gained"], outcome


@pytest.mark.parametrize("trail", TRAILS, ids=lambda trail: trail.name)
def test_what_is_looked_for_is_found_by_whoever_comes_next_to_the_same_process(trail: Trail) -> None:
    outcome = outside(Attack(trail.name, _looking(trail), fails_with(), PRIVATE, setup=_setup(trail)), {})
    assert gains_something(outcome), outcome


def _setup(trail: Trail) -> str:
    return f"{LOOPBACK_UP}\nfirst = {{'__name__': 'first'}}\nexec({_source(trail.leave)!r}, first)"


CHANCE = {
    "random": "__import__('random').getrandbits(64)",
    "uuid4": "__import__('uuid').uuid4().int",
    "urandom": "int.from_bytes(os.urandom(8))",
    "secrets": "__import__('secrets').randbits(64)",
    "OpenSSL": "int.from_bytes(__import__('ssl').RAND_bytes(8))",
    "a name for a temporary file": "__import__('tempfile').mktemp()",
    "a boundary of MIME": "__import__('email.generator').generator._make_boundary()",
}


@pytest.mark.parametrize("source", CHANCE)
def test_two_sandboxes_copied_from_one_process_do_not_draw_the_same_numbers(stage: Stage, source: str) -> None:
    attack = Attack(source, f"def attack(args): return {CHANCE[source]}", fails_with())
    drawn = [inside(stage, attack, {})["gained"] for _ in range(3)]
    assert len(set(drawn)) == 3


def test_a_seed_that_was_copied_does_draw_the_same_numbers() -> None:
    """Two children of one process, in which chance is not seeded anew."""
    program = """
import os, random
random.seed(7)
generator = random.Random(7)
for _ in range(2):
    if not os.fork():
        print(generator.getrandbits(64), flush=True)
        os._exit(0)
    os.wait()
"""
    drawn = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    assert len(drawn.split()) == 2
    assert len(set(drawn.split())) == 1


SCAN_OWN_MEMORY = """
def attack(args):
    import gc
    needle = bytes.fromhex(args["needle"])[::-1]
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.read().splitlines():
            bounds, rights, *rest = line.split()
            if "r" not in rights or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")): continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, OverflowError):
                continue
            found += data.count(needle)
    return found - 1  # the one occurrence that is the needle itself
"""


@pytest.fixture(scope="module")
def marked() -> Iterator[tuple[Stage, str]]:
    """A driver of a platform that has a secret in its environment, and the secret."""
    secret = "platform-secret-" + os.urandom(8).hex()
    os.environ["PLATFORM_SECRET"] = secret
    try:
        stage = Stage()
    finally:
        del os.environ["PLATFORM_SECRET"]
    yield stage, secret
    stage.close()


def _needle(secret: str) -> dict[str, str]:
    return {"needle": secret.encode()[::-1].hex()}


def test_the_memory_a_sandbox_inherits_holds_nothing_of_the_platforms_environment(marked: tuple[Stage, str]) -> None:
    stage, secret = marked
    found = inside(stage, Attack("scan", SCAN_OWN_MEMORY, fails_with()), _needle(secret))
    assert found["gained"] <= 0, found


def test_a_child_of_the_platform_with_its_environment_does_hold_it() -> None:
    secret = "platform-secret-" + os.urandom(8).hex()
    attack = Attack("scan", SCAN_OWN_MEMORY, fails_with(), outside=("env", f"PLATFORM_SECRET={secret}"))
    found = outside(attack, _needle(secret))
    assert found["gained"] >= 1, found


NEIGHBOUR = """
SECRET = "tenant-" + "secret-" + "x" * 3
def main(args): return {"secret": SECRET, "args": args}
"""


def test_the_memory_of_a_sandbox_holds_no_code_result_or_argument_of_its_neighbour(stage: Stage) -> None:
    argument = "argument-of-the-neighbour-" + os.urandom(8).hex()

    async def scenario() -> Any:
        async with stage.action(NEIGHBOUR) as neighbour:
            answer = json.loads((await neighbour.run(run_body({"a": argument}), 10)).body)
            assert answer["args"] == {"a": argument}
            source = Attack("scan", SCAN_OWN_MEMORY, fails_with()).source
            return await stage.result(source, _needle(argument))

    found = stage.run(scenario())
    assert found["gained"] <= 0, found
