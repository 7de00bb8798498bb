"""Archives that sandboxes share: nobody can tell but by the time it takes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sabayon.sandbox.base import SandboxSpec
from tests.acceptance.running import await_value
from tests.conformance.sandbox_stage import (
    PYTHON,
    Stage,
    error_of,
    held_processes,
    init_body,
    run_body,
    texts,
    what_is_there,
    zipped,
)
from tests.conformance.shared_archive import PADDING, Archive, initialized

pytestmark = pytest.mark.usefixtures("as_root")

MB = 1024 * 1024
PYTHON_LOOK = """
import os, sys
sys.path.append("/action/code/other")
import a.deep

def main(args):
    found = {}
    for folder, _, names in os.walk("."):
        for name in names:
            path = os.path.join(folder, name)
            entry = os.stat(path)
            found[path] = [oct(entry.st_mode), entry.st_uid == os.getuid(), entry.st_gid == os.getgid(), entry.st_size]
    compiled = [path for path in found if "__pycache__" in path]
    for path in compiled: del found[path]
    folder = os.stat("/action/code")
    return {
        "found": found, "cwd": os.getcwd(), "file": __file__, "module": a.deep.__file__,
        "folder": [oct(folder.st_mode), folder.st_uid == os.getuid()], "compiled": bool(compiled),
    }
"""
NODE_LOOK = """
const fs = require('fs');
exports.main = () => {
  const found = {};
  for (const name of fs.readdirSync('.', { recursive: true })) {
    const entry = fs.lstatSync(name);
    if (!entry.isDirectory()) found[name] = [entry.mode, entry.uid === process.getuid(), entry.size];
  }
  return { found, cwd: process.cwd(), file: __filename, module: require('a/deep').file };
};
"""
PYTHON_FILES = {"__main__.py": PYTHON_LOOK, "a/__init__.py": "", "a/deep.py": "", "a/data": PADDING}
NODE_FILES = {
    "index.js": NODE_LOOK,
    "node_modules/a/deep.js": "exports.file = __filename;",
    "node_modules/a/data": PADDING,
}

WRITE = """
import os

def main(args):
    paths = ["/action/code/kept", "/action/code/new"]
    seen = [open(path).read() if os.path.exists(path) else "" for path in paths]
    with open("/action/code/kept", "a") as file: file.write("changed")
    with open("/action/code/new", "w") as file: file.write("new")
    os.chmod("/action/code/kept", 0o755)
    os.unlink("/action/code/gone")
    os.rename("/action/code/folder/moved", "/action/code/folder/there")
    return {"seen": seen}
"""
WRITE_FILES = {"__main__.py": WRITE, "kept": "as sent", "gone": "", "folder/moved": "", "data": PADDING}


async def answers(stage: Stage, archive: Archive, kind: str = PYTHON, number: int = 3) -> list[tuple[bool, Any]]:
    """Of sandboxes one after the other: whether the archive was shared, and the result of a run."""
    found = []
    for _ in range(number):
        async with initialized(stage, archive, kind) as (is_placed, sandbox):
            reply = await sandbox.run(run_body(), 10)
            assert reply.status == 200, (reply, texts(sandbox))
            found.append((is_placed, json.loads(reply.body)))
    return found


@pytest.fixture
def small() -> Iterator[Stage]:
    """A driver that has room for four archives of 1.8 MB."""
    stage = Stage(code_cache_bytes=8 * MB)
    yield stage
    stage.close()


def test_python_code_finds_its_folder_as_if_it_had_unpacked_it(stage: Stage) -> None:
    (first, own), (second, shown), (third, again) = stage.run(answers(stage, Archive(zipped(PYTHON_FILES), "python")))
    assert (first, second, third) == (False, True, True)
    assert (own.pop("compiled"), shown.pop("compiled"), again.pop("compiled")) == (False, True, True)
    assert own == shown == again
    assert len(own["found"]) == len(PYTHON_FILES)


def test_javascript_finds_its_folder_as_if_it_had_unpacked_it(stage: Stage, nodejs: str) -> None:
    archive = Archive(zipped(NODE_FILES, links={"node_modules/.bin/deep": "../a/deep.js"}), "nodejs")
    (first, own), (second, shown), (third, again) = stage.run(answers(stage, archive, nodejs))
    assert (first, second, third) == (False, True, True)
    assert own == shown == again
    assert len(own["found"]) == len(NODE_FILES) + 1


def test_what_code_changes_in_its_folder_is_its_own(stage: Stage) -> None:
    outcomes = stage.run(answers(stage, Archive(zipped(WRITE_FILES), "write"), number=4))
    assert outcomes == [(is_placed, {"seen": ["as sent", ""]}) for is_placed in (False, True, True, True)]


def test_two_sandboxes_at_a_time_see_nothing_of_each_others_changes(stage: Stage) -> None:
    async def scenario() -> None:
        archive = Archive(zipped(WRITE_FILES), "beside")
        await answers(stage, archive, number=2)
        async with initialized(stage, archive) as (_, one), initialized(stage, archive) as (_, other):
            for sandbox in (one, other):
                assert json.loads((await sandbox.run(run_body(), 5)).body) == {"seen": ["as sent", ""]}

    stage.run(scenario())


MEETING = {
    "python": {
        "__main__.py": """
