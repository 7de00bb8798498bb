"""Makes and removes what `network` describes: namespaces, interfaces, rules.

For one thread: it moves between network namespaces, which no other thread notices.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sabayon.sandbox.base import Egress, SandboxUnavailable
from sabayon.sandbox.native import interfaces, linux, network
from sabayon.sandbox.native.cgroups import start_time

_TOOL_S: Final = 10.0
_SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_BEHIND_RESOLVED: Final = Path("/run/systemd/resolve/resolv.conf")
"""systemd-resolved answers nobody but the host itself; the resolvers it asks are in here."""

_LOCK: Final = Path("/proc/sys/net/ipv4/ip_forward")
_CONF: Final = Path("/proc/sys/net/ipv4/conf")
_CONNECTIONS: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_USUAL_CONNECTIONS: Final = 65536
"""How many the kernel follows where it does not say so yet."""

_numbers = itertools.count(1)


class Prepared(NamedTuple):
    """A network namespace for one sandbox, held by a descriptor that its owner closes."""

    descriptor: int
    egress: Egress


class Plumbing:
    """One platform's router and its table on the host."""

    def __init__(self, level: Egress) -> None:
        self._levels = [egress for egress in (Egress.INTERNET, Egress.ALL) if level in (egress, Egress.ALL)]
        self._owner = network.Owner(os.getpid(), start_time(os.getpid()), next(_numbers))
        self._places = itertools.count()
        self._home = -1
        self._router = -1
        self._rules = ""
        self._addresses: set[str] = set()
        self.resolv_conf = ""
        self.obstacles: list[str] = []

    def start(self) -> None:
        """Sweep what dead platforms left, and make the way out. Raises SandboxUnavailable with what is missing."""
        if os.geteuid():
            raise SandboxUnavailable("only root can make it")
        for tool in ("ip", "nft"):
            if not shutil.which(tool, path=_SYSTEM_PATH):
                raise SandboxUnavailable(f"there is no `{tool}` on this host")
        try:
            self._home = _current()
            with _locked():
                self._make(sweep())
                self.obstacles = _obstacles()
        except (OSError, ValueError, StopIteration) as error:
            raise SandboxUnavailable(str(error)) from error

    def _make(self, forwarding: set[str]) -> None:
        """forwarding: the interfaces on which other platforms, living or dead, have turned forwarding on."""
        resolvers = network.resolvers_of(_resolv_conf())
        connections = int(_read(_CONNECTIONS) or _USUAL_CONNECTIONS) // 2  # the host needs some for itself
        uplink = network.free_uplink(os.getpid() + self._owner.number, _host_addresses())
        self.resolv_conf = network.resolv_conf(uplink, resolvers)
        here = {entry.name for entry in _CONF.iterdir()} - {"all", "default", "lo"}
        here = {name for name in here if not name.startswith(network.LINK_PREFIX)}
        turned_on = {name for name in here if name in forwarding or not _is_forwarding(name)}
        self._router = self._namespace()
        rules = network.host_rules(self._owner, uplink, resolvers, turned_on)
        _nft(rules)
        self._rules = rules
        _ip(network.host_link(self._owner, _path(self._router)), self._router)
        self._switch_on(turned_on, resolvers)
        _ip(network.host_addresses(self._owner, uplink, resolvers))
        with self._inside(self._router):
            _forbid_ipv6("all", "default")
            for name in ("all", "default"):
                _write(_CONF / name / "send_redirects", "0")
                _write(_CONF / name / "accept_source_route", "0")
            _write(_LOCK, "1")
            _nft(network.router_rules(uplink, resolvers, self._levels, connections))
            _ip(network.router_links(uplink, self._levels))
        self._tell_addresses()

    def _tell_addresses(self) -> None:
        """Tell the router what the addresses of the host are now."""
        addresses = set(_host_addresses())
        if addresses != self._addresses:
            with self._inside(self._router):
                _nft(network.host_addresses_rules(addresses))
            self._addresses = addresses

    def mend(self) -> bool:
        """Bring the rules of the host back if they were lost, and see what its addresses are; whether they were lost.

        Raises OSError.
        """
        with _locked():
            is_lost = self._owner not in _owners()
            if is_lost:
                _nft(self._rules)
        self._tell_addresses()
        return is_lost

    def _switch_on(self, turned_on: Iterable[str], resolvers: Sequence[str]) -> None:
        link = self._owner.link
        _forbid_ipv6(link)
        _write(_CONF / link / "forwarding", "1")
        for name in turned_on:
            with contextlib.suppress(FileNotFoundError):  # it may have gone since it was looked at
                _write(_CONF / name / "forwarding", "1")
        if any(address.startswith("127.") for address in resolvers):
            _write(_CONF / link / "route_localnet", "1")

    def _namespace(self) -> int:
        """A descriptor of a new network namespace; this thread stays where it is."""
        linux.unshare(linux.CLONE_NEWNET)
        try:
            return _current()
        finally:
            linux.setns(self._home, linux.CLONE_NEWNET)

    @contextlib.contextmanager
    def _inside(self, namespace: int) -> Iterator[None]:
        linux.setns(namespace, linux.CLONE_NEWNET)
        try:
            yield
        finally:
            linux.setns(self._home, linux.CLONE_NEWNET)

    def prepare(self, egress: Egress, count: int) -> list[Prepared]:
        """Namespaces that reach what `egress` allows. Raises OSError."""
        with contextlib.ExitStack() as opened:
            namespaces = []
            for _ in range(count):
                namespaces.append(self._namespace())
                opened.callback(os.close, namespaces[-1])
            with self._inside(self._router):
                _ip("".join(network.sandbox_link(egress, _path(n)) for n in namespaces), *namespaces)
            for namespace in namespaces:
                with self._inside(namespace):
                    _connect(network.place(egress, next(self._places)))
            opened.pop_all()
        return [Prepared(namespace, egress) for namespace in namespaces]

    def close(self) -> None:
        """Remove all. What is still in use, such as a namespace of a sandbox, ends with who uses it. Idempotent."""
        if self._home < 0:
            return
        if self._rules:
            with _locked():
                own = _forwarding(self._owner.table)
                _remove(self._owner)
                _turn_off(own - _others())
        for descriptor in (self._router, self._home):
            if descriptor >= 0:
                os.close(descriptor)
        self._home = self._router = -1


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
    tables = [entry["table"]["name"] for entry in _listed("tables", "inet") if "table" in entry]
    return [owner for name in tables if (owner := network.owner_of(name))]


