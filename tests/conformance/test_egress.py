"""What sandboxes reach of a host and of an internet that are made for the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from sabayon.sandbox.native.network import FLOWS
from tests.conformance.egress_world import DENIED, HOST, INTERNET, NAME, NEIGHBOURS, PORT, RESOLVERS, Remote, world
from tests.conformance.sandbox_stage import API_PORT

ACCESS = "EHOSTUNREACH"
"""How a refused connection looks: at once, no time is lost."""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    if os.geteuid():
        pytest.skip("an ordinary user's driver has no way out to give")
    if not all(shutil.which(tool) for tool in ("ip", "nft", "nsenter")):
        if os.environ.get("CI"):
            pytest.fail("`nft` or `ip` is missing; scripts/setup installs them")
        pytest.skip("there is no `nft` or `ip` here; scripts/setup installs them")


@pytest.fixture(scope="module")
def internet(tools: None) -> Iterator[Remote]:
    with world("internet") as remote:
        yield remote


@pytest.fixture(scope="module")
def everything(tools: None) -> Iterator[Remote]:
    with world("all") as remote:
        yield remote


@pytest.mark.parametrize("address", [INTERNET, *NEIGHBOURS.values()], ids=["the internet", *NEIGHBOURS])
def test_an_action_reaches_what_is_public_with_the_hosts_address(internet: Remote, address: str) -> None:
    assert internet.probe("internet", (address, PORT)) == {f"{address}:{PORT}": f"beyond, asked by {HOST}"}


@pytest.mark.parametrize("address", DENIED.values(), ids=DENIED)
def test_an_action_is_refused_what_is_not_public(internet: Remote, address: str) -> None:
    assert internet.probe("internet", (address, PORT)) == {f"{address}:{PORT}": ACCESS}


@pytest.mark.parametrize("address", [a for a in DENIED.values() if not a.startswith("240.")])
def test_an_action_that_may_reach_all_reaches_also_what_is_not_public(everything: Remote, address: str) -> None:
    assert everything.probe("all", (address, PORT)) == {f"{address}:{PORT}": f"beyond, asked by {HOST}"}


@pytest.mark.parametrize("what", ["host", "gateway", "uplink", "resolver"])
def test_an_action_is_refused_the_services_of_the_host(internet: Remote, everything: Remote, what: str) -> None:
    code = """
import errno, socket, struct
def main(args):
    with open("/etc/resolv.conf") as file: resolver = file.read().split()[1]
    octets = resolver.split(".")
    addresses = {
        "host": args["host"], "resolver": resolver,
        "uplink": ".".join([*octets[:3], str(int(octets[3]) - 3)]),
        "gateway": socket.inet_ntoa(struct.pack("<L", int([l.split()[2] for l in open("/proc/net/route")][1], 16))),
    }
    with socket.socket() as client:
        client.settimeout(5)
        try:
            client.connect((addresses[args["what"]], 8080))
            return {"got": client.recv(100).decode()}
        except OSError as error: return {"got": errno.errorcode.get(error.errno, str(error))}
"""
    assert internet.ask("run", "internet", code, {"what": what, "host": HOST}) == {"got": ACCESS}
    got = everything.ask("run", "all", code, {"what": what, "host": HOST})["got"]
    assert got.startswith("the host") if what in ("host", "uplink") else got


def test_an_action_is_refused_an_address_that_is_new_to_the_host(tools: None) -> None:
    with world("internet") as remote:
        assert remote.ask("moved", 0) == ACCESS


def test_an_action_reaches_no_other_sandbox_and_the_host_reaches_none(internet: Remote) -> None:
    answer = internet.ask("sibling", "internet")
    assert answer["itself"] == "the sandbox"
    assert answer["other"] == ACCESS
    assert "the sandbox" not in answer["host"]


@pytest.mark.parametrize("egress", ["none", "internet"])
def test_the_platforms_api_is_reached_whatever_else_is(internet: Remote, egress: str) -> None:
    answer = internet.probe(egress, ("127.0.0.1", API_PORT))
    assert answer == {f"127.0.0.1:{API_PORT}": "the api, asked by 127.0.0.1"}


def test_an_action_without_egress_reaches_nothing_but_the_api(internet: Remote) -> None:
    targets = [(address, PORT) for address in (INTERNET, HOST, *DENIED.values(), *NEIGHBOURS.values())]
    assert set(internet.probe("none", *targets).values()) == {"ENETUNREACH"}


def test_an_action_cannot_have_more_than_the_platform_allows(internet: Remote) -> None:
    assert internet.probe("all", ("10.7.7.7", PORT)) == {f"10.7.7.7:{PORT}": ACCESS}


def test_an_action_can_have_less_than_the_platform_allows(everything: Remote) -> None:
    answer = everything.probe("internet", ("10.7.7.7", PORT), (INTERNET, PORT))
    assert answer == {f"10.7.7.7:{PORT}": ACCESS, f"{INTERNET}:{PORT}": f"beyond, asked by {HOST}"}


LOOK_UP = f"""
import socket
def main(args):
    try: return {{"address": socket.gethostbyname("{NAME}")}}
    except OSError as error: return {{"address": str(error)}}
"""


def test_an_action_in_javascript_finds_names_and_reaches_what_is_public(internet: Remote, nodejs: str) -> None:
    code = """