import asyncio
door = asyncio.Event()
async def main(args):
    if args["waits"]: await door.wait()
    door.set()
    return args
""",
        "data": PADDING,
    },
    "nodejs": {
        "index.js": """
let open;
const door = new Promise((done) => { open = done; });
exports.main = async (args) => {
  if (args.waits) await door;
  open();
  return args;
};
""",
        "data": PADDING,
    },
}


@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_runs_of_a_shared_archive_may_overlap(stage: Stage, nodejs: str, language: str) -> None:
    async def scenario() -> None:
        kind = PYTHON if language == "python" else nodejs
        archive = Archive(zipped(MEETING[language]), f"meeting {language}")
        for expected in (False, True):
            async with initialized(stage, archive, kind, concurrency=2) as (is_placed, sandbox):
                assert (is_placed, sandbox.is_shared) == (expected, True)
                first = asyncio.create_task(sandbox.run(run_body({"waits": True}), 10, 1))
                second = await sandbox.run(run_body({"waits": False}), 10, 2)
                assert [reply.body for reply in (await first, second)] == [b'{"waits":true}', b'{"waits":false}']

    stage.run(scenario())


def test_runs_of_a_shared_archive_that_gives_no_way_are_said_not_to_overlap(stage: Stage) -> None:
    async def scenario() -> None:
        archive = Archive(zipped({"__main__.py": "def main(args): return args", "data": PADDING}), "no way")
        for expected in (False, True):
            async with initialized(stage, archive, concurrency=2) as (is_placed, sandbox):
                assert (is_placed, sandbox.is_shared) == (expected, False)
                assert (await sandbox.run(run_body({"n": 1}), 10, 1)).body == b'{"n":1}'

    stage.run(scenario())


def test_a_shared_archive_finds_its_dependency_set(tmp_path: Path) -> None:
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours" / "red.py").write_text("N = 1")
    code = (
        "import sys; BEFORE = 'red' in sys.modules\nimport red\ndef main(args): return {'n': red.N, 'before': BEFORE}"
    )
    stage = Stage(dependency_sets=tmp_path)

    async def scenario() -> None:
        archive = Archive(zipped({"__main__.py": code, "data": PADDING}))
        for expected in (False, True):
            async with initialized(stage, archive, dependencies="colours") as (is_placed, sandbox):
                assert is_placed is expected
                assert json.loads((await sandbox.run(run_body(), 10)).body) == {"n": 1, "before": True}

    stage.run(scenario())
    stage.close()


def test_a_traceback_quotes_the_line_of_a_compiled_module(stage: Stage) -> None:
    async def scenario() -> None:
        files = {
            "__main__.py": "import helper\ndef main(args): return helper.fail()",
            "helper.py": "def fail():\n    raise ValueError('no')",
            "data": PADDING,
        }
        archive = Archive(zipped(files), "traceback")
        for expected in (False, True):
            async with initialized(stage, archive) as (is_placed, sandbox):
                assert is_placed is expected
                assert error_of(await sandbox.run(run_body(), 5)) == "no"
                lines = texts(sandbox, "stderr")
                assert '  File "/action/code/helper.py", line 2, in fail' in lines
                assert "    raise ValueError('no')" in lines

    stage.run(scenario())


def test_a_virtual_environment_is_activated(stage: Stage) -> None:
    activate = "import sys, os; sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), 'lib'))"
    files = {
        "__main__.py": "import inner\ndef main(args): return {'n': inner.N}",
        "virtualenv/bin/activate_this.py": activate,
        "virtualenv/lib/inner.py": "N = 1",
        "data": PADDING,
    }
    assert stage.run(answers(stage, Archive(zipped(files), "virtualenv"), number=2)) == [
        (False, {"n": 1}),
        (True, {"n": 1}),
    ]


def test_a_module_that_cannot_be_compiled_fails_where_it_is_imported(stage: Stage) -> None:
    code = (
        "def main(args):\n  try:\n    import broken\n  except SyntaxError as error:\n    return {'error': str(error)}"
    )
    files = {"__main__.py": code, "broken.py": "def (", "data": PADDING}
    (first, own), (second, shown) = stage.run(answers(stage, Archive(zipped(files), "broken"), number=2))
    assert (first, second) == (False, True)
    assert own == shown == {"error": "invalid syntax (broken.py, line 1)"}


def test_a_module_that_the_action_rewrites_is_imported_as_it_is_then(stage: Stage) -> None:
    code = """