def _obstacles() -> list[str]:
    """Others' tables that forward nothing unless they are told: what is accepted in one is still dropped in another."""
    chains = [entry["chain"] for entry in _listed("chains") if "chain" in entry]
    return sorted(
        f"{chain['family']} {chain['table']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop"
    )


def _others() -> set[str]:
    return set().union(*(_forwarding(owner.table) for owner in _owners()))


def _forwarding(table: str) -> set[str]:
    listed = _listed("set", "inet", table, network.FORWARDING)
    return {name for entry in listed if "set" in entry for name in entry["set"].get("elem", [])}


def _turn_off(names: Iterable[str]) -> None:
    """Unless somebody has turned forwarding on for the whole host since."""
    if _LOCK.read_text().strip() == "0":
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                _write(_CONF / name / "forwarding", "0")


def _remove(owner: network.Owner) -> None:
    _nft(f"delete table inet {owner.table}\n")
    with contextlib.suppress(OSError):  # its other end may have gone with the router
        _ip(f"link delete {owner.link}\n")


def _connect(place: network.Place) -> None:
    """Configure the eth0 of the namespace this thread is in."""
    _forbid_ipv6("eth0")
    interfaces.bring_up("lo")
    interfaces.give_address("eth0", place.address)
    interfaces.bring_up("eth0")
    interfaces.route_by("eth0", place.gateway)


def _resolv_conf() -> str:
    text = _read(_RESOLV_CONF)
    addresses = network.resolvers_of(text)
    is_behind = bool(addresses) and all(address.startswith("127.") for address in addresses)
    return (_read(_BEHIND_RESOLVED) if is_behind else "") or text


def _host_addresses() -> list[str]:
    links: list[dict[str, Any]] = json.loads(_tool(["ip", "-json", "-4", "address", "show"]) or "[]")
    return [entry["local"] for link in links for entry in link.get("addr_info", []) if "local" in entry]


def _is_forwarding(name: str) -> bool:
    return _read(_CONF / name / "forwarding").strip() == "1"


def _forbid_ipv6(*names: str) -> None:
    """Where the kernel has IPv6 at all."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            _write(Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), "1")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One platform at a time changes the network of this host."""
    descriptor = os.open(_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _path(namespace: int) -> str:
    """For a program that inherits the descriptor."""
    return f"/proc/self/fd/{namespace}"


def _ip(commands: str, *descriptors: int) -> None:
    _tool(["ip", "-batch", "-"], commands, descriptors)


def _nft(rules: str) -> None:
    _tool(["nft", "-f", "-"], rules)


def _listed(*what: str) -> list[dict[str, Any]]:
    text = _tool(["nft", "-j", "list", *what])
    found: list[dict[str, Any]] = json.loads(text)["nftables"] if text else []
    return found


def _tool(command: list[str], text: str = "", descriptors: Sequence[int] = ()) -> str:
    """What it prints. Raises OSError with what it complains of."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_TOOL_S,
            pass_fds=descriptors, env={"PATH": _SYSTEM_PATH, "LC_ALL": "C"}, cwd="/", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]}: no end after {_TOOL_S:g} s") from error
    if done.returncode:
        raise OSError(f"{command[0]}: {(done.stderr.strip() or f'exit code {done.returncode}').splitlines()[0]}")
    return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123  the whole of it in one call
        file.write(text)
