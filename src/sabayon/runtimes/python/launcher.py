"""Runs Python actions: code once, then activations, over frames on one socket.

Standard library only: it lives in the zygote and is forked with it. A frame from the
platform is a length (u32, big endian), a kind (`I` or `R`) and the JSON of the contract's
`/init` or `/run`; a reply is a length, a status (u16) and JSON. A first, empty reply says
that questions can be taken. Output is flushed before a reply is sent, so what was written
before it can be read when it arrives.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import inspect
import io
import json
import os
import struct
import sys
import traceback
import types
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, Final

ACTION: Final = "/action"
MODULE: Final = "main__"
"""The name of the action's module: a block for `__main__` must not run, as in the reference."""

_HEAD: Final = struct.Struct(">IB")
_REPLY: Final = struct.Struct(">IH")

NO_CODE: Final = "Missing main/no code to execute."
TWICE: Final = "Cannot initialize the action more than once."
CANNOT_START: Final = "Cannot start action. Check logs for details."
NOT_COMPILED: Final = "The action failed to generate or locate a binary. See logs for details."
EXITED_AT_START: Final = "Command exited abruptly during initialization."
EXITED: Final = "command exited"
NO_RESULT: Final = "The action did not return a dictionary or array."
NOT_INITIALIZED: Final = "no action defined yet"
TOO_DEEP: Final = "The arguments of the action are nested too deeply."
NO_MAIN: Final = "Zip file does not include __main__.py"
NO_ACTIVATE: Final = "Invalid virtualenv. Zip file does not include 'activate_this.py'."

Reply = tuple[int, bytes]


class InitFailedError(Exception):
    """The action cannot be started. The reason has been printed to its log; the text is the reply's."""


def main(fd: int) -> None:
    """Answer frames until the other end closes."""
    _open_output()
    launcher = Launcher()
    _write(fd, _REPLY.pack(0, 200))
    while head := _read(fd, _HEAD.size):
        length, kind = _HEAD.unpack(head)
        status, body = _answer(launcher, kind, _read(fd, length))
        _flush()
        _write(fd, _REPLY.pack(len(body), status) + body)


def _answer(launcher: Launcher, kind: int, body: bytes) -> Reply:
    try:
        request = json.loads(body)
    except RecursionError:
        return _error(502, TOO_DEEP)
    return launcher.init(request["value"]) if kind == ord("I") else launcher.run(request)


def _open_output() -> None:
    """Fresh text streams: what the zygote had is not the action's."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw, 65536), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO())  # type: ignore[misc]


def _tell(text: str) -> None:
    """A line for the action's log, whatever the action has done to its own streams."""
    _flush()
    with contextlib.suppress(OSError):
        _write(2, f"{text.rstrip()}\n".encode(errors="backslashreplace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the action closed or replaced it


def _read(fd: int, length: int) -> bytes:
    """Exactly `length` bytes, or nothing at the end of the stream."""
    parts = []
    while length:
        part = os.read(fd, min(length, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _error(status: int, text: str) -> Reply:
    return status, json.dumps({"error": text}).encode()


class Launcher:
    """One action: not initialized, then ready, then possibly gone."""

    def __init__(self) -> None:
        self._main: Callable[..., Any] | None = None
        self._is_initialized = False
        self._runner: asyncio.Runner | None = None

    def init(self, value: dict[str, Any]) -> Reply:
        """Load the code. A failure leaves the launcher unusable."""
        if self._is_initialized:
            _tell(TWICE)
            return _error(403, TWICE)
        code = value.get("code")
        if not isinstance(code, str) or not code:
            return _error(403, NO_CODE)
        self._is_initialized = True
        os.environ.update({key: _text(item) for key, item in (value.get("env") or {}).items()})
        try:
            self._main = _load(code, bool(value.get("binary")), value.get("main") or "main")
        except InitFailedError as error:
            return _error(502, str(error))
        except OSError as error:
            _tell(f"The code cannot be stored: {error}")
            return _error(502, NOT_COMPILED)
        return 200, b'{"ok":true}'

    def run(self, request: dict[str, Any]) -> Reply:
        """Call the function once."""
        if self._main is None:
            return _error(500, NOT_INITIALIZED)
        for key, item in request.items():
            if key != "value":
                os.environ[f"__OW_{key.upper()}"] = _text(item)
        try:
            value = request.get("value")
            result = self._main({} if value is None else value)
            if inspect.isawaitable(result):
                result = self._await(result)
        except SystemExit:
            self._main = None
            return _error(400, EXITED)
        except BaseException as error:  # whatever the function raises is its error, KeyboardInterrupt included
            _tell(_trace(error))
            return 200, _encode({"error": _message(error)})
        return _encoded(result)

    def _await(self, result: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()

        async def outcome() -> Any:
            return await result

        return self._runner.run(outcome())


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the action's own exception may fail to describe itself
        return type(error).__name__


def _encoded(result: Any) -> Reply:
    if not isinstance(result, dict | list | tuple):
        _tell(f"The action returned {type(result).__name__}, not a dictionary or a list.")
        return _error(502, NO_RESULT)
    try:
        return 200, _encode(result)
    except Exception as error:  # the action's own classes take part in it
        _tell(f"The result of the action is not JSON: {_message(error)}")
        return _error(502, NO_RESULT)


def _encode(value: Any) -> bytes:
    """JSON in UTF-8. Lone surrogates, which UTF-8 cannot hold, are escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item)


def _load(code: str, is_binary: bool, entry: str) -> Callable[..., Any]:
    """The function to call. Raises InitFailedError, the reason told."""
    if ACTION not in sys.path:
        sys.path.insert(0, ACTION)
    path, source = _unpack(code) if is_binary else _save(code)
    try:
        compiled = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        _tell(_trace(error))
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
        _tell(EXITED_AT_START)
        raise InitFailedError(CANNOT_START) from error
    except BaseException as error:  # any error of the action's module
        _tell(_trace(error))
        raise InitFailedError(CANNOT_START) from error
    if not callable(function):
        _tell(f"{entry} is not a function.")
        raise InitFailedError(CANNOT_START)
    return function  # type: ignore[no-any-return]


def _trace(error: BaseException) -> str:
    """The traceback of the action, without the launcher's own frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # the action's own exception may fail to describe itself
        return type(error).__name__


def _save(code: str) -> tuple[str, str]:
    """The path of the source text, written there so that tracebacks can quote it, and the text."""
    path = f"{ACTION}/{MODULE}.py"
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123
        file.write(code)
    return path, code


def _unpack(code: str) -> tuple[str, bytes]:
    """Extract the archive; the path of its main module, and the source. Raises InitFailedError, the reason told."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(code)))
        _extract(archive, archive.infolist())
    except Exception as error:  # a damaged archive makes zipfile and zlib raise nearly anything
        _tell(f"The archive cannot be unpacked: {error}")
        raise InitFailedError(NOT_COMPILED) from error
    os.chdir(ACTION)
    _activate_virtualenv()
    for name in ("__main__.py", f"{MODULE}.py", "exec"):
        path = os.path.join(ACTION, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:  # noqa: PTH123
                return path, file.read()
    _tell(NO_MAIN)
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
                _tell(_trace(error))
                raise InitFailedError(CANNOT_START) from error
            return
    _tell(NO_ACTIVATE)
    raise InitFailedError(NOT_COMPILED)
