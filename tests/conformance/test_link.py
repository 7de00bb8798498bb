"""A connection to a real server: who is let in, and what is encrypted."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
import uvloop

from sabayon.bus.address import BusAddress, bus_address
from sabayon.bus.link import Link
from sabayon.errors import OperatorError
from tests.servers.nats import nats_server

USER = "authorization { user: sabayon, password: hunter2 }"


async def reach(address: BusAddress, patience_s: float = 5) -> None:
    link = Link(address, "test")
    await link.start(patience_s)
    await link.aclose()


def test_a_server_with_a_password_lets_in_who_has_it(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("sabayon:hunter2")
    with nats_server(tmp_path, USER) as server:
        uvloop.run(reach(bus_address(f"nats://sabayon:hunter2@127.0.0.1:{server.port}")))
        uvloop.run(reach(bus_address(server.url, credentials=str(file))))


def test_who_has_a_wrong_password_is_told_so_without_seeing_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_server(tmp_path, USER) as server, caplog.at_level(logging.DEBUG):
        address = bus_address(f"nats://sabayon:hunter3@127.0.0.1:{server.port}")
        with pytest.raises(OperatorError, match=r"(?i)authorization violation") as refusal:
            uvloop.run(reach(address, 1))
    assert "hunter" not in caplog.text + str(refusal.value)


def test_where_there_is_no_server_the_operator_is_told(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        url = server.url
    with pytest.raises(OperatorError, match=r"cannot reach the bus at 127\.0\.0\.1:\d+: .*refused"):
        uvloop.run(reach(bus_address(url), 1))


def test_of_several_servers_one_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with nats_server(tmp_path / "gone") as gone:
        url = gone.url
    with nats_server(tmp_path) as server:
        uvloop.run(reach(bus_address(f"{url},{server.url}")))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The folder of a certificate for 127.0.0.1 that vouches for itself, and its key."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=bus -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return tmp_path


def test_an_encrypted_connection_is_made_with_whom_the_authority_vouches_for(certificate: Path) -> None:
    config = f'{USER}\ntls {{ cert_file: "{certificate}/cert.pem", key_file: "{certificate}/key.pem" }}'
    with nats_server(certificate, config) as server:
        url = f"tls://sabayon:hunter2@127.0.0.1:{server.port}"
        uvloop.run(reach(bus_address(url, tls_ca=str(certificate / "cert.pem"))))
        with pytest.raises(OperatorError, match="CERTIFICATE_VERIFY_FAILED"):
            uvloop.run(reach(bus_address(url), 1))


def test_a_server_that_does_not_encrypt_is_not_told_the_password(tmp_path: Path) -> None:
    with nats_server(tmp_path, f"{USER}\ntrace: true") as server:
        address = bus_address(f"tls://sabayon:hunter2@127.0.0.1:{server.port}")
        with pytest.raises(OperatorError, match="does not speak TLS"):
            uvloop.run(reach(address, 1))
    assert "CONNECT" not in (tmp_path / "nats.log").read_text()
