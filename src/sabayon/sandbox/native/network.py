"""Addresses, names and rules of the way out: what is where, and who may reach what. Pure.

A platform has one *router*, a network namespace of its own, and each sandbox hangs on it:

    sandbox eth0 --- hub | gate  router  out --- sby… | host --- internet

Each level of egress has a hub and a gate, an end each of one veth pair. A sandbox's eth0 is
a macvlan on the hub, in private mode, so that two of them exchange nothing directly. The
rules of the router end with it; those of the host are in one table named after the
platform. The router gives every level an address of its own, by which the host knows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sabayon.sandbox.base import Egress

TABLE_PREFIX: Final = "sabayon-"
LINK_PREFIX: Final = "sby"
FORWARDING: Final = "forwarding"
"""The set in a host's table that names the interfaces on which the platform turned forwarding on."""

OUT: Final = "out"
"""The router's interface towards the host."""

FLOWS: Final = 1024
"""Connections that one sandbox may have at a time, those included that ended a moment ago."""

_UPLINKS: Final = ipaddress.IPv4Network("198.18.0.0/16")
_SANDBOXES: Final = {
    Egress.INTERNET: ipaddress.IPv4Network("198.19.0.0/17"),
    Egress.ALL: ipaddress.IPv4Network("198.19.128.0/17"),
}
PLACES: Final = 2**15 - 3
"""Addresses for sandboxes of one level."""

DENIED: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
"""This network, private, shared, loopback, link-local with metadata, our own, multicast, reserved, broadcast."""

_MARK: Final = {Egress.INTERNET: 1, Egress.ALL: 2}
_RESOLVERS: Final = 3
"""As many as the C library asks."""

_REFUSE: Final = "reject with icmpx admin-prohibited"


class Owner(NamedTuple):
    """A platform as its table names it. started: field 22 of /proc/PID/stat; number: which driver of the process."""

    pid: int
    started: str
    number: int

    @property
    def table(self) -> str:
        return f"{TABLE_PREFIX}{self.pid}-{self.started}-{self.number}"

    @property
    def link(self) -> str:
        """The host's interface towards the router."""
        return f"{LINK_PREFIX}{self.pid}-{self.number}"


def owner_of(table: str) -> Owner | None:
    """Whose table that is; None when it is not a platform's."""
    match = re.fullmatch(rf"{TABLE_PREFIX}(\d+)-(\d+)-(\d+)", table)
    return Owner(int(match[1]), match[2], int(match[3])) if match else None


class Uplink(NamedTuple):
    """The addresses between host and router, eight in a row."""

    network: ipaddress.IPv4Network

    @property
    def host(self) -> str:
        return str(self.network[1])

    def router(self, egress: Egress) -> str:
        """By which the host knows what sandboxes of this level send."""
        return str(self.network[1 + _MARK[egress]])

    def resolver(self, number: int) -> str:
        """Where sandboxes find the host's resolver of that number, from 0."""
        return str(self.network[4 + number])


def free_uplink(seed: int, taken: Iterable[str]) -> Uplink:
    """Addresses that do not overlap with those `taken` on the host, first tried where `seed` says."""
    used = {ipaddress.IPv4Address(address) for address in taken}
    networks = list(_UPLINKS.subnets(new_prefix=29))
    start = seed % len(networks)
    ordered = (*networks[start:], *networks[:start])
    return Uplink(next(n for n in ordered if not any(address in n for address in used)))


class Place(NamedTuple):
    """A sandbox's address, and its gateway's."""

    address: str
    gateway: str


def gateway_of(egress: Egress) -> str:
    return str(_SANDBOXES[egress][1])


def place(egress: Egress, number: int) -> Place:
    """The address of sandbox `number`; they come round after PLACES."""
    network = _SANDBOXES[egress]
    return Place(str(network[2 + number % PLACES]), str(network[1]))


def hub(egress: Egress) -> str:
    return f"hub-{egress.value}"


def gate(egress: Egress) -> str:
    return f"gate-{egress.value}"


