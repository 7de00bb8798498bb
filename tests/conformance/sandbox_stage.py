"""A running native driver for tests, and short ways to put code into sandboxes."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import socket
import stat
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvloop

from sabayon.sandbox.base import Egress, Reply, Sandbox, SandboxSpec, SandboxUnavailable
from sabayon.sandbox.native.driver import NativeDriver, ServeApi

T = TypeVar("T")

PYTHON = f"python:{sys.version_info.major}.{sys.version_info.minor}"
RESULT_LIMIT_BYTES = 1024 * 1024
CODE_CACHE_BYTES = 64 * 1024 * 1024
LOG_LIMIT_BYTES = 10 * 1024 * 1024
API_PORT = 3233


class Stage:
    """A driver on a loop of its own; `run` drives one test's coroutine."""

    def __init__(
        self,
        *,
        egress: Egress = Egress.NONE,
        serve_api: ServeApi | None = None,
        dependency_sets: Path | None = None,
        code_cache_bytes: int = CODE_CACHE_BYTES,
    ) -> None:
        self._dependency_sets = dependency_sets
        self.listeners: list[socket.socket] = []
        self._egress = egress
        self._code_cache_bytes = code_cache_bytes
        self._serve = serve_api or self._serve_api
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.driver: NativeDriver = self.run(self._started())
        self.nodejs = next((kind for kind in self.driver.kinds if kind.startswith("nodejs:")), "")

    async def _started(self) -> NativeDriver:
        driver = NativeDriver(
            api_port=API_PORT,
            serve_api=self._serve,
            result_limit_bytes=RESULT_LIMIT_BYTES,
            egress=self._egress,
            dependency_sets=self._dependency_sets,
            code_cache_bytes=self._code_cache_bytes,
        )
        await driver.start()
        return driver

    def _serve_api(self, listener: socket.socket) -> Callable[[], None]:
        self.listeners.append(listener)

        def stop() -> None:
            self.listeners.remove(listener)
            listener.close()

        return stop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def close(self) -> None:
        self.run(self.driver.aclose())
        self._runner.close()

    @asynccontextmanager
    async def sandbox(
        self, kind: str = PYTHON, memory_mb: int = 128, egress: Egress = Egress.NONE, dependencies: str = ""
    ) -> AsyncIterator[Sandbox]:
        """A stem cell that is destroyed afterwards."""
        sandbox = await self.driver.create(SandboxSpec(kind, memory_mb, egress, dependencies))
        sandbox.limit_logs(LOG_LIMIT_BYTES)
        try:
            yield sandbox
        finally:
            await sandbox.destroy("the test is over")

    @asynccontextmanager
    async def action(
        self,
        code: str | bytes,
        *,
        kind: str = PYTHON,
        memory_mb: int = 128,
        egress: Egress = Egress.NONE,
        dependencies: str = "",
    ) -> AsyncIterator[Sandbox]:
        """A sandbox with code in it that has been initialized well."""
        async with self.sandbox(kind, memory_mb, egress, dependencies) as sandbox:
            reply = await sandbox.init(init_body(code), 20)
            assert reply.status == 200, (reply, sandbox.take_logs())
            yield sandbox

    async def result(
        self, code: str | bytes, value: Any = None, *, kind: str = PYTHON, memory_mb: int = 128, dependencies: str = ""
    ) -> Any:
        """What one run of `code` answers, which must be a success."""
        async with self.action(code, kind=kind, memory_mb=memory_mb, dependencies=dependencies) as sandbox:
            reply = await sandbox.run(run_body(value), 20)
            assert reply.status == 200, (reply, sandbox.take_logs())
            return json.loads(reply.body)


def init_body(code: str | bytes, main: str = "main", **env: Any) -> bytes:
    """The `/init` body of source text, or of an archive."""
    text = code if isinstance(code, str) else base64.b64encode(code).decode()
    value = {"name": "a", "main": main, "code": text, "binary": isinstance(code, bytes), "env": env}
    return json.dumps({"value": value}).encode()


