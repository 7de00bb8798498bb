"""Runs Python actions: code once, then activations, over frames on one socket.

Standard library only: it lives in the zygote and is forked with it. A frame from the
platform is a length (u32, big endian), a kind (`I` or `R`) and the JSON of the contract's
`/init` or `/run`; a reply is a length, a status (u16) and JSON. A first, empty reply says
that questions can be taken. Output is flushed before a reply is sent, so what was written
before it can be read when it arrives.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import struct
from collections.abc import Callable
from typing import Any, Final

from sabayon.runtimes.python.chance import renew
from sabayon.runtimes.python.loading import MODULE, NOT_COMPILED, InitFailedError, load
from sabayon.runtimes.python.output import flush, open_output, tell, trace, write

_HEAD: Final = struct.Struct(">IB")
_REPLY: Final = struct.Struct(">IH")
_REHEARSALS: Final = 16
"""Python makes code faster after it has run that often."""

NO_CODE: Final = "Missing main/no code to execute."
TWICE: Final = "Cannot initialize the action more than once."
EXITED: Final = "command exited"
NO_RESULT: Final = "The action did not return a dictionary or array."
NOT_INITIALIZED: Final = "no action defined yet"
TOO_DEEP: Final = "The arguments of the action are nested too deeply."

Reply = tuple[int, bytes]


def prepare(*, has_dependencies: bool) -> Callable[[int], None]:
    """What can be done before a fork, for all launchers at once; what to call after it, with the frame socket.

    Descriptors 1 and 2 must be pipes. has_dependencies: others' modules have been imported, and may have drawn numbers.

    An activation is rehearsed, so that what Python makes and remembers on the way is there already, and shared.
    """
    open_output()
    kept = os.environ.copy()
    for _ in range(_REHEARSALS):
        compile("def main(args):\n    return {'value': args}\n", MODULE, "exec", dont_inherit=True)
        _answer(Launcher(dict), ord("R"), b'{"value": {"name": "value"}, "rehearsal": ""}')
        flush()
    os.environ.clear()
    os.environ.update(kept)
    return _renew_and_run if has_dependencies else main


def _renew_and_run(fd: int) -> None:
    renew()
    main(fd)


def main(fd: int) -> None:
    """Answer frames until the other end closes."""
    launcher = Launcher()
    write(fd, _REPLY.pack(0, 200))
    while head := _read(fd, _HEAD.size):
        length, kind = _HEAD.unpack(head)
        status, body = _answer(launcher, kind, _read(fd, length))
        flush()
        write(fd, _REPLY.pack(len(body), status) + body)


def _answer(launcher: Launcher, kind: int, body: bytes) -> Reply:
    try:
        request = json.loads(body)
    except RecursionError:
        return _error(502, TOO_DEEP)
    return launcher.init(request["value"]) if kind == ord("I") else launcher.run(request)


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


def _error(status: int, text: str) -> Reply:
    return status, json.dumps({"error": text}).encode()


class Launcher:
    """One action: not initialized, then ready, then possibly gone."""

    def __init__(self, main: Callable[..., Any] | None = None) -> None:
        self._main = main
        self._is_initialized = False
        self._runner: asyncio.Runner | None = None

    def init(self, value: dict[str, Any]) -> Reply:
        """Load the code. A failure leaves the launcher unusable."""
        if self._is_initialized:
            tell(TWICE)
            return _error(403, TWICE)
        code = value.get("code")
        if not isinstance(code, str) or not code:
            return _error(403, NO_CODE)
        self._is_initialized = True
        for key, item in (value.get("env") or {}).items():
            os.environ[key] = _text(item)
        try:
            self._main = load(code, bool(value.get("binary")), value.get("main") or "main")
        except InitFailedError as error:
            return _error(502, str(error))
        except OSError as error:
            tell(f"The code cannot be stored: {error}")
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
            tell(trace(error))
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
        tell(f"The action returned {type(result).__name__}, not a dictionary or a list.")
        return _error(502, NO_RESULT)
    try:
        return 200, _encode(result)
    except Exception as error:  # the action's own classes take part in it
        tell(f"The result of the action is not JSON: {_message(error)}")
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
