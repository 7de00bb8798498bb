"""Runs Python actions: code once, then activations, over frames on one socket.

Standard library only: it lives in the zygote and is forked with it. A frame from the
platform is a length (u32, big endian), a kind (`I` or `R`) and the JSON of the contract's
`/init` or `/run`; a reply is a length, a status (u16) and JSON. Output is flushed before
a reply is sent, so what was written before it can be read when it arrives.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
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
NO_MAIN: Final = "Zip file does not include __main__.py"
NO_ACTIVATE: Final = "Invalid virtualenv. Zip file does not include 'activate_this.py'."

Reply = tuple[int, bytes]


class InitFailedError(Exception):
    """The action cannot be started. The reason has been printed to its log; the text is the reply's."""


def main(fd: int) -> None:
    """Answer frames until the other end closes."""
    _open_output()
    launcher = Launcher()
    while head := _read(fd, _HEAD.size):
        length, kind = _HEAD.unpack(head)
        request = json.loads(_read(fd, length))
        status, body = launcher.init(request["value"]) if kind == ord("I") else launcher.run(request)
        _flush()
        _write(fd, _REPLY.pack(len(body), status) + body)


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
            print(TWICE, file=sys.stderr)
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
        return 200, b'{"ok":true}'

    def run(self, request: dict[str, Any]) -> Reply:
        """Call the function once."""
        if self._main is None:
            return _error(500, NOT_INITIALIZED)
        for key, item in request.items():
            if key != "value":
                os.environ[f"__OW_{key.upper()}"] = _text(item)
        try:
            result = self._main(request.get("value") or {})
            if inspect.isawaitable(result):
                result = self._await(result)
        except SystemExit:
            self._main = None
            return _error(400, EXITED)
        except BaseException as error:  # whatever the function raises is its error, KeyboardInterrupt included
            traceback.print_exc()
            return 200, _encode({"error": str(error)})
        return _encoded(result)

    def _await(self, result: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()

        async def outcome() -> Any:
            return await result

        return self._runner.run(outcome())


def _encoded(result: Any) -> Reply:
    if not isinstance(result, dict | list | tuple):
        print(f"The action returned {type(result).__name__}, not a dictionary or a list.", file=sys.stderr)
        return _error(502, NO_RESULT)
    try:
        return 200, _encode(result)
    except (TypeError, ValueError, RecursionError) as error:
        print(f"The result of the action is not JSON: {error}", file=sys.stderr)
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
    """The function to call. Raises InitFailedError, the reason printed."""
    source, path = _unpack(code) if is_binary else (code, f"{ACTION}/__main__.py")
    if ACTION not in sys.path:
        sys.path.insert(0, ACTION)
    module = types.ModuleType("__main__")
    module.__file__ = path
    sys.modules["__main__"] = module
    try:
        compiled = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        _print_without_ours()
        raise InitFailedError(NOT_COMPILED) from error
    try:
        exec(compiled, module.__dict__)
        function: Any = module
        for part in entry.split("."):
            function = getattr(function, part)
    except SystemExit as error:
        print(EXITED_AT_START, file=sys.stderr)
        raise InitFailedError(CANNOT_START) from error
    except BaseException as error:  # any error of the action's module
        _print_without_ours()
        raise InitFailedError(CANNOT_START) from error
    if not callable(function):
        print(f"{entry} is not a function.", file=sys.stderr)
        raise InitFailedError(CANNOT_START)
    return function  # type: ignore[no-any-return]


def _print_without_ours() -> None:
    """The traceback of the action, without the launcher's own frames."""
    kind, error, frames = sys.exc_info()
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(kind, error, frames)


def _unpack(code: str) -> tuple[str | bytes, str]:
    """Extract the archive; the source of its main module and the path it is at. Raises InitFailedError."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(code)))
        _extract(archive, archive.infolist())
    except (
        zipfile.BadZipFile,
        binascii.Error,
        OSError,
        NotImplementedError,
        ValueError,
        EOFError,
        RuntimeError,
    ) as error:
        print(f"The archive cannot be unpacked: {error}", file=sys.stderr)
        raise InitFailedError(NOT_COMPILED) from error
    os.chdir(ACTION)
    _activate_virtualenv()
    for name in ("__main__.py", "main__.py", "exec"):
        path = os.path.join(ACTION, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:  # noqa: PTH123
                return file.read(), path
    print(NO_MAIN, file=sys.stderr)
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
                exec(compile(file.read(), path, "exec"), {"__file__": path, "__name__": "__main__"})
            return
    print(NO_ACTIVATE, file=sys.stderr)
    raise InitFailedError(NOT_COMPILED)
