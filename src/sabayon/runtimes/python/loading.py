"""From the code of an action, a text or an archive, to the function to call. Standard library only."""

from __future__ import annotations

import base64
import io
import os
import sys
import types
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, Final

from sabayon.runtimes.python.compiling import compile_modules
from sabayon.runtimes.python.output import tell, trace

ACTION: Final = "/action/code"
MODULE: Final = "main__"
"""The name of the action's module: a block for `__main__` must not run, as in the reference."""

CANNOT_START: Final = "Cannot start action. Check logs for details."
NOT_COMPILED: Final = "The action failed to generate or locate a binary. See logs for details."
EXITED_AT_START: Final = "Command exited abruptly during initialization."
NO_MAIN: Final = "Zip file does not include __main__.py"
NO_ACTIVATE: Final = "Invalid virtualenv. Zip file does not include 'activate_this.py'."


class InitFailedError(Exception):
    """The action cannot be started. The reason has been printed to its log; the text is the reply's."""


def prepare_archive(code: str) -> None:
    """Unpack an archive and compile its modules, for other processes to load. Raises InitFailedError."""
    _unpack(code)
    compile_modules(ACTION)


def load(code: str | None, is_binary: bool, entry: str) -> Callable[..., Any]:
    """The function to call; `code` is None for an archive that has been unpacked.

    Raises InitFailedError, the reason told.
    """
    if ACTION not in sys.path:
        sys.path.insert(0, ACTION)
    if code is not None and is_binary:
        _unpack(code)
    path, source = _open_archive() if code is None or is_binary else _save(code)
    try:
        compiled = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        tell(trace(error))
        raise InitFailedError(NOT_COMPILED) from error
    module = types.ModuleType(MODULE)
    module.__file__ = path
    sys.modules["__main__"] = sys.modules[MODULE] = module
    try:
        exec(compiled, module.__dict__)
        function: Any = module
        for part in entry.split("."):
            function = getattr(function, part)
    except SystemExit as error:
        tell(EXITED_AT_START)
        raise InitFailedError(CANNOT_START) from error
    except BaseException as error:  # any error of the action's module
        tell(trace(error))
        raise InitFailedError(CANNOT_START) from error
    if not callable(function):
        tell(f"{entry} is not a function.")
        raise InitFailedError(CANNOT_START)
    return function  # type: ignore[no-any-return]


def _save(code: str) -> tuple[str, str]:
    """The path of the source text, written there so that tracebacks can quote it, and the text."""
    path = f"{ACTION}/{MODULE}.py"
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123
        file.write(code)
    return path, code


def _unpack(code: str) -> None:
    """Extract the archive. Raises InitFailedError, the reason told."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(code)))
        _extract(archive, archive.infolist())
    except Exception as error:  # a damaged archive makes zipfile and zlib raise nearly anything
        tell(f"The archive cannot be unpacked: {error}")
        raise InitFailedError(NOT_COMPILED) from error


def _open_archive() -> tuple[str, bytes]:
    """The path of the archive's main module, and the source. Raises InitFailedError, the reason told."""
    os.chdir(ACTION)
    _activate_virtualenv()
    for name in ("__main__.py", f"{MODULE}.py", "exec"):
        path = os.path.join(ACTION, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:  # noqa: PTH123
                return path, file.read()
    tell(NO_MAIN)
    raise InitFailedError(NOT_COMPILED)


def _extract(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo]) -> None:
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"the entry {name!r} leaves the archive's folder")
        path = archive.extract(entry, ACTION)
        mode = entry.external_attr >> 16 & 0o777
        if mode and not entry.is_dir():
            os.chmod(path, mode | 0o400)


def _activate_virtualenv() -> None:
    """Make the packages of a `virtualenv` folder importable, as its own activation script does."""
    folder = os.path.join(ACTION, "virtualenv")
    if not os.path.isdir(folder):
        return
    for scripts in ("bin", "Scripts"):
        path = os.path.join(folder, scripts, "activate_this.py")
        if os.path.isfile(path):
            with open(path, "rb") as file:  # noqa: PTH123
                source = file.read()
            try:
                exec(compile(source, path, "exec"), {"__file__": path, "__name__": "__main__"})
            except BaseException as error:  # it is the action's code
                tell(trace(error))
                raise InitFailedError(CANNOT_START) from error
            return
    tell(NO_ACTIVATE)
    raise InitFailedError(NOT_COMPILED)
