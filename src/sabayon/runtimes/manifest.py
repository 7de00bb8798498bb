"""Which runtime kinds this host can start, and with what."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_HERE = Path(__file__).parent
_NODEJS_FILES: Final = ("launcher.js", "overlapping.js")
NODEJS_LAUNCHER: Final = "/launcher/launcher.js"
_SYSTEM: Final = ("/usr/", "/bin/", "/lib/")
_OF_PYTHON: Final = ("bin", "lib", "lib64", "ssl", "openssl")
"""Below the prefix of a Python. The prefix itself may be somebody's home."""


class Interpreter(NamedTuple):
    """How one kind is started.

    argv: what to execute as the launcher; empty when the zygote itself, running `module`, is forked.
    binds: host paths outside of the system's folders that it needs to see, and where it sees them.
    imports: what `module` uses of the standard library.
    """

    kind: str
    path: str
    version: str
    argv: tuple[str, ...]
    module: str
    binds: tuple[tuple[str, str], ...]
    imports: tuple[str, ...] = ()


def find_interpreters() -> dict[str, Interpreter]:
    """Interpreters by kind: the Python that runs the platform, and Node.js if `node` is on the PATH."""
    found = [_python(), _nodejs()]
    return {interpreter.kind: interpreter for interpreter in found if interpreter}


def can_overlap(kind: str) -> bool:
    """Whether several runs of such an action can be in flight in one process."""
    return kind.partition(":")[0] in ("nodejs", "python")


def _python() -> Interpreter:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Interpreter(
        kind=f"python:{version}",
        path=base_python(),
        version=".".join(map(str, sys.version_info[:3])),
        argv=(),
        module="sabayon.runtimes.python.launcher",
        binds=_outside_of_system(Path(sys.base_prefix, name) for name in _OF_PYTHON),
        imports=("asyncio", "base64", "inspect", "traceback", "zipfile"),
    )


def base_python() -> str:
    """The interpreter below the virtual environment, if there is one: its packages must not show in actions."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (Path(sys.base_prefix, "bin", name), Path(sys.base_prefix, "bin", "python3"))
    return str(next((path for path in candidates if path.exists()), Path(sys.executable)))


def _nodejs() -> Interpreter | None:
    node = shutil.which("node")
    if node is None:
        return None
    path = os.path.realpath(node)
    try:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = version.strip().removeprefix("v")
    launcher = tuple((str(_HERE / "nodejs" / name), f"/launcher/{name}") for name in _NODEJS_FILES)
    library = Path(path).parents[1].joinpath("lib").glob("libnode*")
    return Interpreter(
        kind=f"nodejs:{version.partition('.')[0]}",
        path=path,
        version=version,
        argv=(path, "--expose-gc", NODEJS_LAUNCHER),
        module="",
        binds=(*launcher, *_outside_of_system([Path(path), *library])),
    )


def _outside_of_system(paths: Iterable[Path]) -> tuple[tuple[str, str], ...]:
    """Those of `paths` that exist and that no sandbox sees anyway."""
    return tuple((str(path), str(path)) for path in paths if path.exists() and not str(path).startswith(_SYSTEM))