def resolvers_of(resolv_conf: str) -> list[str]:
    """The IPv4 resolvers of a resolv.conf, at most three."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(str(ipaddress.IPv4Address(words[1])))
            except ValueError:
                continue
    return found[:_RESOLVERS]


def resolv_conf(uplink: Uplink, resolvers: Sequence[str]) -> str:
    """What sandboxes have in their place."""
    return "".join(f"nameserver {uplink.resolver(number)}\n" for number in range(len(resolvers)))


def host_link(owner: Owner, router: str) -> str:
    """The command for `ip`, on the host, that makes its way to the router, whose namespace is at that path."""
    return f"link add {owner.link} type veth peer name {OUT} netns {router}\n"


def host_addresses(owner: Owner, uplink: Uplink, resolvers: Sequence[str]) -> str:
    """Commands for `ip`, on the host, once the link is there."""
    own = [uplink.host, *(uplink.resolver(number) for number in range(len(resolvers)))]
    return _lines(*(f"address add {address}/29 dev {owner.link}" for address in own), f"link set {owner.link} up")


def hub_links(levels: Iterable[Egress]) -> str:
    """Commands for `ip`, in the router: a hub and a gate for each level."""
    commands = ["link set lo up"]
    for egress in levels:
        commands += [
            f"link add {gate(egress)} type veth peer name {hub(egress)}",
            f"address add {gateway_of(egress)}/17 dev {gate(egress)}",
            f"link set {hub(egress)} up",
            f"link set {gate(egress)} up",
        ]
    return _lines(*commands)


def uplink_links(uplink: Uplink, levels: Iterable[Egress]) -> str:
    """Commands for `ip`, in the router: its own end of the link to the host."""
    addresses = (f"address add {uplink.router(egress)}/29 dev {OUT}" for egress in levels)
    return _lines(*addresses, f"link set {OUT} up", f"route add default via {uplink.host}")


def sandbox_link(egress: Egress, namespace: str) -> str:
    """The command for `ip`, in the router, that gives the namespace at that path its eth0."""
    return f"link add link {hub(egress)} name eth0 netns {namespace} type macvlan mode private\n"


def router_rules(names: Sequence[str], sources: Mapping[Egress, str], connections: int) -> str:
    """Rules for `nft`, in the router: who reaches what.

    names: where resolvers are asked. sources: the address with which each level goes out. connections: how many
    all sandboxes may have at a time.
    """
    dns = [f"ip daddr {{ {', '.join(names)} }} meta l4proto {{ tcp, udp }} th dport 53 accept"] if names else []
    marks = [f'iifname "{gate(egress)}" meta mark set {_MARK[egress]}' for egress in sources]
    translated = [f"meta mark {_MARK[egress]} snat ip to {source}" for egress, source in sources.items()]
    return f"""
table inet sabayon {{
  set denied {{ type ipv4_addr; flags interval; elements = {{ {", ".join(DENIED)} }}; }}
  set host {{ type ipv4_addr; }}
  set flows {{ type ipv4_addr; size 65535; flags dynamic; }}
  chain input {{ type filter hook input priority filter; policy drop; {_REFUSE}; }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    {_rules(marks)}
    ct state established,related accept
    iifname "{OUT}" drop
    oifname != "{OUT}" {_REFUSE}
    meta nfproto != ipv4 drop
    ct state != new drop
    add @flows {{ ip saddr ct count over {FLOWS} }} {_REFUSE}
    ct count over {connections} {_REFUSE}
    {_rules(dns)}
    meta mark {_MARK[Egress.ALL]} accept
    ip daddr @denied {_REFUSE}
    ip daddr @host {_REFUSE}
    accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {_rules(f'oifname "{OUT}" {rule}' for rule in translated)}
  }}
}}
"""


def host_addresses_rules(addresses: Iterable[str]) -> str:
    """For `nft`, in the router: the addresses of the host, which hold also while the host has lost its own rules."""
    return _lines("flush set inet sabayon host", f"add element inet sabayon host {{ {', '.join(sorted(addresses))} }}")


def host_rules(owner: Owner, uplink: Uplink, resolvers: Sequence[str], forwarding: Iterable[str]) -> str:
    """Rules for `nft`, on the host. forwarding: the interfaces between which nothing was forwarded before.

    They come before those of other tables, which may refuse more, and can allow nothing that is refused here.
    """
    dns = [
        f"ip daddr {uplink.resolver(number)} meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {address}"
        for number, address in enumerate(resolvers)
    ]
    asked = [
        f"ct status dnat ct original ip daddr {uplink.resolver(number)} accept" for number in range(len(resolvers))
    ]
    names = ", ".join(f'"{name}"' for name in sorted(forwarding))
    link = f'iifname "{owner.link}"'
    return f"""
table inet {owner.table} {{
  set {FORWARDING} {{ type ifname; {f"elements = {{ {names} }};" if names else ""} }}
  chain prerouting {{
    type nat hook prerouting priority dstnat - 10; policy accept;
    {_rules(f"{link} {rule}" for rule in dns)}
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    {_rules(f"{link} {rule}" for rule in asked)}
    {link} ip saddr {uplink.router(Egress.ALL)} accept
    {link} {_REFUSE}
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    oifname "{owner.link}" ct state established,related accept
    oifname "{owner.link}" drop
    {link} oifname "{LINK_PREFIX}*" {_REFUSE}
    iifname @{FORWARDING} oifname @{FORWARDING} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 10; policy accept;
    ip saddr {uplink.network} oifname != "{owner.link}" masquerade
  }}
}}
"""


def _rules(rules: Iterable[str]) -> str:
    return "\n    ".join(rules)


def _lines(*commands: str) -> str:
    return "".join(f"{command}\n" for command in commands)
