"""Attempts to reach what listens on the host, to be reached, and to change the network."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.frame import (
    LOOPBACK_UP,
    NOT_PERMITTED,
    NOT_THERE,
    PRIVATE,
    Attack,
    cases,
    fails_with,
    gains_nothing,
    gains_something,
    inside,
    outside,
)
from tests.conformance.egress_world import Remote, world
from tests.conformance.sandbox_stage import API_PORT, Stage, run_body

CONNECT = """
def attack(args):
    with socket.socket(args.get("family", socket.AF_INET)) as client:
        client.settimeout(2)
        address = args["address"]
        client.connect(tuple(address) if isinstance(address, list) else address)
    return True
"""

SCAN = """
def attack(args):
    found = []
    for port in {*range(1, 10_000), args["port"]} - {args["api_port"]}:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0: found.append(port)
    return found
"""

NAMES = """
def attack(args):
    with open("/proc/net/unix") as file:
        return [line for line in file.read().splitlines()[1:] if len(line.split()) > 7]
"""

TABLE = """
def attack(args):
    with open("/proc/net/tcp") as file: rows = [line.split() for line in file.read().splitlines()[1:]]
    ports = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}
    return sorted(ports - {args["api_port"]})
"""

GIVE_ADDRESS = """
def attack(args):
    import fcntl
    with socket.socket() as any:
        address = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, bytes([169, 254, 169, 254]))
        fcntl.ioctl(any, 0x8916, address)
        any.bind(("169.254.169.254", 0))
    return True
"""

TAKE_DOWN = """
def attack(args):
    import fcntl
    with socket.socket() as any:
        fcntl.ioctl(any, 0x8914, struct.pack("16sh14x", b"lo", 0))
    return True
"""

ADD_ADDRESS = """
def attack(args):
    body = struct.pack("BBBBI", 2, 8, 0, 0, socket.if_nametoindex("lo"))
    body += struct.pack("HH4s", 8, 2, bytes([10, 9, 8, 7]))
    message = struct.pack("IHHII", 16 + len(body), 20, 0x605, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(message)
        number = -struct.unpack_from("i", link.recv(4096), 16)[0]
    if number: raise OSError(number, "add an address")
    return True
"""

ROUTE = """
def attack(args):
    import fcntl
    def address(a, b, c, d): return struct.pack("HH4s8x", socket.AF_INET, 0, bytes([a, b, c, d]))
    entry = struct.pack("L", 0) + address(10, 9, 8, 0) + address(0, 0, 0, 0) + address(255, 255, 255, 0)
    device = ctypes.create_string_buffer(b"lo")
    entry += struct.pack("HhLLHHhxxPLLH", 1, 0, 0, 0, 0, 0, 0, ctypes.addressof(device), 0, 0, 0)
    with socket.socket() as any: fcntl.ioctl(any, 0x890B, entry.ljust(120, b"\\0"))
    return True
"""

TUNNEL = """
def attack(args):
    return os.open("/dev/net/tun", os.O_RDWR)
"""

FORGED = """
def attack(args):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20, 1, 0, 64, 17, 0, bytes([10, 1, 2, 3]), bytes([127, 0, 0, 1]))
        return raw.sendto(header, ("127.0.0.1", 0))
"""

SPOOFED_SENDER = """
def attack(args):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
        any.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        any.bind(("10.1.2.3", 0))
    return True
"""

JOIN = """
def attack(args):
    return in_child(lambda: call("setns", os.open(f"/proc/{args['pid']}/ns/net", os.O_RDONLY), 0) == 0)
"""

METADATA = f"""{LOOPBACK_UP}
subprocess.run(["ip", "address", "add", "169.254.169.254/32", "dev", "lo"], check=True)
import socket
services = [socket.create_server(("169.254.169.254", 80))]
"""
REFUSED = fails_with(errno.ECONNREFUSED)
UNREACHABLE = fails_with(errno.ENETUNREACH)
API = {"api_port": API_PORT}


def addresses(ground: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Addresses of services of the host, which are known only when they run."""
    return {
        "the host's IPv4": {"address": ["127.0.0.1", ground["port"]]},
        "the host's own address": {"address": [ground["host"], ground["port"]]},
        "the host's IPv6": {"address": ["::1", ground["port6"]], "family": socket.AF_INET6},
        "a nameless socket of the host": {"address": ground["abstract"], "family": socket.AF_UNIX},
        "a named socket of the host": {"address": ground["path"], "family": socket.AF_UNIX},
    }


