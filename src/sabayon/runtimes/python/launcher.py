"""Runs Python actions: code once, then activations, over frames on one socket.

Standard library only: it lives in the zygote and is forked with it. A frame from the
platform is a length (u32, big endian), a kind, a number (u32) and the JSON of the contract's
`/init` (kind `I`, or `C` when runs may overlap) or `/run` (`R`); a reply is a length, a
status (u16), the number of its question and JSON. A first, empty reply says that questions
can be taken. Output is flushed before a reply is sent, so what was written before it can be
read when it arrives.

Runs are answered one after the other, unless they may overlap and `main` is `async def`.

Kind `P` has an archive unpacked and compiled that this process will not run; `L` says that
the archive of the init to come is unpacked already, by such a process.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable
from typing import Any, Final

from sabayon.runtimes.python.chance import renew
from sabayon.runtimes.python.context import mark_output
from sabayon.runtimes.python.frames import HEAD, INIT_SHARED, PLACED, PREPARE, REPLY, RUN, SHARED
from sabayon.runtimes.python.loading import MODULE, NOT_COMPILED, InitFailedError, load, prepare_archive
from sabayon.runtimes.python.output import flush, open_output, tell, write
from sabayon.runtimes.python.overlapping import can_overlap, serve
from sabayon.runtimes.python.replies import EXITED, TOO_DEEP, Reply, failure, raised, request_of, returned, text_of
from sabayon.runtimes.python.variables import set_variable

_USUAL_BYTES: Final = 4096
"""Most frames are shorter, and are read at once."""

_REHEARSALS: Final = 16
"""Python makes code faster after it has run that often."""

_VARIABLES: Final = {
    key: f"__OW_{key.upper()}".encode()
    for key in ("action_name", "action_version", "activation_id", "api_key", "deadline", "namespace", "transaction_id")
}

NO_CODE: Final = "Missing main/no code to execute."
TWICE: Final = "Cannot initialize the action more than once."
NOT_INITIALIZED: Final = "no action defined yet"


def prepare(*, has_dependencies: bool) -> Callable[[int], None]:
    """What can be done before a fork, for all launchers at once; what to call after it, with the frame socket.

    Descriptors 1 and 2 must be pipes. has_dependencies: others' modules have been imported, and may have drawn numbers.

    An activation is rehearsed, so that what Python makes and remembers on the way is there already, and shared.
    """
    open_output()
    kept = os.environ.copy()
    for _ in range(_REHEARSALS):
        compile("def main(args):\n    return {'value': args}\n", MODULE, "exec", dont_inherit=True)
        _answer(Launcher(dict), RUN, b'{"value": {"name": "value"}, "rehearsal": ""}')
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
    write(fd, REPLY.pack(0, 200, 0))
    rest = b""
    while data := rest or os.read(fd, _USUAL_BYTES):
        data += _read(fd, HEAD.size - len(data))
        length, kind, number = HEAD.unpack_from(data)
        end = HEAD.size + length
        data += _read(fd, end - len(data))
        rest = data[end:]
        status, body = _answer(launcher, kind, data[HEAD.size : end])
        flush()
        write(fd, REPLY.pack(len(body), status, number) + body)
        if status == SHARED and launcher.function is not None:
            serve(fd, launcher.function)
            return


def _answer(launcher: Launcher, kind: int, body: bytes) -> Reply:
    try:
        request = request_of(body)
    except RecursionError:
        return failure(502, TOO_DEEP)
    if kind == RUN:
        return launcher.run(request)
    if kind == PREPARE:
        return _prepared(request["value"]["code"])
    if kind == PLACED:
        return launcher.place()
    return launcher.init(request["value"], may_overlap=kind == INIT_SHARED)


def _prepared(code: str) -> Reply:
    try:
        prepare_archive(code)
    except InitFailedError as error:
        return failure(502, str(error))
    return 200, b"{}"


def _read(fd: int, length: int) -> bytes:
    """Exactly `length` bytes, or nothing at the end of the stream."""
    parts = []
    while length > 0:
        part = os.read(fd, min(length, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


class Launcher:
    """One action: not initialized, then ready, then possibly gone. function: what a run calls."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function
        self._is_placed = False
        self._is_initialized = False
        self._runner: asyncio.Runner | None = None

    def place(self) -> Reply:
        """The archive is in its folder."""
        self._is_placed = True
        return 200, b"{}"

    def init(self, value: dict[str, Any], *, may_overlap: bool) -> Reply:
        """Load the code. A failure leaves the launcher unusable. The status says whether runs will overlap."""
        if self._is_initialized:
            tell(TWICE)
            return failure(403, TWICE)
        code = value.get("code")
        if not self._is_placed and (not isinstance(code, str) or not code):
            return failure(403, NO_CODE)
        self._is_initialized = True
        if may_overlap:
            mark_output()
        for key, item in (value.get("env") or {}).items():
            os.environ[key] = text_of(item)
        try:
            code = None if self._is_placed else code
            self.function = load(code, bool(value.get("binary")), value.get("main") or "main")
        except InitFailedError as error:
            return failure(502, str(error))
        except OSError as error:
            tell(f"The code cannot be stored: {error}")
            return failure(502, NOT_COMPILED)
        return SHARED if may_overlap and can_overlap(self.function) else 200, b'{"ok":true}'

    def run(self, request: dict[str, Any]) -> Reply:
        """Call the function once."""
        if self.function is None:
            return failure(500, NOT_INITIALIZED)
        for key, item in request.items():
            if key != "value":
                set_variable(_VARIABLES.get(key) or f"__OW_{key.upper()}".encode(), text_of(item))
        try:
            value = request.get("value")
            result = self.function({} if value is None else value)
            if not isinstance(result, dict) and inspect.isawaitable(result):
                result = self._await(result)
        except SystemExit:
            self.function = None
            return failure(400, EXITED)
        except BaseException as error:  # whatever the function raises is its error, KeyboardInterrupt included
            return raised(error, tell)
        return returned(result, tell)

    def _await(self, result: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()

        async def outcome() -> Any:
            return await result

        return self._runner.run(outcome())
