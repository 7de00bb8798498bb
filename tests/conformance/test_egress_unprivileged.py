"""What sandboxes of an ordinary user's platform reach, through each translator, in the worlds of `test_egress`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import pytest

from sabayon.sandbox.native import translators
from tests.conformance.egress_world import DENIED, HOST, INTERNET, NEIGHBOURS, PORT, RESOLVERS, Remote, world
from tests.conformance.sandbox_stage import API_PORT
from tests.conformance.test_egress import ACCESS, LOOK_UP
from tests.conformance.test_sandbox_unprivileged import PYTHON_PATH, interpreter

PROGRAMS = [translator.program for translator in translators.KNOWN]


class Ground(NamedTuple):
    """What every world here is started with: a Python that ordinary users may run, and what to hide from them."""

    python: str
    program: str
    lacking: tuple[str, ...]

    def world(self, egress: str, resolver: str = "public", *lacking: str) -> AbstractContextManager[Remote]:
        names = (*self.lacking, *lacking)
        return world(egress, resolver, *names, python=self.python, python_path=PYTHON_PATH)


@pytest.fixture(scope="module", params=PROGRAMS)
def ground(request: pytest.FixtureRequest) -> Ground:
    if os.geteuid():
        pytest.skip("only root can make a host and become an ordinary user of it")
    paths = {program: shutil.which(program) for program in (*PROGRAMS, "ip", "nft", "nsenter")}
    if not all(paths.values()):
        lacking = ", ".join(program for program, path in paths.items() if not path)
        if os.environ.get("CI"):
            pytest.fail(f"{lacking} is missing; scripts/setup installs them")
        pytest.skip(f"there is no {lacking} here; scripts/setup installs them")
    python = interpreter()
    if python is None:
        pytest.skip("an ordinary user can run no Python here that finds the platform")
    others = (paths[program] for program in PROGRAMS if program != request.param)
    return Ground(python, request.param, ("root", *(path for path in others if path)))


@pytest.fixture(scope="module")
def internet(ground: Ground) -> Iterator[Remote]:
    with ground.world("internet") as remote:
        yield remote


@pytest.fixture(scope="module")
def everything(ground: Ground) -> Iterator[Remote]:
    with ground.world("all") as remote:
        yield remote


@pytest.mark.parametrize("address", [INTERNET, *NEIGHBOURS.values()], ids=["the internet", *NEIGHBOURS])
def test_an_action_reaches_what_is_public_with_the_hosts_address(internet: Remote, address: str) -> None:
    assert internet.probe("internet", (address, PORT)) == {f"{address}:{PORT}": f"beyond, asked by {HOST}"}


@pytest.mark.parametrize("address", DENIED.values(), ids=DENIED)
def test_an_action_is_refused_what_is_not_public(internet: Remote, address: str) -> None:
    assert internet.probe("internet", (address, PORT)) == {f"{address}:{PORT}": ACCESS}


@pytest.mark.parametrize("address", [HOST, "127.0.0.1", "198.18.0.2", translators.RESOLVER, translators.ROUTER])
def test_an_action_is_refused_the_services_of_the_host(internet: Remote, address: str) -> None:
    answer = internet.probe("internet", (address, PORT))[f"{address}:{PORT}"]
    assert answer == ("ECONNREFUSED" if address.startswith("127.") else ACCESS)


@pytest.mark.parametrize("address", ["10.7.7.7", "192.168.7.7", "169.254.169.254"])
def test_an_action_that_may_reach_all_reaches_also_what_is_not_public(everything: Remote, address: str) -> None:
    assert everything.probe("all", (address, PORT)) == {f"{address}:{PORT}": f"beyond, asked by {HOST}"}


def test_an_action_that_may_reach_all_reaches_the_host_by_its_address(everything: Remote) -> None:
    assert everything.probe("all", (HOST, PORT))[f"{HOST}:{PORT}"].startswith("the host, asked by ")


def test_nobody_reaches_the_loopback_of_the_host(everything: Remote) -> None:
    targets = [("127.0.0.1", PORT), ("198.18.0.2", PORT)]
    answers = everything.probe("all", *targets).values()
    assert not [answer for answer in answers if "the host" in answer]


def test_an_action_can_have_less_than_the_platform_allows(everything: Remote) -> None:
    answer = everything.probe("internet", ("10.7.7.7", PORT), (INTERNET, PORT))
    assert answer == {f"10.7.7.7:{PORT}": ACCESS, f"{INTERNET}:{PORT}": f"beyond, asked by {HOST}"}
    assert set(everything.probe("none", (INTERNET, PORT), (HOST, PORT)).values()) == {"ENETUNREACH"}


def test_an_action_is_soon_refused_an_address_that_is_new_to_the_host(ground: Ground) -> None:
    with ground.world("internet") as remote:
        assert remote.ask("moved", 2) == ACCESS


def test_an_action_reaches_no_other_sandbox_and_the_host_reaches_none(internet: Remote) -> None:
    answer = internet.ask("sibling", "internet")
    assert answer["itself"] == "the sandbox"
    assert answer["other"] == ACCESS
    assert "the sandbox" not in answer["host"]


@pytest.mark.parametrize("egress", ["none", "internet"])
def test_the_platforms_api_is_reached_whatever_else_is(internet: Remote, egress: str) -> None:
    answer = internet.probe(egress, ("127.0.0.1", API_PORT))
    assert answer == {f"127.0.0.1:{API_PORT}": "the api, asked by 127.0.0.1"}


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_names_are_found_by_the_hosts_resolver_wherever_it_is(ground: Ground, resolver: str) -> None:
    with ground.world("internet", resolver) as remote:
        assert remote.ask("run", "internet", LOOK_UP, {}) == {"address": INTERNET}
        assert set(remote.probe("internet", ("10.7.7.53", PORT), ("10.7.7.53", 53)).values()) == {ACCESS}


def test_a_translator_that_dies_is_replaced_under_the_sandboxes_it_served(ground: Ground, internet: Remote) -> None:
    told = internet.ask("translator_dies", ground.program)
    assert list(told["before"].values()) == list(told["after"].values()) == [f"beyond, asked by {HOST}"]
    assert f"{ground.program} had ended" in told["log"]


def test_a_router_whose_process_dies_goes_on_and_gives_no_address_twice(internet: Remote) -> None:
    answers = internet.ask("router_dies")
    assert {answer["heard"] for answer in answers} == {f"beyond, asked by {HOST}"}
    assert len({answer["own"] for answer in answers}) == len(answers)


def test_what_a_killed_platform_started_ends_with_it(ground: Ground) -> None:
    with ground.world("internet") as remote:
        assert remote.ask("leaves", ground.program, "user_router") >= 2


def test_a_driver_says_what_it_gives(ground: Ground) -> None:
    with ground.world("internet") as remote:
        assert remote.ask("about") == {"egress": "internet", "log": ""}


def test_a_device_that_may_not_be_opened_gives_no_egress_and_says_so(ground: Ground) -> None:
    with ground.world("internet", "public", "/dev/net/tun") as remote:
        about = remote.ask("about")
        reached = remote.probe("internet", (INTERNET, PORT), ("127.0.0.1", API_PORT))
    assert about["egress"] == "none"
    assert f"{ground.program}: " in about["log"]
    assert "tun" in about["log"]
    assert list(reached.values()) == ["ENETUNREACH", "the api, asked by 127.0.0.1"]


def test_a_host_without_any_translator_gives_no_egress_and_names_them(ground: Ground) -> None:
    path = shutil.which(ground.program)
    assert path
    with ground.world("internet", "public", path) as remote:
        about = remote.ask("about")
    assert about["egress"] == "none"
    assert "there is neither `pasta` nor `slirp4netns` on this host" in about["log"]
