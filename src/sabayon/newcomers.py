"""Closing a listening socket without hanging up on somebody who was just let in.

Connections that the kernel has made and nobody has accepted yet are reset when their listening socket closes, though
their clients may have sent a request already. So new ones are kept from beginning first: Linux throws away their first
packet, and what is on its way becomes complete. Clients send that packet again after a second, and are refused then.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

_SO_ATTACH_FILTER: Final = 26
_TCP_FLAGS_AT: Final = 13
_SYN: Final = 0x02
_WHOLE: Final = 0xFFFFFFFF

_PROGRAM: Final = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, _TCP_FLAGS_AT),  # load a byte of the TCP header
        (0x45, 0, 1, _SYN),  # go on with the next instruction if that bit is set, else leave out one
        (0x06, 0, 0, 0),  # throw the packet away
        (0x06, 0, 0, _WHOLE),  # take it
    )
)
"""For the kernel's classic packet filter."""


def keep_out(listening: socket.socket) -> None:
    """No connection begins any more; those that have begun can be accepted. Raises OSError."""
    program = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))
    descriptor = struct.pack("@HP", len(_PROGRAM) // 8, ctypes.addressof(program))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