def main(args):
    with open("/action/code/conf.py", "w") as file:
        file.write("N = 2")
    import conf
    return {"n": conf.N}
"""
    files = {"__main__.py": code, "conf.py": "N = 1", "data": PADDING}
    outcomes = stage.run(answers(stage, Archive(zipped(files), "rewriting")))
    assert outcomes == [(is_placed, {"n": 2}) for is_placed in (False, True, True)]


@pytest.mark.parametrize(
    "archive",
    [
        PADDING,
        zipped({"../../tmp/x": PADDING, "__main__.py": "", "index.js": ""}),
        zipped({"/tmp/x": PADDING, "__main__.py": "", "index.js": ""}),
        zipped({"other": PADDING}),
        zipped({"__main__.py": "", "index.js": "", "x": bytes(300 * MB)}),
        zipped({"__main__.py": "1/0", "index.js": "throw new Error('no')", "data": PADDING}),
        zipped({"__main__.py": "1", "data": PADDING, "index.js": ""}, links={"shadow": "/etc/shadow"}),
        zipped({"__main__.py": "", "index.js": "", **{f"{n}": "" for n in range(66_000)}}),
    ],
    ids=["no archive", "a path up", "an absolute path", "no main", "a bomb", "a failing main", "a link", "many files"],
)
@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_what_is_wrong_with_an_archive_is_said_as_without_sharing(
    stage: Stage, nodejs: str, language: str, archive: bytes
) -> None:
    async def scenario() -> None:
        kind = PYTHON if language == "python" else nodejs
        offered = Archive(archive, f"wrong {len(archive)}")
        heard = []
        for _ in range(2):
            async with stage.sandbox(kind, memory_mb=512) as sandbox:
                reply = (await offered.into(sandbox))[1]
                heard.append((reply.status, reply.body, texts(sandbox)))
        async with stage.sandbox(kind, memory_mb=512) as sandbox:
            reply = await sandbox.init(init_body(archive), 20)
            assert reply.status == 502
            assert heard == [(reply.status, reply.body, texts(sandbox))] * 2

    stage.run(scenario())


def test_who_comes_while_an_archive_is_unpacked_waits_for_it(stage: Stage) -> None:
    async def scenario() -> None:
        archive = Archive(zipped(PYTHON_FILES, links={"unlike": "others"}), "together")
        sandboxes = [await stage.driver.create(SandboxSpec(PYTHON, 128)) for _ in range(6)]
        outcomes = await asyncio.gather(*(sandbox.place(archive.code) for sandbox in sandboxes))
        assert sorted(outcomes) == [False] + [True] * 5
        assert archive.reads <= 2
        for sandbox in sandboxes:
            await sandbox.destroy("the test is over")

    stage.run(scenario())


def test_an_archive_that_is_known_is_not_read_again_and_another_version_of_it_is_not_unpacked_again(
    stage: Stage,
) -> None:
    async def scenario() -> None:
        content = zipped(PYTHON_FILES, links={"known": "others"})
        first, second = Archive(content, "known@1"), Archive(content, "known@2")
        await answers(stage, first, number=2)
        known = first.reads
        assert [is_placed for is_placed, _ in await answers(stage, first)] == [True] * 3
        assert first.reads == known
        assert [is_placed for is_placed, _ in await answers(stage, second)] == [True] * 3
        assert second.reads == 1

    stage.run(scenario())


def test_a_small_archive_is_not_worth_sharing(stage: Stage) -> None:
    archive = Archive(zipped({"__main__.py": "def main(args): return {}"}), "small")
    assert stage.run(answers(stage, archive)) == [(False, {})] * 3


def test_the_longest_unused_archive_makes_room_and_one_in_use_does_not(small: Stage) -> None:
    def archive(number: int) -> Archive:
        files = {"__main__.py": f"def main(args): return {{'n': {number}}}", "data": os.urandom(9 * MB // 5)}
        return Archive(zipped(files), f"room {number}")

    async def scenario() -> None:
        one, two, *others = (archive(number) for number in range(1, 6))
        assert await answers(small, one, number=2) == [(False, {"n": 1}), (True, {"n": 1})]
        async with initialized(small, one) as (_, holder):
            assert [is_placed for is_placed, _ in await answers(small, two, number=2)] == [False, True]
            for other in others:
                assert [is_placed for is_placed, _ in await answers(small, other, number=2)] == [False, True]
            assert [is_placed for is_placed, _ in await answers(small, one, number=1)] == [True]
            assert [is_placed for is_placed, _ in await answers(small, two, number=2)] == [False, True]
            assert (await holder.run(run_body(), 5)).body == b'{"n":1}'

    small.run(scenario())


@pytest.mark.parametrize(
    "files",
    [{"data": os.urandom(3 * MB)}, {f"empty/{number}": "" for number in range(1500)}],
    ids=["large", "of empty files"],
)
def test_an_archive_that_would_take_too_much_of_the_cache_is_not_shared(
    small: Stage, files: dict[str, str | bytes]
) -> None:
    archive = Archive(zipped({"__main__.py": "def main(args): return {}", "padding": PADDING, **files}))
    assert small.run(answers(small, archive, number=2)) == [(False, {})] * 2


def test_no_sandbox_sees_the_tree_of_another_archive_nor_the_layers_of_its_own(stage: Stage) -> None:
    code = """
