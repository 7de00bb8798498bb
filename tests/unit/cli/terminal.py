"""Runs the installed `wsk` as a user would: its own process, home directory and properties file."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.unit.cli.scripted_server import Reply, Request, ScriptedServer

WSK = Path(sys.executable).parent / "wsk"
AUTH = "uuid:key"
HINT = "Run 'wsk --help' for usage.\n"
PROPERTIES = f"APIHOST={{url}}\nAUTH={AUTH}\n"
LEFT_OUT = re.compile(r"WSK_|WHISK_|NO_COLOR$|.*_proxy$", re.IGNORECASE)
END_OF_OUTPUT = b"\x04"
"""Written after a process has ended, so that there is something to read where it printed nothing."""

Script = Mapping[tuple[str, str], Reply | list[Reply]]


@dataclass(frozen=True)
class Run:
    """What one run of `wsk` left behind; `written` maps the file names of its directory to their bytes."""

    exit: int
    stdout: str
    stderr: str
    requests: list[Request]
    written: Mapping[str, bytes]
    url: str
    directory: str

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    @property
    def body(self) -> Any:
        """The JSON body of the last request that carried one."""
        return [request.body for request in self.requests if request.raw_body][-1]

    @property
    def properties(self) -> str:
        return self.written[".wskprops"].decode()


def wsk(
    *args: str,
    server: Script | None = None,
    files: Mapping[str, str | bytes] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    properties: str | None = PROPERTIES,
    on_a_terminal: bool = False,
    interrupt_after: int | None = None,
    timeout: float = 30,
) -> Run:
    """Run `wsk ARGS` against a scripted server.

    `files` are laid into the working directory, which is the home directory too. In `properties` (the content of
    `.wskprops`; None for no such file), `args` and `env` the text `{url}` stands for the server's address.
    `on_a_terminal` makes standard output a terminal; `interrupt_after` presses Ctrl-C when that many requests came in.
    """
    with tempfile.TemporaryDirectory() as name, ScriptedServer(server).running() as running:
        home = Path(name).resolve()
        _lay(home, ({} if properties is None else {".wskprops": _fill(properties, running)}) | dict(files or {}))
        with _standard_output(on_a_terminal) as (output, read_output):
            process = subprocess.Popen(
                [str(WSK), *(_fill(arg, running) for arg in args)],
                cwd=home,
                env=_environment(home) | {key: _fill(value, running) for key, value in (env or {}).items()},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.PIPE,
            )
            try:
                if interrupt_after is not None:
                    running.wait_for_requests(interrupt_after, timeout)
                    process.send_signal(signal.SIGINT)
                _, errors = process.communicate(stdin.encode(), timeout)
            finally:
                process.kill()
                process.wait()
            stdout = read_output()
        written = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
        return Run(process.returncode, stdout, errors.decode(), running.requests, written, running.url, str(home))


def _fill(text: str, running: ScriptedServer) -> str:
    return text.replace("{url}", running.url)


def _lay(home: Path, files: Mapping[str, str | bytes]) -> None:
    for path, content in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def _environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not LEFT_OUT.match(name)}
    return inherited | {"HOME": str(home), "TZ": "UTC", "TERM": "xterm"}


@contextmanager
def _standard_output(on_a_terminal: bool) -> Iterator[tuple[IO[bytes] | int, Callable[[], str]]]:
    """Yields what a process writes to and what reads it back when the process has ended."""
    if not on_a_terminal:
        with tempfile.TemporaryFile() as file:

            def read_file() -> str:
                file.seek(0)
                return file.read().decode()

            yield file, read_file
        return
    reading, writing = os.openpty()

    def read_terminal() -> str:
        os.write(writing, END_OF_OUTPUT)
        return os.read(reading, 65536).removesuffix(END_OF_OUTPUT).decode().replace("\r\n", "\n")

    try:
        yield writing, read_terminal
    finally:
        os.close(writing)
        os.close(reading)
