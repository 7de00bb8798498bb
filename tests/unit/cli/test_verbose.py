"""`wsk -v` and `-d`: what goes over the wire, printed before the output."""

import json
from typing import Any

import pytest

from tests.unit.cli.terminal import AUTH, wsk

HELLO = {"hello.js": "function main() {}"}


def test_an_exchange_is_shown_before_the_output() -> None:
    run = wsk("-v", "action", "create", "h", "hello.js", files=HELLO)
    assert (run.exit, run.stderr) == (0, "")
    request, _, response = run.stdout.partition("RESPONSE:")
    head = f"REQUEST:\n[PUT]\t{run.url}/api/v1/namespaces/_/actions/h?overwrite=false\nReq Headers\n"
    assert request.startswith(head + '{\n  "')
    assert (
        '  "Authorization": [\n    "Basic ******"\n  ],\n  "Content-Type": [\n    "application/json"\n  ],\n' in request
    )
    assert request.endswith("}\nReq Body\n" + run.requests[0].raw_body.decode() + "\n")
    assert response.startswith('Got response with code 200\nResp Headers\n{\n  "')
    body = '{"namespace": "_", "name": "h", '
    assert f"Response body received:\n{body}" in response
    assert response.endswith("}\nok: created action h\n")


def test_the_headers_are_shown_as_sorted_json() -> None:
    run = wsk("action", "create", "h", "hello.js", "--verbose", files=HELLO)
    headers = run.stdout.partition("Req Headers\n")[2].partition("Req Body")[0]
    shown = json.loads(headers)
    assert list(shown) == sorted(shown)
    assert {"Authorization", "Content-Type", "User-Agent"} <= shown.keys()
    assert shown["User-Agent"] == [run.requests[0].headers["user-agent"]]


def test_the_size_of_the_answer_is_told() -> None:
    answer = b'{"name":"h"}'
    run = wsk("-v", "action", "get", "h", server={("GET", "actions/h"): (200, answer)})
    assert f"}}\nResponse body size is {len(answer)} bytes\nResponse body received:\n" in run.stdout
    assert "Req Body" not in run.stdout


def test_the_credential_is_not_shown() -> None:
    stdout = wsk("-v", "action", "list").stdout
    assert "dXVpZDprZXk=" not in stdout
    assert '"Basic ******"' in stdout


def test_passwords_in_bodies_are_not_shown() -> None:
    run = wsk("-v", "action", "invoke", "h", "-p", "password", "hunter2")
    assert "hunter2" not in run.stdout
    assert '"password":"******"' in run.stdout
    assert run.body == {"password": "hunter2"}


@pytest.mark.parametrize(("flag", "whole"), [("-v", False), ("-d", True)])
def test_a_long_body_is_cut_unless_everything_is_asked_for(flag: str, whole: bool) -> None:
    long = "x" * 2000
    server: Any = {("GET", "actions/h"): (200, {"name": "h", "exec": {"kind": "python:3", "code": long}})}
    run = wsk(flag, "action", "get", "h", "version", server=server)
    assert ("Body exceeds 1000 bytes and will be truncated\n" in run.stdout) is not whole
    assert (long in run.stdout) is whole


def test_nothing_of_this_is_shown_otherwise() -> None:
    assert wsk("action", "list").stdout == "actions\n"


def test_the_credential_that_a_feed_gets_is_not_shown() -> None:
    run = wsk("-v", "trigger", "create", "t", "--feed", "f")
    assert run.body["authKey"] == AUTH
    assert AUTH not in run.stdout


def test_secrets_are_shown_to_who_asks_for_them() -> None:
    run = wsk("-v", "--show-secrets", "action", "invoke", "h", "-p", "password", "hunter2")
    assert '"Basic dXVpZDprZXk="' in run.stdout
    assert '"password":"hunter2"' in run.stdout


def test_the_environment_can_ask_for_everything() -> None:
    assert wsk("action", "list", env={"WSK_CLI_DEBUG": "1"}).stdout.startswith("REQUEST:\n[GET]\t")
