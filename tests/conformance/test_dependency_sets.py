"""Sets of packages that an action finds imported, each in a zygote of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sabayon.runtimes.manifest import find_interpreters
from sabayon.sandbox.base import DependenciesUnusable, Egress, SandboxSpec, SandboxUnavailable
from sabayon.sandbox.native.dependencies import WHERE, SetZygotes, find_set
from sabayon.sandbox.native.egress import started_plumbing
from sabayon.sandbox.native.keeper import ZygoteKeeper
from tests.acceptance.running import await_value
from tests.conformance.sandbox_stage import PYTHON, Stage, held_processes, is_running

LOOK = """
import sys
BEFORE = {name: name in sys.modules for name in ("colours", "sizes", "broken")}
import colours
def main(args):
    return {"before": BEFORE, "red": colours.RED, "file": colours.__file__, "imported_in": colours.PID}
"""


def write_set(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


COLOURS = "import os\nRED = '#f00'\nPID = os.getpid()\n"
BUSY = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
SETS = {
    "plain": {"colours.py": COLOURS, "sizes/__init__.py": "", "broken.py": "import nowhere", "_c.py": "1/0"},
    "chosen": {"colours.py": COLOURS, "sizes.py": "", "preload.txt": "# the useful one\nsizes\n\n"},
    "wrong": {"preload.txt": "nowhere\n"},
    "threads": {"busy.py": BUSY},
    "company": {"helper.py": "import os\nos.posix_spawn('/bin/sh', ['sh', '-c', 'sleep 60 & exit'], {})"},
    "curious": {
        "curious.py": """
import ctypes, os, socket, subprocess
def attempt(work):
    try: return repr(work())
    except OSError as error: return type(error).__name__
FOUND = {
    "files": [path for path in ("/home", "/var", "/etc/shadow") if os.path.exists(path)],
    "network": attempt(lambda: socket.create_connection(("127.0.0.1", 1), 1)),
    "chown": attempt(lambda: os.chown("/tmp", 1, 1)),
    "program": subprocess.getoutput("chown 1:1 /tmp 2>/dev/null || grep Cap /proc/self/status"),
    "environment": sorted(os.environ),
    "write": attempt(lambda: open("/tmp/cache", "w").close()),
}
""",
    },
    "drawn": {
        "drawn.py": "import random, secrets, ssl, tempfile, uuid\n"
        "random.random(), secrets.token_hex(), ssl.RAND_bytes(8), tempfile.mktemp(), uuid.getnode(), uuid.uuid1()\n"
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("sets")
    for name, files in SETS.items():
        write_set(found / name, files)
    return found


@pytest.fixture(scope="module")
def sets(folder: Path) -> Iterator[Stage]:
    stage = Stage(dependency_sets=folder)
    yield stage
    stage.close()


def test_an_action_finds_the_modules_of_its_set_imported_already(sets: Stage) -> None:
    found = sets.run(sets.result(LOOK, dependencies="plain"))
    assert found["before"] == {"colours": True, "sizes": True, "broken": False}
    assert (found["red"], found["file"]) == ("#f00", "/dependencies/colours.py")


def test_of_a_set_that_chooses_only_what_is_chosen_is_imported_before(sets: Stage) -> None:
    found = sets.run(sets.result(LOOK, dependencies="chosen"))
    assert found["before"] == {"colours": False, "sizes": True, "broken": False}


def test_an_action_without_a_set_sees_nothing_of_any(sets: Stage) -> None:
    code = (
        "import os, sys\ndef main(args): return {'seen': [os.path.exists('/dependencies'), 'colours' in sys.modules]}"
    )
    assert sets.run(sets.result(code)) == {"seen": [False, False]}


def test_a_set_cannot_be_written_to_and_other_sets_are_out_of_sight(sets: Stage, folder: Path) -> None:
    code = """
import os
def main(args):
    try: open("/dependencies/x", "w")
    except OSError as error: return {"refused": error.errno, "host": os.path.exists(args["folder"])}
