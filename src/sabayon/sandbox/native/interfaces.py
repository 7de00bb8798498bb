"""Interfaces, addresses and routes of this thread's network namespace, by the ioctls of netdevice(7)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from typing import Final

BACKLOG: Final = 64

_SIOCADDRT: Final = 0x890B
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_IFF_UP: Final = 1
_RTF_UP: Final = 1
_RTF_GATEWAY: Final = 2
_RTF_HOST: Final = 4
_ROUTE: Final = "=8x16s16s16sH30xQ24x"
"""struct rtentry where pointers have 64 bits: destination, gateway, mask, flags, the device's name."""


def bring_up(name: str) -> None:
    """Raises OSError."""
    with _probe() as probe:
        request = struct.pack("16s24x", name.encode())
        flags = struct.unpack_from("16xh", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags | _IFF_UP))


def listen(port: int) -> int:
    """Bring the loopback up and listen on it; a descriptor. Raises OSError."""
    bring_up("lo")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        return listener.detach()


def give_address(name: str, address: str) -> None:
    """An address with no network around it. Raises OSError."""
    with _probe() as probe:
        for number, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(probe, number, struct.pack("16s16s8x", name.encode(), _address(value)))


def route_by(name: str, gateway: str) -> None:
    """Send everything to a gateway that is beyond this interface. Raises OSError."""
    device = name.encode() + b"\0"
    with _probe() as probe:
        _add_route(probe, device, gateway, "0.0.0.0", "255.255.255.255", _RTF_UP | _RTF_HOST)
        _add_route(probe, device, "0.0.0.0", gateway, "0.0.0.0", _RTF_UP | _RTF_GATEWAY)


def _add_route(probe: socket.socket, device: bytes, to: str, gateway: str, mask: str, flags: int) -> None:
    buffer = ctypes.create_string_buffer(device)
    where = (_address(to), _address(gateway), _address(mask))
    fcntl.ioctl(probe, _SIOCADDRT, struct.pack(_ROUTE, *where, flags, ctypes.addressof(buffer)))


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _probe() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
