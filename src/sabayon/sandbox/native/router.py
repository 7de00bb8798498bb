"""The namespaces of sandboxes: made, given a listener, and connected to the router where they are to have a way out.

For one thread: it moves between network namespaces, which no other thread notices.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sabayon.sandbox.base import Egress
from sabayon.sandbox.native import interfaces, linux, netadmin, network


class Prepared(NamedTuple):
    """A network namespace for one sandbox, and a socket that listens on its loopback; its owner closes both."""

    namespace: int
    listener: socket.socket

    def close(self) -> None:
        os.close(self.namespace)
        self.listener.close()


class Router:
    """Makes namespaces.

    home: the one this thread is in, and comes back to; a descriptor, which it does not close.
    first_place: how many have been given an address already.
    """

    def __init__(self, home: int, *, api_port: int, first_place: int = 0) -> None:
        self.home = home
        self._api_port = api_port
        self._places = itertools.count(first_place)
        self._addresses: set[str] = set()
        self._namespace = -1

    def set_up(self, namespace: int, rules: str, links: str) -> None:
        """Make a namespace the router of all that come, with these rules for `nft` and commands for `ip`.

        Raises OSError.
        """
        with self.inside(namespace):
            netadmin.forbid_ipv6("all", "default")
            for name in ("all", "default"):
                netadmin.write(netadmin.CONF / name / "send_redirects", "0")
                netadmin.write(netadmin.CONF / name / "accept_source_route", "0")
            netadmin.write(netadmin.FORWARDING, "1")
            netadmin.nft(rules)
            netadmin.ip(links)
        self.adopt(namespace)

    def adopt(self, namespace: int) -> None:
        """Go on with a router that has been set up."""
        self._namespace = namespace

    def refuse(self, addresses: Iterable[str]) -> None:
        """Refuse the way to the addresses of the host, and to no others that were told before. Raises OSError."""
        told = set(addresses)
        if told != self._addresses:
            with self.inside(self._namespace):
                netadmin.nft(network.host_addresses_rules(told))
            self._addresses = told

    def prepare(self, egress: Egress, count: int) -> list[Prepared]:
        """Namespaces that reach what `egress` allows. Raises OSError."""
        with contextlib.ExitStack() as opened:
            prepared = []
            for _ in range(count):
                prepared.append(self._prepared())
                opened.callback(prepared[-1].close)
            if egress is not Egress.NONE:
                self._connect([one.namespace for one in prepared], egress)
            opened.pop_all()
        return prepared

    def _prepared(self) -> Prepared:
        namespace = self.new_namespace()
        try:
            with self.inside(namespace):
                return Prepared(namespace, socket.socket(fileno=interfaces.listen(self._api_port)))
        except OSError:
            os.close(namespace)
            raise

    def _connect(self, namespaces: list[int], egress: Egress) -> None:
        with self.inside(self._namespace):
            netadmin.ip("".join(network.sandbox_link(egress, path_of(n)) for n in namespaces), *namespaces)
        for namespace in namespaces:
            with self.inside(namespace):
                _configure(network.place(egress, next(self._places)))

    def new_namespace(self) -> int:
        """A descriptor of a new network namespace; this thread stays where it is. Raises OSError."""
        linux.unshare(linux.CLONE_NEWNET)
        try:
            return current_namespace()
        finally:
            linux.setns(self.home, linux.CLONE_NEWNET)

    @contextlib.contextmanager
    def inside(self, namespace: int) -> Iterator[None]:
        """This thread is in that namespace meanwhile. Raises OSError."""
        linux.setns(namespace, linux.CLONE_NEWNET)
        try:
            yield
        finally:
            linux.setns(self.home, linux.CLONE_NEWNET)


def current_namespace() -> int:
    """A descriptor of the network namespace this thread is in. Raises OSError."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def path_of(namespace: int) -> str:
    """For a program that inherits the descriptor."""
    return f"/proc/self/fd/{namespace}"


def _configure(place: network.Place) -> None:
    """The eth0 of the namespace this thread is in."""
    netadmin.forbid_ipv6("eth0")
    interfaces.give_address("eth0", place.address)
    interfaces.bring_up("eth0")
    interfaces.route_by("eth0", place.gateway)
