"""Questions to the kernel that only a system call answers; those that change something are asked in a child process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

_TIMEX_BYTES: Final = 208
_TIMEX_STATUS: Final = 40
"""Where `status` is in struct timex on 64-bit machines; see adjtimex(2)."""

_STA_UNSYNC: Final = 0x40
_ANSWER_BYTES: Final = 4096


def refusal(work: Callable[[], object]) -> str:
    """Do `work` in a child process that ends afterwards; why the kernel refused it, empty if it did not."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        _answer(work, write_end)
    os.close(write_end)
    answer = os.read(read_end, _ANSWER_BYTES).decode()
    os.close(read_end)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return answer or (f"the process that tried was ended with {code}" if code else "")


def _answer(work: Callable[[], object], write_end: int) -> None:
    """In the child. Never returns."""
    try:
        work()
    except OSError as error:
        os.write(write_end, (error.strerror or str(error)).encode())
    except BaseException as error:  # the last frame of this process: whatever it is must be told
        os.write(write_end, repr(error).encode()[:_ANSWER_BYTES])
    os._exit(0)


def is_clock_synchronised() -> bool | None:
    """Whether a time service has told the kernel so lately; None when the kernel does not say."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return None
    status = int.from_bytes(timex.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], "little")
    return not status & _STA_UNSYNC