def main(args):
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    return {"points": sorted(mount[4] for mount in mounts), "action": [m[5] for m in mounts if m[4] == "/action/code"]}
"""

    async def scenario() -> None:
        archive = Archive(zipped({"__main__.py": code, "data": PADDING}), "mounts")
        (_, own), (is_placed, shown) = await answers(stage, archive, number=2)
        assert is_placed
        assert shown["points"] == sorted([*own["points"], "/action/code"])
        assert all({"nosuid", "nodev"} <= set(flags.split(",")) for flags in shown["action"])

    stage.run(scenario())


def test_shared_code_leaves_nothing_behind(stage: Stage) -> None:
    stage.run(stage.result("def main(args): return {}"))  # now all is open that stays open for good
    before = what_is_there()
    other = Stage()
    other.run(answers(other, Archive(zipped(PYTHON_FILES)), number=2))
    assert what_is_there().mounts == before.mounts
    other.close()
    after = what_is_there()
    assert (after.cgroups, after.processes, after.mounts) == (before.cgroups, before.processes, before.mounts)
    assert after.open_files <= before.open_files


def test_a_driver_that_is_closed_while_it_unpacks_leaves_nothing_behind() -> None:
    Stage().close()  # now all is open that stays open for good
    before = what_is_there()
    stage = Stage()

    async def scenario() -> None:
        slow_to_compile = {f"m{n}.py": "x = 1\n" * 5000 for n in range(200)}
        archive = Archive(zipped({"__main__.py": "", "data": PADDING, **slow_to_compile}))
        first, second = [await stage.driver.create(SandboxSpec(PYTHON, 128)) for _ in range(2)]
        assert not await first.place(archive.code)
        without_builder = len(held_processes())
        waiting = asyncio.create_task(second.place(archive.code))
        await asyncio.to_thread(await_value, lambda: len(held_processes()) > without_builder)
        closing = asyncio.create_task(stage.driver.aclose())
        assert not await waiting
        await closing

    stage.run(scenario())
    stage.close()
    after = what_is_there()
    assert (after.cgroups, after.processes, after.mounts) == (before.cgroups, before.processes, before.mounts)
    assert after.open_files <= before.open_files