const net = require('net')
function main({ name, port }) {
  return new Promise((resolve, reject) => {
    net.connect(port, name).on('data', (text) => resolve({ text: String(text) })).on('error', reject)
  })
}
"""
    answer = internet.ask("run", "internet", code, {"name": NAME, "port": PORT}, nodejs)
    assert answer == {"text": f"beyond, asked by {HOST}"}


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_names_are_found_by_the_hosts_resolver_wherever_it_is(tools: None, resolver: str) -> None:
    with world("internet", resolver) as remote:
        assert remote.ask("run", "internet", LOOK_UP, {}) == {"address": INTERNET}
        assert remote.ask("run", "none", LOOK_UP, {})["address"] != INTERNET
        private = ("10.7.7.53", PORT), ("10.7.7.53", 53)
        assert set(remote.probe("internet", *private).values()) == {ACCESS}


def test_one_action_cannot_fill_the_hosts_table_of_connections(internet: Remote) -> None:
    code = """
import socket
def main(args):
    query = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\0\\0\\1\\0\\1"
    answered = failed = 0
    while failed < 5 and answered < 3000:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
            any.settimeout(0.5)
            any.bind(("", 2000 + answered + failed))
            any.connect((args["resolver"], 53))
            try: answered += bool(any.send(query) and any.recv(512))
            except OSError: failed += 1
    return {"answered": answered}
"""
    answered = internet.ask("run", "internet", code, {"resolver": RESOLVERS["public"]})["answered"]
    assert 0.9 * FLOWS < answered <= FLOWS
    assert internet.probe("internet", (INTERNET, PORT)) == {f"{INTERNET}:{PORT}": f"beyond, asked by {HOST}"}


def test_a_driver_that_ends_leaves_the_network_as_it_was(tools: None) -> None:
    with world("internet") as remote:
        traces = remote.ask("ends")
    assert [link for link in traces["before"]["links"] if link.startswith("sby")]
    assert traces["before"]["forwarding"][0] == "eth0"
    assert traces["after"] == {"links": ["eth0", "lo"], "tables": [], "forwarding": []}


def test_what_a_killed_driver_leaves_goes_with_the_next_one(tools: None) -> None:
    with world("internet") as remote:
        traces = remote.ask("dies")
    assert len(traces["held"]["tables"]) == 1
    assert len(traces["killed"]["tables"]) == 1
    assert set(traces["held"]["tables"]).isdisjoint(traces["during"]["tables"])
    assert "eth0" in traces["during"]["forwarding"]
    assert traces["after"] == traces["untouched"]


def test_a_driver_that_ends_leaves_another_ones_way_out(tools: None) -> None:
    with world("internet") as remote:
        traces = remote.ask("overlaps")
    assert [len(traces[when]["tables"]) for when in ("both", "one", "none")] == [2, 1, 0]
    assert traces["reached"] == [f"beyond, asked by {HOST}"]
    assert "eth0" in traces["both"]["forwarding"]
    assert "eth0" in traces["one"]["forwarding"]
    assert traces["none"]["forwarding"] == []


def test_a_sandbox_has_ipv6_on_its_loopback_only(everything: Remote) -> None:
    code = """
import errno, socket
def main(args):
    with open("/proc/net/if_inet6") as file: links = [line.split()[-1] for line in file]
    found = []
    for address in ("2001:db8::1", "fd00::1", "fe80::1", "ff02::1"):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            try: client.sendto(b"x", (address, 9, 0, 2))
            except OSError as error: found.append(errno.errorcode[error.errno])
    return {"links": links, "errors": found}
"""
    answer = everything.ask("run", "all", code, {})
    assert answer["links"] == ["lo"]
    assert len(answer["errors"]) == 4


def test_a_firewall_that_takes_all_rules_along_opens_nothing_and_the_rules_come_back(tools: None) -> None:
    with world("internet") as remote:
        reached = remote.ask("flushed")
    assert reached["at once"] == [ACCESS, ACCESS]
    assert reached["later"] == [ACCESS, f"beyond, asked by {HOST}"]


@pytest.mark.parametrize("tool", ["ip", "nft"])
def test_a_host_that_lacks_a_tool_gives_no_egress_and_says_so(tools: None, tool: str) -> None:
    path = shutil.which(tool)
    assert path
    with world("internet", "public", path) as remote:
        about = remote.ask("about")
        reached = remote.probe("internet", (INTERNET, PORT), ("127.0.0.1", API_PORT))
    assert about["egress"] == "none"
    assert f"there is no `{tool}` on this host" in about["log"]
    assert list(reached.values()) == ["ENETUNREACH", "the api, asked by 127.0.0.1"]


def test_a_driver_says_what_it_gives(internet: Remote, everything: Remote) -> None:
    assert internet.ask("about") == {"egress": "internet", "log": ""}
    assert everything.ask("about") == {"egress": "all", "log": ""}


def test_a_firewall_that_forwards_nothing_is_pointed_out(tools: None) -> None:
    with world("internet", "public", "forwarding") as remote:
        assert "the firewall of this host (ip filter) forwards nothing" in remote.ask("about")["log"]
        assert remote.probe("internet", (INTERNET, PORT))[f"{INTERNET}:{PORT}"] != f"beyond, asked by {HOST}"
