"""Attempts on the platform through the socket that joins it to a launcher, which an action can write to; and archives.

Beside each stands what a reader that trusts its launcher makes of the same bytes.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxTimeout
from tests.conformance.sandbox_stage import Stage, init_body, run_body, texts, what_is_there, zipped

FORGE = """
import array, json, os, socket, struct

def frame(value, status=200, number=0):
    body = json.dumps(value).encode()
    return struct.pack(">IHI", len(body), status, number) + body

def main(args):
    if args.get("attack"): exec(args["attack"])
    return {"real": args.get("n")}
"""

TWO_ANSWERS = "os.write(3, frame({'forged': 1}) + frame({'forged': 2})); import time; time.sleep(60)"
THREE_IN_PIECES = """
whole = frame({'forged': 1}) + frame({'forged': 2})
os.write(3, whole[:3])
os.write(3, whole[3:])
import time
time.sleep(60)
"""
ANSWER_FIRST = "os.write(3, frame({'forged': 1}))"
HUGE = "os.write(3, struct.pack('>IHI', 0xFFFFFFFF, 200, 0)); import time; time.sleep(60)"
NEVER_DONE = "os.write(3, struct.pack('>IHI', 1000, 200, 0) + b'{'); import time; time.sleep(60)"
GIVE_DESCRIPTORS = """
with socket.socket(fileno=os.dup(3)) as link:
    held = [os.open('/dev/null', 0) for _ in range(16)]
    body = frame({'forged': 1})
    link.sendmsg([body[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', held))])
    link.sendall(body[1:])
import time
time.sleep(60)
"""


class TrustingReader:
    """The platform's end as one would write it who trusts launchers: one frame is one answer."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.descriptors: list[int] = []

    def ask(self, kind: bytes, body: bytes) -> None:
        self.link.sendall(struct.pack(">IcI", len(body), kind, 0) + body)

    def answer(self) -> Any:
        length, _, _ = struct.unpack(">IHI", self.read(10))
        return json.loads(self.read(length)) if length else None

    def read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part, descriptors, _, _ = socket.recv_fds(self.link, min(length - len(data), 65536), 32)
            self.descriptors += descriptors
            if not part:
                raise EOFError
            data += part
        return data


LAUNCHER = f"""
{FORGE}
import sys
os.dup2(int(sys.argv[1]), 3)
while head := os.read(3, 9):
    length, _, _ = struct.unpack(">IBI", head)
    os.write(3, frame(main(json.loads(os.read(3, length))["value"])))
"""
"""The forging action in the plainest launcher that speaks in frames, without a sandbox."""


@contextmanager
def trusting() -> Iterator[TrustingReader]:
    ours, theirs = socket.socketpair()
    number = str(theirs.fileno())
    with (
        ours,
        subprocess.Popen([sys.executable, "-I", "-c", LAUNCHER, number], pass_fds=[theirs.fileno()]) as launcher,
    ):
        theirs.close()
        ours.settimeout(20)
        reader = TrustingReader(ours)
        try:
            yield reader
        finally:
            for descriptor in reader.descriptors:
                os.close(descriptor)
            launcher.kill()


@pytest.mark.parametrize("attack", [TWO_ANSWERS, THREE_IN_PIECES, HUGE])
def test_what_is_no_single_answer_ends_the_sandbox(stage: Stage, attack: str) -> None:
    async def scenario() -> None:
        async with stage.action(FORGE) as sandbox:
            with pytest.raises(SandboxDied, match="malformed"):
                await sandbox.run(run_body({"attack": attack}), 10)
            with pytest.raises(SandboxDied):
                await sandbox.run(run_body({"n": 2}), 10)

    stage.run(scenario())


@pytest.mark.parametrize("attack", [TWO_ANSWERS, THREE_IN_PIECES])
def test_a_trusting_reader_takes_the_early_answer_for_that_of_the_next_run(attack: str) -> None:
    with trusting() as reader:
        reader.ask(b"R", run_body({"attack": attack}))
        assert reader.answer() == {"forged": 1}
        reader.ask(b"R", run_body({"n": 2}))
        assert reader.answer() == {"forged": 2}


OVERLAPPING = "import asyncio" + FORGE.replace("def main", "async def main").replace(
    '    return {"real"', '    await asyncio.sleep(args.get("s", 60))\n    return {"real"'
)
FORGED_NUMBER = "os.write(3, frame({'forged': 1}, number=args['number']))"


@pytest.mark.parametrize("number", [pytest.param(77, id="of nobody"), pytest.param(6, id="of the next"), 0, 2**32 - 1])
def test_an_answer_with_a_number_that_nobody_waits_for_ends_all_that_is_in_flight(stage: Stage, number: int) -> None:
    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            assert (await sandbox.init(init_body(OVERLAPPING), 20, 10)).status == 200
            begun = [asyncio.create_task(sandbox.run(run_body(), 10, in_flight)) for in_flight in (3, 4)]
            with pytest.raises(SandboxDied, match="malformed"):
                await sandbox.run(run_body({"attack": FORGED_NUMBER, "number": number}), 10, 5)
            for run in begun:
                with pytest.raises(SandboxDied, match="malformed"):
                    await run

    stage.run(scenario())


def test_a_trusting_reader_takes_an_answer_whatever_its_number() -> None:
    with trusting() as reader:
        reader.ask(b"R", run_body({"attack": FORGED_NUMBER, "number": 77}))
        assert reader.answer() == {"forged": 1}


def test_an_answer_in_the_name_of_an_overlapping_run_costs_the_sandbox_when_the_real_one_comes(stage: Stage) -> None:
    """They share a process, so one can speak for the other: it is the same code."""

    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            assert (await sandbox.init(init_body(OVERLAPPING), 20, 10)).status == 200
            other = asyncio.create_task(sandbox.run(run_body({"s": 0.2}), 10, 1))
            with pytest.raises(SandboxDied, match="malformed"):
                await sandbox.run(run_body({"attack": FORGED_NUMBER, "number": 1}), 10, 2)
            assert json.loads((await other).body) == {"forged": 1}

    stage.run(scenario())


def test_the_real_answer_that_follows_a_forged_one_is_nobody_elses(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action(FORGE + "\nimport threading") as sandbox:
            attack = ANSWER_FIRST + "; threading.Timer(0, lambda: print('sent')).start()"
            reply = await sandbox.run(run_body({"attack": attack, "n": 1}), 10)
            assert json.loads(reply.body) == {"forged": 1}
            for _ in range(1000):
                if "sent" in texts(sandbox) and not sandbox.is_alive:
                    break
                await asyncio.sleep(0.005)
            with pytest.raises(SandboxDied, match="malformed"):
                await sandbox.run(run_body({"n": 2}), 10)

    stage.run(scenario())


def test_a_trusting_reader_takes_the_late_answer_for_that_of_the_next_run() -> None:
    with trusting() as reader:
        reader.ask(b"R", run_body({"attack": ANSWER_FIRST, "n": 1}))
        assert reader.answer() == {"forged": 1}
        reader.ask(b"R", run_body({"n": 2}))
        assert reader.answer() == {"real": 1}


def test_an_answer_that_never_ends_is_given_up_at_the_time_limit(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action(FORGE) as sandbox:
            with pytest.raises(SandboxTimeout):
                await sandbox.run(run_body({"attack": NEVER_DONE}), 0.5)

    stage.run(scenario())


@pytest.mark.parametrize("attack", [NEVER_DONE, HUGE])
def test_a_trusting_reader_waits_for_the_rest_for_ever(attack: str) -> None:
    with trusting() as reader:
        reader.ask(b"R", run_body({"attack": attack}))
        reader.link.settimeout(1)
        with pytest.raises(TimeoutError):
            reader.answer()


def test_descriptors_cannot_be_put_into_the_platform(stage: Stage) -> None:
    async def scenario() -> None:
        before = what_is_there()
        async with stage.action(FORGE) as sandbox, stage.action(FORGE) as other:
            held = len(os.listdir("/proc/self/fd"))
            reply = await sandbox.run(run_body({"attack": GIVE_DESCRIPTORS}), 10)
            assert json.loads(reply.body) == {"forged": 1}
            assert len(os.listdir("/proc/self/fd")) == held
            assert json.loads((await other.run(run_body({"n": 3}), 10)).body) == {"real": 3}
        assert what_is_there() == before

    stage.run(scenario())


def test_a_reader_that_accepts_descriptors_gets_them() -> None:
    with trusting() as reader:
        reader.ask(b"R", run_body({"attack": GIVE_DESCRIPTORS}))
        assert reader.answer() == {"forged": 1}
        assert len(reader.descriptors) == 16


CHILD = {
    "python": """
import subprocess
def main(args):
    done = subprocess.run(["/bin/sh", "-c", "printf x >&3"], stderr=subprocess.PIPE, close_fds=False)
    return {"code": done.returncode}
""",
    "nodejs": """
const child = require('child_process');
const main = () => ({code: child.spawnSync('/bin/sh', ['-c', 'printf x >&3'], {stdio: 'ignore'}).status});
""",
}


@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_a_program_that_an_action_starts_has_no_hold_of_the_socket(stage: Stage, language: str) -> None:
    kind = next((kind for kind in stage.driver.kinds if kind.startswith(language)), "")
    if not kind:
        pytest.skip("there is no `node` on the PATH")
    assert stage.run(stage.result(CHILD[language], kind=kind))["code"] != 0


def test_a_program_that_is_given_the_socket_can_write_to_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        program = f"import os; os.dup2({theirs.fileno()}, 3); os.execv('/bin/sh', ['sh', '-c', 'printf x >&3'])"
        subprocess.run([sys.executable, "-I", "-c", program], pass_fds=[theirs.fileno()], check=True)
        assert ours.recv(1) == b"x"


ESCAPES = ["../tmp/escaped", "a/../../tmp/escaped", "/tmp/escaped", "./../tmp/escaped", "a/./../../tmp/escaped"]
LOOKS = {
    "python": ("__main__.py", "import os\ndef main(args): return {'escaped': os.path.exists('/tmp/escaped')}"),
    "nodejs": ("index.js", "exports.main = () => ({escaped: require('fs').existsSync('/tmp/escaped')})"),
}


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_no_entry_of_an_archive_leaves_the_actions_folder(stage: Stage, language: str, name: str) -> None:
    kind = next((kind for kind in stage.driver.kinds if kind.startswith(language)), "")
    if not kind:
        pytest.skip("there is no `node` on the PATH")

    async def scenario() -> Any:
        async with stage.sandbox(kind) as sandbox:
            init = await sandbox.init(init_body(zipped({name: "escaped", **dict([LOOKS[language]])})), 20)
            return init.status if init.status != 200 else json.loads((await sandbox.run(run_body(), 20)).body)

    assert stage.run(scenario()) in (502, {"escaped": False})


@pytest.mark.parametrize("name", ESCAPES)
def test_an_extraction_that_trusts_names_does_leave_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "action"
    for path in (folder / "a", tmp_path / "tmp"):
        path.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(zipped({name: "escaped"}))) as archive:
        for entry in archive.infolist():
            target = tmp_path / entry.filename[1:] if entry.filename.startswith("/") else folder / entry.filename
            target.write_bytes(archive.read(entry))
    assert (tmp_path / "tmp" / "escaped").read_text() == "escaped"
