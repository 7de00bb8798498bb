"""The REST client: where it connects to, and where it takes the key."""

from __future__ import annotations

import pytest

from sabayon.client import Client, ConnectionFailed
from tests.unit.cli.scripted_server import ScriptedServer


@pytest.mark.parametrize(
    ("api_host", "base_url"),
    [
        ("api.example", "https://api.example/api/v1"),
        ("http://api.example:3233", "http://api.example:3233/api/v1"),
        ("https://api.example", "https://api.example/api/v1"),
        ("http-gateway.example", "https://http-gateway.example/api/v1"),
    ],
)
def test_a_host_without_a_scheme_is_reached_by_https(api_host: str, base_url: str) -> None:
    assert Client(api_host).base_url == base_url


def test_a_server_without_tls_is_told_from_one_that_is_not_trusted() -> None:
    with ScriptedServer({}).running() as server, pytest.raises(ConnectionFailed, match="does not speak TLS") as failed:
        Client(server.url.removeprefix("http://"), "uuid:key").request("GET", "namespaces")
    assert "http://" in str(failed.value)


def test_the_key_is_not_taken_to_another_port_of_the_same_host() -> None:
    with ScriptedServer({("GET", "/elsewhere"): (200, {"here": True})}).running() as other:
        script = {("GET", "actions/x"): (302, f"{other.url}/elsewhere")}
        with ScriptedServer(script).running() as server:
            answer = Client(server.url, "uuid:key").request("GET", "namespaces/_/actions/x")
        assert answer.json() == {"here": True}
        assert "authorization" in server.requests[0].headers
        assert "authorization" not in other.requests[0].headers
