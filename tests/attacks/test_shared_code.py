"""Attempts to reach others through the code that sandboxes share, or to change it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.attacks.frame import (
    NOT_PERMITTED,
    PRIVATE,
    Attack,
    cases,
    fails_with,
    gains_nothing,
    gains_something,
    outside,
)
from tests.conformance.sandbox_stage import Stage, run_body, texts, zipped
from tests.conformance.shared_archive import PADDING, Archive, initialized

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only sandboxes of root share code")

FOLDER = "(args['folder'] if args.get('folder') else '/action/code')"

UNMOUNT = f"""
def attack(args):
    call("umount2", {FOLDER}.encode(), 2)
    return True
"""

MAKE_WRITABLE = f"""
def attack(args):
    call("mount", b"none", {FOLDER}.encode(), None, 32 | 4096, None)
    return True
"""

RECONFIGURE = f"""
def attack(args):
    return call("fspick", -100, {FOLDER}.encode(), 0) >= 0
"""

COPY = f"""
def attack(args):
    return call("open_tree", -100, {FOLDER}.encode(), 1) >= 0
"""

MARK = f"""
def attack(args):
    os.setxattr({FOLDER}, "trusted.overlay.opaque", b"y")
    return True
"""

WHITE_OUT = f"""
def attack(args):
    os.mknod({FOLDER} + "/hole", 0o020000, os.makedev(0, 0))
    return True
"""

LAYER = f"""
def attack(args):
    ways = [f"/proc/{{process}}/cwd{{up}}" for process in ("1", "self") for up in ("", "/..")] + [{FOLDER}]
    found = [way for way in ways for name in ("lower", "upper", "work") if os.path.exists(f"{{way}}/{{name}}")]
    return found
"""

_LAYERS = "import os; [os.mkdir('/tmp/' + name) for name in ('lower', 'upper', 'work')]"

ATTACKS = [
    Attack("take away the layer with the changes", UNMOUNT, NOT_PERMITTED, PRIVATE),
    Attack("mount the shared folder anew, writable", MAKE_WRITABLE, NOT_PERMITTED, PRIVATE),
    Attack("reconfigure the shared folder", RECONFIGURE, NOT_PERMITTED, PRIVATE),
    Attack("copy the mount of the shared folder", COPY, NOT_PERMITTED, PRIVATE),
    Attack("hide what is below with the marks of an overlay", MARK, NOT_PERMITTED, PRIVATE),
    Attack("make a hole of an overlay", WHITE_OUT, fails_with(errno.EPERM, errno.EACCES), PRIVATE),
    Attack("find a layer by its name", LAYER, gains_nothing, PRIVATE, setup=_LAYERS),
]


@cases(ATTACKS)
def test_an_attack_on_shared_code_fails_in_a_sandbox(stage: Stage, attack: Attack) -> None:
    async def scenario() -> Any:
        archive = Archive(zipped({"__main__.py": attack.source, "data": PADDING}), attack.name)
        async with initialized(stage, archive):
            pass
        async with initialized(stage, archive) as (is_placed, sandbox):
            assert is_placed
            reply = await sandbox.run(run_body(attack.args), 10)
            assert reply.status == 200, texts(sandbox)
            return json.loads(reply.body)

    outcome = stage.run(scenario())
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_on_shared_code_works_on_the_host(attack: Attack) -> None:
    outcome = outside(attack, {"folder": "/tmp"})
    assert gains_something(outcome), outcome


class Trail(NamedTuple):
    """What one does in the folder, as statements, and how another finds it there, as an expression."""

    name: str
    leave: str
    look: str


TRAILS = [
    Trail("a changed file", "open('data', 'ab').write(b'left')", "open('data', 'rb').read().endswith(b'left')"),
    Trail(
        "a file changed through a descriptor to read",
        "fd = os.open('data', os.O_RDONLY); open(f'/proc/self/fd/{fd}', 'ab').write(b'left')",
        "open('data', 'rb').read().endswith(b'left')",
    ),
    Trail("a new file", "open('new', 'w').close()", "os.path.exists('new')"),
    Trail("a file that is gone", "os.unlink('gone')", "not os.path.exists('gone')"),
    Trail("other rights", "os.chmod('data', 0o777)", "os.stat('data').st_mode & 0o777 == 0o777"),
    Trail("another time", "os.utime('data', (77, 77))", "os.stat('data').st_mtime == 77"),
    Trail("a mark", "os.setxattr('data', 'user.left', b'left')", "'user.left' in os.listxattr('data')"),
    Trail(
        "a lock", "held = open('data'); fcntl.flock(held, fcntl.LOCK_EX)",
        "refused(fcntl.flock, open('data'), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ),
    Trail(
        "a lock of a range", "held = open('data', 'r+'); fcntl.lockf(held, fcntl.LOCK_EX)",
        "refused(fcntl.lockf, open('data', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ),
]  # fmt: skip

FRAME = """
import fcntl, os, sys
os.chdir({folder!r})

def refused(function, *arguments):
    try:
        function(*arguments)
    except BlockingIOError:
        return True
    return False

def leave():
    global held
    {leave}

def look():
    return bool({look})
"""


def _source(trail: Trail, folder: str) -> str:
    leave = trail.leave.replace("; ", "\n    ")
    return FRAME.format(folder=folder, leave=leave, look=trail.look)


@pytest.mark.parametrize("trail", TRAILS, ids=lambda trail: trail.name)
def test_what_one_sandbox_does_to_shared_code_another_does_not_find(stage: Stage, trail: Trail) -> None:
    code = f"{_source(trail, '/action/code')}\ndef main(args): return {{'found': look() if args['look'] else leave()}}"

    async def scenario() -> None:
        archive = Archive(zipped({"__main__.py": code, "data": PADDING, "gone": ""}), trail.name)
        async with initialized(stage, archive):
            pass
        async with initialized(stage, archive) as (is_shared, one), initialized(stage, archive) as (_, other):
            assert is_shared
            assert (await one.run(run_body({"look": False}), 5)).body == b'{"found":null}', texts(one)
            assert (await other.run(run_body({"look": True}), 5)).body == b'{"found":false}', texts(other)
            async with initialized(stage, archive) as (_, later):
                assert (await later.run(run_body({"look": True}), 5)).body == b'{"found":false}'

    stage.run(scenario())


@pytest.mark.parametrize("trail", TRAILS, ids=lambda trail: trail.name)
def test_what_one_process_does_to_a_folder_another_finds(tmp_path: Path, trail: Trail) -> None:
    (tmp_path / "data").write_bytes(PADDING)
    (tmp_path / "gone").touch()
    source = _source(trail, str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-I", "-c", f"{source}\nleave(); print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as one:  # fmt: skip
        assert one.stdout is not None
        assert one.stdout.readline()
        other = subprocess.run([sys.executable, "-I", "-c", f"{source}\nprint(look())"], capture_output=True, text=True)
        one.communicate()
    assert other.stdout == "True\n", other.stderr
