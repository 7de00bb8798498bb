"""Interfaces, addresses and routes of this thread's network namespace, by netdevice(7) and rtnetlink(7)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct
from typing import Final

BACKLOG: Final = 64

_SIOCADDRT: Final = 0x890B
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCGIFADDR: Final = 0x8915
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_RTMGRP_IPV4_IFADDR: Final = 0x10
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


def has_address(name: str) -> bool:
    """Whether there is such an interface, and it has an address."""
    with _probe() as probe, contextlib.suppress(OSError):
        fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("16s24x", name.encode()))
        return True
    return False


def address_changes() -> socket.socket:
    """What can be read from whenever an IPv4 address of this network namespace comes or goes. Raises OSError."""
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        watch.bind((0, _RTMGRP_IPV4_IFADDR))
    except OSError:
        watch.close()
        raise
    return watch


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
