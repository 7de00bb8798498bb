"""The second wall: what it alone stops, and what goes on working behind it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from sabayon.sandbox.native import landlock
from tests.conformance.sandbox_stage import PYTHON, Stage, run_body, zipped
from tests.conformance.shared_archive import PADDING, Archive, initialized


@pytest.fixture(autouse=True)
def kernel() -> None:
    if landlock.version() < landlock.LEAST:
        pytest.skip("this kernel has no Landlock")


WRITE = """
def main(args):
    try:
        with open(args["path"], "w") as file: file.write("0")
    except OSError as error:
        return {"errno": error.errno}
    return {"errno": 0}
"""


@pytest.mark.parametrize("path", ["/proc/self/oom_score_adj", "/proc/self/comm", "/proc/self/coredump_filter"])
def test_what_mounts_and_users_would_let_it_write_is_still_refused(stage: Stage, path: str) -> None:
    assert stage.run(stage.result(WRITE, {"path": path})) == {"errno": errno.EACCES}


def test_the_domain_ends_nameless_sockets_and_signals_where_the_kernel_knows_how() -> None:
    """Inside of one network and pid namespace, in which nothing else keeps them apart."""
    if landlock.version() < 6:
        pytest.skip("this kernel's Landlock has no scopes")
    program = """
import os, signal, socket, sys
from sabayon.sandbox.native import landlock, linux
server = socket.socket(socket.AF_UNIX)
server.bind("\\0server"); server.listen()
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
victim = os.fork() or signal.pause()
if "confined" in sys.argv: landlock.Domain(("/tmp",)).enter()
def refused(work):
    try: work()
    except PermissionError: return True
    return False
print(refused(lambda: socket.socket(socket.AF_UNIX).connect("\\0server")), refused(lambda: os.kill(victim, 0)))
os._exit(0)
"""
    assert _answer(program) == "False False"
    assert _answer(program, "confined") == "True True"


def _answer(program: str, *arguments: str) -> str:
    command = ["unshare", "--pid", "--net", "--fork", "--kill-child", sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


USUAL = {
    "a file in another folder": "os.mkdir('/tmp/a'); open('/tmp/x', 'w').close(); os.rename('/tmp/x', '/tmp/a/x')",
    "a hard link": "open('/tmp/x', 'w').close(); os.mkdir('/tmp/a'); os.link('/tmp/x', '/tmp/a/y')",
    "a symbolic link": "os.symlink('/usr', '/action/code/link')",
    "a shorter file": "open('/tmp/x', 'w').write('abc'); os.truncate('/tmp/x', 1)",
    "a socket with a name": "import socket; socket.socket(socket.AF_UNIX).bind('/tmp/socket')",
    "a nameless socket": "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0a'); s.listen(); "
    "socket.socket(socket.AF_UNIX).connect('\\0a')",
    "a named pipe": "os.mkfifo('/tmp/pipe')",
    "shared memory": "import multiprocessing.shared_memory as m; m.SharedMemory(create=True, size=4096).unlink()",
    "a semaphore": "import multiprocessing; multiprocessing.Lock()",
    "nothing to write to": "open('/dev/null', 'w').write('x')",
    "a file in memory": "open(f'/proc/self/fd/{os.memfd_create(\"a\")}', 'w').write('x')",
    "a program": "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo > /tmp/x && cat /tmp/x'], check=True)",
    "a signal to a child": "import subprocess; p = subprocess.Popen(['/bin/sleep', '60']); p.kill(); p.wait()",
}


@pytest.mark.parametrize("what", USUAL)
def test_what_actions_usually_do_goes_on_working(stage: Stage, what: str) -> None:
    code = f"import os\ndef main(args):\n    {USUAL[what]}\n    return {{'done': True}}"
    assert stage.run(stage.result(code)) == {"done": True}


def test_programs_in_other_languages_are_behind_it_too(stage: Stage, nodejs: str) -> None:
    code = """
const fs = require('fs');
function main() {
  fs.writeFileSync('/tmp/x', 'x');
  try { fs.writeFileSync('/proc/self/oom_score_adj', '500'); } catch (error) { return { code: error.code }; }
}
"""
    assert stage.run(stage.result(code, kind=nodejs)) == {"code": "EACCES"}


SHARED = {
    "python": {
        "__main__.py": """
def code(path):
    try:
        with open(path, "w") as file: file.write("0")
    except OSError as error:
        return error.errno
    return 0
def main(args): return [code(path) for path in args["paths"]]
""",
        "data": PADDING,
    },
    "nodejs": {
        "index.js": """
const fs = require('fs');
const code = (path) => {
  try { fs.writeFileSync(path, '0'); } catch (error) { return -error.errno; }
  return 0;
};
exports.main = (args) => args.paths.map(code);
""",
        "data": PADDING,
    },
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only sandboxes of root share code")
@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_code_that_was_unpacked_for_all_is_behind_it_and_writes_in_its_folder(
    stage: Stage, nodejs: str, language: str
) -> None:
    paths = ["/proc/self/oom_score_adj", "/action/x", "/action/code/data", "/action/code/x"]

    async def scenario() -> None:
        kind = PYTHON if language == "python" else nodejs
        archive = Archive(zipped(SHARED[language]), f"landlock {language}")
        for expected in (False, True):
            async with initialized(stage, archive, kind) as (is_placed, sandbox):
                assert is_placed is expected
                found = json.loads((await sandbox.run(run_body({"paths": paths}), 10)).body)
                assert found == [errno.EACCES, errno.EROFS, 0, 0]

    stage.run(scenario())
