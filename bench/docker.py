"""A Docker Engine of the bench's own, with an image of this machine's interpreters. It asks no registry, and goes."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

DAEMONS: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_S: Final = 30.0
_LEFT_OUT: Final = frozenset({"site-packages", "test", "idlelib", "ensurepip", "tkinter", "turtledemo", "lib2to3"})
"""Of the standard library: what an image of Python leaves out too, or nobody misses here."""

_IMAGE: Final = "bench"
_AT_ONCE: Final = 4


def obstacle() -> str:
    """Why `docker run` cannot be measured here; empty when it can."""
    if os.geteuid() != 0:
        return "a Docker Engine of one's own needs root"
    missing = [tool for tool in ("dockerd", "docker", "containerd", "runc") if shutil.which(tool, path=DAEMONS) is None]
    if missing:
        return f"{', '.join(missing)} not installed; on Debian: apt-get install docker.io"
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tempfile.gettempdir()], capture_output=True, text=True, check=False
    )
    if kind.stdout.strip() == "overlayfs":
        return (
            "on an overlay, such as a container's, only the driver vfs works, which copies the image for each container"
        )
    return ""


class Times(NamedTuple):
    """Medians in ms: a whole run of the function by the command, both directions of a pause by the API; and how many
    runs a second end."""

    engine: str
    """Its version and storage driver."""

    python_ms: float
    nodejs_ms: float | None
    pause_ms: float
    unpause_ms: float
    per_second: float


def measure(python: str, nodejs: str, text: bytes, runs: int) -> Times:
    """Both functions in new containers of an engine of one's own. python, nodejs: what the interpreters execute."""
    with engine() as docker:
        interpreter, node = os.path.realpath(sys.executable), shutil.which("node")
        python_run = (interpreter, "-c", python)
        python_ms = [docker.wait_ms(*python_run, text=text) for _ in range(runs)]
        nodejs_ms = [docker.wait_ms(node, "-e", nodejs, text=text) for _ in range(runs)] if node else []
        pauses = docker.pause_ms(runs)
        began = time.perf_counter()
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda _: docker.run(*python_run, text=text), range(_AT_ONCE * runs)))
        per_second = _AT_ONCE * runs / (time.perf_counter() - began)
        name = docker.name()
    return Times(
        name,
        statistics.median(python_ms),
        statistics.median(nodejs_ms) if nodejs_ms else None,
        statistics.median(pause for pause, _ in pauses),
        statistics.median(unpause for _, unpause in pauses),
        per_second,
    )


class Docker:
    """A running engine that has the image."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = [_tool("docker"), "-H", f"unix://{path}"]

    def call(self, *arguments: str, text: bytes = b"") -> bytes:
        """What `docker ARGUMENTS` prints. Raises CalledProcessError."""
        command = [*self._client, *arguments]
        return subprocess.run(command, input=text, capture_output=True, check=True, timeout=120).stdout

    def run(self, *command: str, text: bytes = b"") -> bytes:
        """`docker run` of a command in a new container without a network, gone afterwards."""
        return self.call("run", "--rm", "-i", "--network", "none", _IMAGE, *command, text=text)

    def wait_ms(self, *command: str, text: bytes = b"") -> float:
        """How long that takes."""
        started = time.perf_counter()
        self.run(*command, text=text)
        return (time.perf_counter() - started) * 1000

    def name(self) -> str:
        """Version and storage driver."""
        with closing(_Api(self._path)) as api:
            info = json.loads(api.ask("GET", "/info"))
        return f"Docker Engine {info['ServerVersion']}, storage driver {info['Driver']}"

    def pause_ms(self, times: int) -> list[tuple[float, float]]:
        """How long the engine takes to pause and to unpause a running container, asked on an open connection."""
        python = os.path.realpath(sys.executable)
        idle = ("run", "-d", "--rm", "--network", "none", _IMAGE, python, "-c", "import time; time.sleep(600)")
        container = self.call(*idle).decode().strip()
        taken = []
        with closing(_Api(self._path)) as api:
            for _ in range(times):
                began = time.perf_counter()
                api.ask("POST", f"/containers/{container}/pause")
                between = time.perf_counter()
                api.ask("POST", f"/containers/{container}/unpause")
                taken.append(((between - began) * 1000, (time.perf_counter() - between) * 1000))
        self.call("kill", container)
        return taken


class _Api(http.client.HTTPConnection):
    """The Engine API, on a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str) -> bytes:
        """The body of the answer. Raises SystemExit for an error."""
        self.request(method, path)
        answer = self.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"bench: the Docker Engine answers {method} {path} with {answer.status} {body[:300]!r}")
        return body


@contextmanager
def engine() -> Iterator[Docker]:
    """An engine until the end of the block, below a temporary directory, without a network of its own."""
    with tempfile.TemporaryDirectory(prefix="sabayon-bench-docker-") as name:
        folder = Path(name)
        command = [
            _tool("dockerd"), "-H", f"unix://{folder / 'socket'}", "--storage-driver", "overlay2",
            "--data-root", folder / "data", "--exec-root", folder / "run", "--pidfile", folder / "pid",
            "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
        ]  # fmt: skip
        environment = {**os.environ, "PATH": DAEMONS}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            docker = Docker(folder / "socket")
            _await(docker, process, folder / "log")
            docker.call("import", "-", _IMAGE, text=_image())
            yield docker
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)


def _await(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            docker.call("version")
        except subprocess.CalledProcessError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench: the Docker Engine does not start:\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)
        else:
            return


def _image() -> bytes:
    """A tar of this Python with its standard library, of Node.js where there is one, and of the libraries of both."""
    interpreters = [os.path.realpath(sys.executable), *filter(None, [shutil.which("node")])]
    library = Path(sysconfig.get_path("stdlib"))
    extensions = [str(path) for path in library.glob("lib-dynload/*.so")]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in sorted({*interpreters, *_libraries([*interpreters, *extensions])}):
            tar.add(os.path.realpath(name), name)
        tar.add(library, str(library), filter=_without_what_is_left_out)
    return packed.getvalue()


def _without_what_is_left_out(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _LEFT_OUT & set(Path(member.name).parts) else member


def _libraries(files: list[str]) -> set[str]:
    """The shared libraries that these load, by the names they are loaded by."""
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    words = (word for line in listed.splitlines() if line.startswith("\t") for word in line.split())
    return {word for word in words if word.startswith("/")}


def _tool(name: str) -> str:
    found = shutil.which(name, path=DAEMONS)
    assert found
    return found