"""
    found = sets.run(sets.result(code, {"folder": str(folder)}, dependencies="plain"))
    assert found["refused"] in (13, 30)
    assert not found["host"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "missing",
            "no dependency set 'missing'. Those of this platform: "
            "chosen, company, curious, drawn, plain, threads, wrong",
        ),
        ("../plain", "no dependency set '../plain'"),
        ("wrong", "the module 'nowhere' cannot be imported: ModuleNotFoundError"),
        ("threads", "the module 'busy' starts threads when it is imported"),
        ("company", "the module 'helper' leaves processes running when it is imported"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_with_the_reason(sets: Stage, name: str, text: str) -> None:
    before = held_processes()
    with pytest.raises(DependenciesUnusable, match=text.replace(".", r"\.")):
        sets.run(sets.driver.create(SandboxSpec(PYTHON, 128, dependencies=name)))
    assert held_processes() <= before


def test_a_runtime_that_cannot_have_sets_says_so(sets: Stage, nodejs: str) -> None:
    with pytest.raises(DependenciesUnusable, match="for actions in Python"):
        sets.run(sets.driver.create(SandboxSpec(nodejs, 128, dependencies="plain")))


def test_what_a_module_does_while_it_is_imported_is_confined(sets: Stage) -> None:
    code = "import curious, os\ndef main(args): return {**curious.FOUND, 'left': os.listdir('/tmp')}"
    found = sets.run(sets.result(code, dependencies="curious"))
    assert found["files"] == []
    assert found["network"] == "OSError"
    assert found["chown"] == ("OSError" if os.geteuid() else "PermissionError")  # an ordinary user's zygote knows no 1
    assert {int(line.split()[1], 16) for line in found["program"].splitlines()} == {0}, found["program"]
    assert set(found["environment"]) <= {
        "PATH", "HOME", "LANG", "__OW_API_HOST", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    }  # fmt: skip
    assert (found["write"], found["left"]) == ("None", [])


def test_the_sandbox_of_a_set_is_no_less_confined(sets: Stage) -> None:
    code = """
