"""The way out of a platform that runs as root: what `network` describes of it is made and removed here.

For one thread, see `router`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from sabayon.sandbox.base import Egress, SandboxUnavailable
from sabayon.sandbox.native import netadmin, network
from sabayon.sandbox.native.cgroups import start_time
from sabayon.sandbox.native.router import Prepared, Router, current_namespace, path_of

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_BEHIND_RESOLVED: Final = Path("/run/systemd/resolve/resolv.conf")
"""systemd-resolved answers nobody but the host itself; the resolvers it asks are in here."""

_CONNECTIONS: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_USUAL_CONNECTIONS: Final = 65536
"""How many the kernel follows where it does not say so yet."""

_numbers = itertools.count(1)


class Plumbing:
    """One platform's router and its table on the host; of neither there is need when `level` is none."""

    def __init__(self, level: Egress, *, api_port: int = 0) -> None:
        self._api_port = api_port
        self._levels = [egress for egress in (Egress.INTERNET, Egress.ALL) if level in (egress, Egress.ALL)]
        self._owner = network.Owner(os.getpid(), start_time(os.getpid()), next(_numbers))
        self._home = -1
        self._namespace = -1
        self._rules = ""
        self.user_namespace: Final = -1
        self.resolv_conf = ""
        self.obstacles: list[str] = []

    def start(self) -> None:
        """Sweep what dead platforms left, and make the way out. Raises SandboxUnavailable with what is missing."""
        self._home = current_namespace()
        self._router = Router(self._home, api_port=self._api_port)
        if not self._levels:
            return
        require_tools()
        try:
            with netadmin.locked():
                self._make(sweep())
                self.obstacles = _obstacles()
        except (OSError, ValueError, StopIteration) as error:
            raise SandboxUnavailable(str(error)) from error

    def _make(self, forwarding: set[str]) -> None:
        """forwarding: the interfaces on which other platforms, living or dead, have turned forwarding on."""
        resolvers = network.resolvers_of(host_resolv_conf())
        uplink = network.free_uplink(os.getpid() + self._owner.number, host_addresses())
        self.resolv_conf = network.resolv_conf(uplink, resolvers)
        here = {entry.name for entry in netadmin.CONF.iterdir()} - {"all", "default", "lo"}
        here = {name for name in here if not name.startswith(network.LINK_PREFIX)}
        turned_on = {name for name in here if name in forwarding or not netadmin.is_forwarding(name)}
        self._namespace = self._router.new_namespace()
        rules = network.host_rules(self._owner, uplink, resolvers, turned_on)
        netadmin.nft(rules)
        self._rules = rules
        netadmin.ip(network.host_link(self._owner, path_of(self._namespace)), self._namespace)
        self._switch_on(turned_on, resolvers)
        netadmin.ip(network.host_addresses(self._owner, uplink, resolvers))
        self._router.set_up(
            self._namespace,
            network.router_rules(
                [uplink.resolver(number) for number in range(len(resolvers))],
                {egress: uplink.router(egress) for egress in self._levels},
                most_connections(),
            ),
            network.hub_links(self._levels) + network.uplink_links(uplink, self._levels),
        )
        self._router.refuse(host_addresses())

    def mend(self) -> str:
        """Bring the rules of the host back if they were lost, and see what its addresses are.

        What was wrong, if anything. Raises OSError.
        """
        if not self._levels:
            return ""
        with netadmin.locked():
            is_lost = self._owner not in _owners()
            if is_lost:
                netadmin.nft(self._rules)
        self._router.refuse(host_addresses())
        return "somebody removed its rules" if is_lost else ""

    def _switch_on(self, turned_on: Iterable[str], resolvers: Sequence[str]) -> None:
        link = self._owner.link
        netadmin.forbid_ipv6(link)
        netadmin.write(netadmin.CONF / link / "forwarding", "1")
        for name in turned_on:
            with contextlib.suppress(FileNotFoundError):  # it may have gone since it was looked at
                netadmin.write(netadmin.CONF / name / "forwarding", "1")
        if any(address.startswith("127.") for address in resolvers):
            netadmin.write(netadmin.CONF / link / "route_localnet", "1")

    def prepare(self, egress: Egress, count: int) -> list[Prepared]:
        """Namespaces that reach what `egress` allows. Raises OSError."""
        return self._router.prepare(egress, count)

    def close(self) -> None:
        """Remove all. What is still in use, such as a namespace of a sandbox, ends with who uses it. Idempotent."""
        if self._home < 0:
            return
        if self._rules:
            with netadmin.locked():
                own = _forwarding(self._owner.table)
                _remove(self._owner)
                _turn_off(own - _others())
        for descriptor in (self._namespace, self._home):
            if descriptor >= 0:
                os.close(descriptor)
        self._home = self._namespace = -1


def sweep() -> set[str]:
    """Remove what dead platforms left on this host; the interfaces on which any platform turned forwarding on.

    Raises OSError.
    """
    found = set()
    for owner in _owners():
        found |= _forwarding(owner.table)
        if start_time(owner.pid) != owner.started:
            _remove(owner)
    return found


def _owners() -> list[network.Owner]:
    tables = [entry["table"]["name"] for entry in netadmin.listed("tables", "inet") if "table" in entry]
    return [owner for name in tables if (owner := network.owner_of(name))]


def _obstacles() -> list[str]:
    """Others' tables that forward nothing unless they are told: what is accepted in one is still dropped in another."""
    chains = [entry["chain"] for entry in netadmin.listed("chains") if "chain" in entry]
    return sorted(
        f"{chain['family']} {chain['table']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop"
    )


def _others() -> set[str]:
    return set().union(*(_forwarding(owner.table) for owner in _owners()))


def _forwarding(table: str) -> set[str]:
    listed = netadmin.listed("set", "inet", table, network.FORWARDING)
    return {name for entry in listed if "set" in entry for name in entry["set"].get("elem", [])}


def _turn_off(names: Iterable[str]) -> None:
    """Unless somebody has turned forwarding on for the whole host since."""
    if netadmin.FORWARDING.read_text().strip() == "0":
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                netadmin.write(netadmin.CONF / name / "forwarding", "0")


def _remove(owner: network.Owner) -> None:
    netadmin.nft(f"delete table inet {owner.table}\n")
    with contextlib.suppress(OSError):  # its other end may have gone with the router
        netadmin.ip(f"link delete {owner.link}\n")


def require_tools() -> None:
    """Raises SandboxUnavailable."""
    for tool in ("ip", "nft"):
        if not shutil.which(tool, path=netadmin.SYSTEM_PATH):
            raise SandboxUnavailable(f"there is no `{tool}` on this host")


def most_connections() -> int:
    """Of all sandboxes together; the host needs some for itself."""
    return int(netadmin.read(_CONNECTIONS) or _USUAL_CONNECTIONS) // 2


def host_resolv_conf() -> str:
    text = netadmin.read(_RESOLV_CONF)
    addresses = network.resolvers_of(text)
    is_behind = bool(addresses) and all(address.startswith("127.") for address in addresses)
    return (netadmin.read(_BEHIND_RESOLVED) if is_behind else "") or text


def host_addresses() -> list[str]:
    links: list[dict[str, Any]] = json.loads(netadmin.tool(["ip", "-json", "-4", "address", "show"]) or "[]")
    return [entry["local"] for link in links for entry in link.get("addr_info", []) if "local" in entry]