def run_body(value: Any = None, **context: str) -> bytes:
    return json.dumps({"value": {} if value is None else value, **context}).encode()


def error_of(reply: Reply) -> Any:
    return json.loads(reply.body)["error"]


def texts(sandbox: Sandbox, stream: str = "") -> list[str]:
    """The lines written since the last time."""
    return [line.text for line in sandbox.take_logs().lines if stream in ("", line.stream)]


def zipped(files: dict[str, str | bytes], links: dict[str, str] | None = None) -> bytes:
    """A zip archive of `files`, and of symbolic `links`, name to target."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        for name, target in (links or {}).items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
    return buffer.getvalue()


def own_cgroups() -> set[str]:
    """Cgroups that drivers of this process have made for sandboxes."""
    return {
        os.path.join(root, folder)
        for root, folders, _ in os.walk("/sys/fs/cgroup")
        if os.path.basename(root).startswith(f"sabayon-{os.getpid()}-")
        for folder in folders
    }


def own_processes() -> set[int]:
    """What runs for drivers of this process: all that they hold, and all that is in their sandboxes' cgroups."""
    grouped: set[int] = set()
    for group in own_cgroups():
        with suppress(OSError):
            grouped |= set(map(int, Path(group, "cgroup.procs").read_text().split()))
    return held_processes() | grouped


def held_processes() -> set[int]:
    """The living processes this one has a pidfd of: of every zygote one, and of every sandbox's pid 1."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if "pidfd" in os.readlink(f"/proc/self/fd/{descriptor}"):
                found.add(_pid(Path(f"/proc/self/fdinfo/{descriptor}").read_text()))
    return found - {-1}


def _pid(information: str) -> int:
    return next(int(line.split()[1]) for line in information.splitlines() if line.startswith("Pid:"))


class Inventory(NamedTuple):
    """What sandboxes take of the machine. A network namespace lives by a process, an open file or a mount."""

    cgroups: set[str]
    processes: set[int]
    open_files: int
    mounts: str


def what_is_there() -> Inventory:
    """All that drivers of this process have now."""
    return Inventory(own_cgroups(), own_processes(), _open_files(), Path("/proc/self/mounts").read_text())


def _open_files() -> int:
    """Besides network namespaces that are kept ready, and the listening socket in each of them."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return len(found) - 2 * sum(target.startswith("net:") for target in found)


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an exit code that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    """A driver in a process of its own: cases (language, code, arguments) come in on stdin, what they answer goes out.

    With `hold` as argument it keeps one sandbox running instead, having said so, until it is killed.
    """
    try:
        stage = Stage()
    except SandboxUnavailable as error:
        print(json.dumps({"refused": str(error)}))
        return
    if "hold" in sys.argv:
        stage.run(_hold(stage))
    results = [stage.run(_case(stage, *case)) for case in json.load(sys.stdin)]
    stage.close()
    print(json.dumps({"level": stage.driver.level, "results": results}))


async def _case(stage: Stage, language: str, code: str, value: Any) -> Any:
    kind = next((kind for kind in stage.driver.kinds if kind.startswith(f"{language}:")), "")
    if not kind:
        return None
    async with stage.action(code, kind=kind) as sandbox:
        await sandbox.suspend()
        await sandbox.resume()
        return json.loads((await sandbox.run(run_body(value), 20)).body)


async def _hold(stage: Stage) -> None:
    code = """
import subprocess, time
def main(args):
    subprocess.Popen(["/bin/sleep", "1000"])
    while args.get("stay"): time.sleep(1)
    return {}
"""
    async with stage.action(code) as sandbox:
        await sandbox.run(run_body(), 20)
        print(json.dumps({"cgroups": sorted(own_cgroups()), "processes": sorted(own_processes())}), flush=True)
        await sandbox.run(run_body({"stay": True}), 1000)


if __name__ == "__main__":
    main()