import os
def main(args):
    with open("/proc/self/status") as file:
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {"status": status, "environment": sorted(os.environ)}
"""
    found = sets.run(sets.result(code, dependencies="plain"))
    assert {int(found["status"][f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (found["status"]["NoNewPrivs"], found["status"]["Seccomp"]) == ("1", "2")
    assert set(found["environment"]) <= {"PATH", "HOME", "LANG", "__OW_API_HOST"}


DRAWS = {
    "random": "random.getrandbits(64)",
    "secrets": "secrets.randbits(64)",
    "OpenSSL": "ssl.RAND_bytes(8).hex()",
    "a name for a temporary file": "tempfile.mktemp()",
    "the node of a uuid": "uuid.getnode()",
    "a uuid": "str(uuid.uuid1())",
}


@pytest.mark.parametrize("draw", DRAWS)
def test_what_has_been_drawn_from_while_it_was_imported_is_drawn_from_afresh_in_each_sandbox(
    sets: Stage, draw: str
) -> None:
    code = f"import drawn, random, secrets, ssl, tempfile, uuid\ndef main(args): return {{'drawn': {DRAWS[draw]}}}"
    drawn = [sets.run(sets.result(code, dependencies="drawn"))["drawn"] for _ in range(3)]
    assert len(set(drawn)) == 3


@pytest.mark.usefixtures("as_root")
def test_a_sandbox_of_a_set_that_does_not_start_leaves_the_zygote_to_others(sets: Stage) -> None:
    sets.run(sets.result(LOOK, dependencies="plain"))
    with pytest.raises(SandboxUnavailable):
        sets.run(sets.driver.create(SandboxSpec(PYTHON, 0, dependencies="plain")))
    before = held_processes()
    assert sets.run(sets.result(LOOK, dependencies="plain"))["red"] == "#f00"
    assert held_processes() == before


def test_a_set_that_has_changed_is_as_it_is_now_for_new_sandboxes_and_as_it_was_for_old_ones(tmp_path: Path) -> None:
    write_set(tmp_path / "changing", {"colours.py": COLOURS})
    stage = Stage(dependency_sets=tmp_path)
    code = "import colours\ndef main(args): return {'red': colours.RED}"

    async def scenario() -> list[Any]:
        async with stage.action(code, dependencies="changing") as old:
            write_set(tmp_path / "changing", {"colours.py": COLOURS.replace("#f00", "#e00"), "new.py": ""})
            new = await stage.result(code, dependencies="changing")
            return [(await old.run(b"{}", 5)).body, new]

    assert stage.run(scenario()) == [b'{"red":"#f00"}', {"red": "#e00"}]
    stage.close()


def test_a_set_may_be_a_symbolic_link_that_is_switched(tmp_path: Path) -> None:
    for version, colour in (("v6", "#600"), ("v7", "#700")):
        write_set(tmp_path / "versions" / version, {"colours.py": COLOURS.replace("#f00", colour)})
    sets = tmp_path / "sets"
    sets.mkdir()
    (sets / "current").symlink_to("../versions/v6")
    stage = Stage(dependency_sets=sets)
    code = "import sys; BEFORE = 'colours' in sys.modules\nimport colours\n"
    code += "def main(args): return {'before': BEFORE, 'red': colours.RED}"
    found = [stage.run(stage.result(code, dependencies="current"))]
    (sets / "next").symlink_to("../versions/v7")
    (sets / "next").rename(sets / "current")
    found.append(stage.run(stage.result(code, dependencies="current")))
    stage.close()
    assert found == [{"before": True, "red": "#600"}, {"before": True, "red": "#700"}]


def test_what_failed_is_not_tried_again_at_once_whatever_else_failed_since(tmp_path: Path) -> None:
    tried = []

    class Failing(ZygoteKeeper):
        def __init__(self, name: str) -> None:
            super().__init__(next(iter(find_interpreters().values())))
            self.name = name

        async def start(self) -> None:
            tried.append(self.name)
            raise DependenciesUnusable(f"{self.name} is broken")

    async def scenario() -> None:
        zygotes = SetZygotes(tmp_path, lambda kind, chosen: Failing(f"{kind} {chosen.name}"))
        for name in ("one", "other"):
            write_set(tmp_path / name, {"module.py": ""})
        for _ in range(3):
            for kind, name in (("a", "one"), ("b", "one"), ("a", "other")):
                with pytest.raises(DependenciesUnusable, match=f"{kind} {name} is broken"):
                    await zygotes.take(kind, name)
        await zygotes.aclose()

    asyncio.run(scenario())
    assert tried == ["a one", "b one", "a other"]


def test_a_set_that_comes_and_goes_while_it_is_read_is_there_or_refused(tmp_path: Path) -> None:
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            (tmp_path / "set").rename(tmp_path / "away")
            (tmp_path / "away").rename(tmp_path / "set")

    write_set(tmp_path / "set", {f"p{number}/__init__.py": "" for number in range(100)})
    with ThreadPoolExecutor(1) as other:
        going = other.submit(come_and_go)
        try:
            for _ in range(600):
                with suppress(DependenciesUnusable):
                    find_set(tmp_path, "set")
        finally:
            is_over.set()
        going.result()


def test_zygotes_of_sets_are_kept_while_they_are_used_and_end_when_they_are_not(tmp_path: Path) -> None:
    write_set(tmp_path / "plain", {"colours.py": COLOURS})

    async def scenario(user_namespace: int) -> None:
        before = held_processes()
        interpreter = next(i for i in find_interpreters().values() if not i.argv)

        def make(kind: str, chosen: Any) -> ZygoteKeeper:
            return ZygoteKeeper(interpreter, user_namespace=user_namespace)

        zygotes = SetZygotes(tmp_path, make, idle_s=0.0)
        first = await zygotes.take(PYTHON, "plain")
        second = await zygotes.take(PYTHON, "plain")
        assert first is second
        (zygote,) = held_processes() - before
        zygotes.give_back(first)
        handle = os.pidfd_open(zygote)
        await asyncio.sleep(0)
        assert is_running(zygote)
        zygotes.give_back(second)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        async with asyncio.timeout(10):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        third = await zygotes.take(PYTHON, "plain")
        assert third is not first
        zygotes.give_back(third)
        await zygotes.aclose()
        assert held_processes() <= before

    with started_plumbing(Egress.NONE) as plumbing:
        asyncio.run(scenario(plumbing.user_namespace))


def test_a_set_that_takes_for_ever_to_import_is_refused_and_its_zygote_ended(tmp_path: Path) -> None:
    write_set(tmp_path, {"endless.py": "import time\ntime.sleep(1000)"})
    interpreter = next(i for i in find_interpreters().values() if not i.argv)
    interpreter = interpreter._replace(binds=(*interpreter.binds, (str(tmp_path), WHERE)))
    dependencies = {"where": WHERE, "modules": ["endless"], "is_chosen": True}

    async def scenario(user_namespace: int) -> None:
        keeper = ZygoteKeeper(interpreter, user_namespace=user_namespace, dependencies=dependencies, start_s=1.0)
        with pytest.raises(DependenciesUnusable, match="it takes over 1 s to import it"):
            await keeper.start()
        await keeper.aclose()

    with started_plumbing(Egress.NONE) as plumbing:
        asyncio.run(scenario(plumbing.user_namespace))
    await_value(lambda: not _who_sees(tmp_path))


def _who_sees(folder: Path) -> list[str]:
    """Processes in whose mounts that folder is."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if str(folder.name) in Path(f"/proc/{pid}/mountinfo").read_text():
                found.append(pid)
    return found


def test_there_is_no_set_where_there_is_no_folder_of_sets(tmp_path: Path) -> None:
    with pytest.raises(DependenciesUnusable, match="this platform has none"):
        find_set(None, "plain")
    shutil.rmtree(tmp_path)
    with pytest.raises(DependenciesUnusable, match="Those of this platform: none"):
        find_set(tmp_path, "plain")
