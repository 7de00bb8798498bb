"""Programs that connect a network namespace of an ordinary user's to the internet, and how they are told to. Pure.

They take the packets of an interface and do what these ask for with sockets of the user's own,
as pasta(1) and slirp4netns(1) describe. What they would reach too, the host's loopback by an
address of their own above all, is switched off here, and refused by the router's rules besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sabayon.sandbox.native.network import OUT

ROUTER: Final = "198.18.0.100"
RESOLVER: Final = "198.18.0.3"
"""Where sandboxes find the first resolver of the host."""

_PREFIX: Final = 24
_NETWORK: Final = f"198.18.0.0/{_PREFIX}"
_GATEWAY: Final = "198.18.0.2"
"""These three are where slirp4netns has them in its network, whatever that is."""

_MTU: Final = 65520
_COMPLAINT: Final = 300
"""Characters of a complaint."""


class Translator(NamedTuple):
    """A program. command: from the descriptors, which it inherits, of the user and the network namespace."""

    program: str
    package: str
    command: Callable[[int, int], list[str]]


def _pasta(user_namespace: int, namespace: int) -> list[str]:
    return [
        "pasta", "--foreground", "--quiet", "--ipv4-only", "--config-net", "--ns-ifname", OUT,
        "--address", ROUTER, "--netmask", str(_PREFIX), "--gateway", _GATEWAY, "--mtu", str(_MTU),
        "--no-map-gw", "--dns-forward", RESOLVER, "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra",
        "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
        "--no-netns-quit", "--userns", _path(user_namespace), "--netns", _path(namespace),
    ]  # fmt: skip


def _slirp4netns(user_namespace: int, namespace: int) -> list[str]:
    return [
        "slirp4netns", "--configure", f"--cidr={_NETWORK}", f"--mtu={_MTU}", "--disable-host-loopback",
        "--enable-seccomp", "--netns-type=path", f"--userns-path={_path(user_namespace)}", _path(namespace), OUT,
    ]  # fmt: skip


KNOWN: Final = (Translator("pasta", "passt", _pasta), Translator("slirp4netns", "slirp4netns", _slirp4netns))
"""The first that is there is taken: pasta is the faster one."""


def first_of(programs: Iterable[str]) -> Translator | None:
    """The one to take where these programs are."""
    found = set(programs)
    return next((translator for translator in KNOWN if translator.program in found), None)


def complaint(output: str) -> str:
    """What a translator that ended had to say, in one line, without what it says of a log that it cannot reach."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and "syslog" not in line]
    return "; ".join(lines)[:_COMPLAINT] or "it ended without a word"


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
