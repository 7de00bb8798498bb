"""Who may reach what, as far as it is decided without a network."""

from __future__ import annotations

import ipaddress

import pytest

from sabayon.sandbox.base import Egress
from sabayon.sandbox.native.network import (
    DENIED,
    PLACES,
    Owner,
    free_uplink,
    gateway_of,
    owner_of,
    place,
    resolv_conf,
    resolvers_of,
)


@pytest.mark.parametrize(
    ("allowed", "wanted", "granted"),
    [
        ("internet", None, "internet"),
        ("internet", "none", "none"),
        ("internet", "internet", "internet"),
        ("internet", "all", "internet"),
        ("all", "internet", "internet"),
        ("all", "all", "all"),
        ("none", "all", "none"),
        ("all", "None", "none"),
        ("all", "", "none"),
    ],
)
def test_an_action_gets_what_it_wants_as_far_as_that_is_allowed(allowed: str, wanted: str | None, granted: str) -> None:
    assert Egress(allowed).narrowed(wanted) == granted


def test_no_two_sandboxes_have_the_same_address_until_all_have_been_used() -> None:
    addresses = {place(egress, n).address for egress in (Egress.INTERNET, Egress.ALL) for n in range(PLACES)}
    assert len(addresses) == 2 * PLACES
    assert not {gateway_of(Egress.INTERNET), gateway_of(Egress.ALL)} & addresses
    assert place(Egress.INTERNET, PLACES) == place(Egress.INTERNET, 0)


def test_what_the_platform_itself_uses_is_among_what_actions_are_denied() -> None:
    denied = [ipaddress.IPv4Network(network) for network in DENIED]
    own = [free_uplink(7, []).host, place(Egress.ALL, PLACES - 1).address, gateway_of(Egress.INTERNET)]
    assert all(any(ipaddress.IPv4Address(address) in network for network in denied) for address in own)


@pytest.mark.parametrize("seed", [0, 1, 8191, 4_194_304])
def test_two_platforms_have_addresses_of_their_own(seed: int) -> None:
    first = free_uplink(seed, ["192.0.2.1"])
    second = free_uplink(seed, ["192.0.2.1", first.resolver(2)])
    assert not first.network.overlaps(second.network)
    used = {first.host, *(first.router(e) for e in (Egress.INTERNET, Egress.ALL)), *map(first.resolver, range(3))}
    assert len(used) == 6
    assert {ipaddress.IPv4Address(address) for address in used} <= set(first.network.hosts())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 192.0.2.53\n", ["192.0.2.53"]),
        ("# nameserver 192.0.2.1\nsearch lan\nnameserver 192.0.2.2 # ours\n", ["192.0.2.2"]),
        ("nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 127.0.0.1", ["127.0.0.1"]),
        (
            "nameserver 192.0.2.1\n" * 2 + "nameserver 192.0.2.3\nnameserver 192.0.2.4\n",
            ["192.0.2.1"] * 2 + ["192.0.2.3"],
        ),
        ("nameserver\nnameserver elsewhere\n", []),
        ("", []),
    ],
)
def test_the_resolvers_are_the_first_three_that_have_an_ipv4_address(text: str, found: list[str]) -> None:
    assert resolvers_of(text) == found
    assert resolv_conf(free_uplink(0, []), found).count("nameserver 198.18.0.") == len(found)


def test_a_table_tells_whose_it_is() -> None:
    owner = Owner(4_194_304, "123456789", 12)
    assert owner_of(owner.table) == owner
    assert len(owner.link) < 16


@pytest.mark.parametrize("table", ["sabayon", "sabayon-1-2", "sabayon-1-2-3-4", "sabayon-a-2-3", "filter"])
def test_other_tables_are_nobodys(table: str) -> None:
    assert owner_of(table) is None