ATTACKS = [
    Attack("the host's IPv4", CONNECT, REFUSED),
    Attack("the host's own address", CONNECT, fails_with(errno.ECONNREFUSED, errno.ENETUNREACH)),
    Attack("the host's IPv6", CONNECT, REFUSED),
    Attack("a nameless socket of the host", CONNECT, REFUSED),
    Attack("a named socket of the host", CONNECT, NOT_THERE),
    Attack("the address of machine metadata", CONNECT, UNREACHABLE, PRIVATE, METADATA,
           args={"address": ["169.254.169.254", 80]}),
    Attack("every port of the loopback but the platform's", SCAN, gains_nothing, args=API),
    Attack("the names of local sockets", NAMES, gains_nothing),
    Attack("the table of listeners", TABLE, gains_nothing, args=API),
    Attack("the address of machine metadata for itself", GIVE_ADDRESS, NOT_PERMITTED, PRIVATE, LOOPBACK_UP),
    Attack("the loopback's end", TAKE_DOWN, NOT_PERMITTED, PRIVATE, LOOPBACK_UP),
    Attack("an address by a message to the kernel", ADD_ADDRESS, NOT_PERMITTED, PRIVATE),
    Attack("a route of its own", ROUTE, NOT_PERMITTED, PRIVATE, LOOPBACK_UP),
    Attack("a tunnel", TUNNEL, NOT_THERE),
    Attack("a packet with a forged sender", FORGED, NOT_PERMITTED, PRIVATE, LOOPBACK_UP),
    Attack("an address that is not its own", SPOOFED_SENDER, NOT_PERMITTED, PRIVATE, LOOPBACK_UP),
    Attack("the network of the host", JOIN, NOT_THERE),
]  # fmt: skip


@cases(ATTACKS)
def test_an_attack_on_the_network_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    outcome = inside(stage, attack, {**ground, **addresses(ground).get(attack.name, {})})
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_on_the_network_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, {**ground, **addresses(ground).get(attack.name, {})})
    assert gains_something(outcome), outcome


IPV6 = """
def attack(args):
    with open("/proc/net/if_inet6") as file: lines = file.read().splitlines()
    return [line for line in lines if line.split()[-1] != "lo"]
"""

A_LINK = """
import subprocess
for command in ("link add one type veth peer name two", "link set one up", "link set two up",
                "address add 10.9.8.7/24 dev one", "route add default dev one"):
    subprocess.run(["ip", *command.split()], check=True)
"""
WITH_A_WAY_OUT = [
    *(attack for attack in ATTACKS if attack.denied is NOT_PERMITTED),
    Attack("an address of IPv6", IPV6, gains_nothing, PRIVATE, A_LINK),
]


@pytest.fixture(scope="module")
def online() -> Iterator[Remote]:
    """A driver whose sandboxes have a way out, on a host that is made for the test."""
    if os.geteuid() or not all(shutil.which(tool) for tool in ("ip", "nft", "nsenter")):
        pytest.skip("only root, with `ip` and `nft`, can make a way out")
    with world("internet") as remote:
        yield remote


@cases(WITH_A_WAY_OUT)
def test_an_attack_on_the_network_fails_in_a_sandbox_with_a_way_out(
    online: Remote, ground: dict[str, Any], attack: Attack
) -> None:
    outcome = online.ask("run", "internet", attack.source, {**ground, **attack.args})
    assert attack.denied(outcome), outcome


def test_an_address_of_ipv6_comes_with_any_link_on_the_host(ground: dict[str, Any]) -> None:
    outcome = outside(WITH_A_WAY_OUT[-1], ground)
    assert gains_something(outcome), outcome


LISTEN = """
import socket
server = socket.create_server(("0.0.0.0", 0))
def main(args): return {"port": server.getsockname()[1]}
"""


def is_reachable(port: int) -> bool:
    hosts = ("127.0.0.1", socket.gethostbyname(socket.gethostname()))
    for host in hosts:
        with socket.socket() as client:
            client.settimeout(2)
            if client.connect_ex((host, port)) == 0:
                return True
    return False


def test_a_service_in_a_sandbox_is_reachable_neither_from_the_host_nor_from_another_sandbox(stage: Stage) -> None:
    async def scenario() -> tuple[bool, Any]:
        async with stage.action(LISTEN) as sandbox:
            port = json.loads((await sandbox.run(run_body(), 10)).body)["port"]
            code = Attack("connect", CONNECT, REFUSED).source
            found = await stage.result(code, {"address": ["127.0.0.1", port]})
            return is_reachable(port), found

    assert stage.run(scenario()) == (False, {"errno": errno.ECONNREFUSED})


def test_the_same_service_is_reachable_when_it_runs_on_the_host() -> None:
    program = f"{LISTEN}\nprint(main({{}})['port'], flush=True)\ninput()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-I", "-c", program], stdin=pipe, stdout=pipe, text=True) as service:
        assert service.stdout is not None
        port = int(service.stdout.readline())
        assert is_reachable(port)
        service.communicate("\n")
