"""Where the bus is: checked, and without a secret in anything that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from sabayon.bus.address import bus_address
from sabayon.bus.subjects import Subjects, check_name
from sabayon.errors import OperatorError


def test_several_servers_each_with_a_port_and_credentials_of_its_own() -> None:
    one, two, three = bus_address("nats://a, nats://u:p%40ss@b:5222,tls://[::1]:7").servers
    assert (one.host, one.port, one.is_tls, one.user, one.password) == ("a", 4222, False, None, None)
    assert (two.host, two.port, two.user, two.password) == ("b", 5222, "u", "p@ss")
    assert (three.url, three.is_tls) == ("tls://[::1]:7", True)


def test_a_file_of_credentials_is_for_servers_without_any(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("user:pass:word\n")
    address = bus_address("nats://a,nats://u:p@b", credentials=str(file))
    assert [(server.user, server.password) for server in address.servers] == [("user", "pass:word"), ("u", "p")]


def test_no_secret_is_shown() -> None:
    address = bus_address("nats://name:hunter2@a")
    assert "hunter2" not in f"{address} {address!r} {address.servers!r} {address.servers[0].url}"
    assert "name" not in address.servers[0].url


@pytest.mark.parametrize(
    "url", ["", " , ", "a:4222", "http://a", "nats://", "nats://u:hunter2@a/path", "nats://a:port", "nats://hunter2@a"]
)
def test_what_is_no_address_is_refused_in_a_line_that_shows_nothing_of_it(url: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        bus_address(url)
    assert "the setting bus" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("hunter2")
    (tmp_path / "ca").write_text("no certificate")
    for wrong in ({"credentials": str(tmp_path / "absent")}, {"credentials": str(tmp_path / "none")}):
        with pytest.raises(OperatorError, match="bus_credentials") as refusal:
            bus_address("nats://a", **wrong)
        assert "hunter2" not in str(refusal.value)
    with pytest.raises(OperatorError, match="bus_tls_ca"):
        bus_address("nats://a", tls_ca=str(tmp_path / "ca"))


def test_each_start_of_an_invoker_has_a_subject_of_its_own_and_each_installation_all() -> None:
    ours, theirs = Subjects("ours"), Subjects("theirs")
    assert ours.invoker("i1", 1) != ours.invoker("i1", 2)
    assert ours.heartbeats != theirs.heartbeats


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "é", "x" * 65, "a\n"])
def test_a_name_that_would_not_fit_into_a_subject_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match="the setting installation"):
        check_name(name, "installation")
