"""Attempts on the platform by its clients, and what the same bytes do to a server that trusts them."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.running import Platform
from tests.attacks.trusting_server import trusting

Address = tuple[str, int]
MB = 1 << 20
DEEP = b"[" * 100_000 + b"]" * 100_000


def address_of(platform: Platform) -> Address:
    url = urlsplit(platform.api_host)
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


def credentials(platform: Platform) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(platform.auth.encode()) + b"\r\n"


def exchange(address: Address, data: bytes, within_s: float = 5) -> bytes:
    """All that the server answers to `data` until it hangs up, or says nothing for so long."""
    with socket.create_connection(address, timeout=within_s) as client:
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.sendall(data)
            while part := client.recv(65536):
                answer += part
        return answer


def is_serving(address: Address, path: str = "/", within_s: float = 2) -> bool:
    """Whether somebody else gets an answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(address, timeout=within_s) as client:
        try:
            client.sendall(request)
            return client.recv(12) == b"HTTP/1.1 200"
        except TimeoutError:
            return False


@contextmanager
def dawdlers(address: Address, beginning: bytes, number: int) -> Iterator[None]:
    """Clients that have sent the beginning of a request and send no more."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.create_connection(address, timeout=5)).sendall(beginning)
        yield


SLOW = {
    "body": b"PUT /api/v1/namespaces/_/actions/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    "head": b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "first line": b"GE",
    "beginning": b"",
}


@pytest.mark.parametrize("what", SLOW)
def test_clients_that_never_finish_keep_nobody_waiting(platform: Platform, what: str) -> None:
    with dawdlers(address_of(platform), SLOW[what], 200):
        assert is_serving(address_of(platform), "/api/v1")


@pytest.mark.parametrize("what", SLOW)
def test_one_client_that_never_finishes_keeps_all_others_of_a_trusting_server_waiting(
    tmp_path: Path, what: str
) -> None:
    with trusting(tmp_path) as server:
        with dawdlers(server.address, SLOW[what], 1):
            assert not is_serving(server.address, within_s=0.3)
        assert is_serving(server.address)


def flood(megabytes: int) -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: x\r\n"
    for _ in range(megabytes * 16):
        yield b"X-More: " + b"x" * 65_000 + b"\r\n"


def resident_bytes(platform: Platform) -> int:
    return int(Path(f"/proc/{platform.process.pid}/statm").read_text().split()[1]) * 4096


def pour(address: Address, parts: Iterator[bytes]) -> tuple[int, bytes]:
    """How much the server took before it hung up, and what it said."""
    taken, answer = 0, b""
    with socket.create_connection(address, timeout=2) as client:
        try:
            for part in parts:
                client.sendall(part)
                taken += len(part)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            answer = client.recv(65536)
    return taken, answer


def test_a_flood_of_headers_is_cut_off_and_costs_no_memory(platform: Platform) -> None:
    before = resident_bytes(platform)
    _, answer = pour(address_of(platform), flood(64))
    assert answer[:12] == b"HTTP/1.1 431"
    assert resident_bytes(platform) - before < 16 * MB
    assert is_serving(address_of(platform), "/api/v1")


def test_a_trusting_server_keeps_a_flood_of_headers(tmp_path: Path) -> None:
    with trusting(tmp_path) as server:
        taken, _ = pour(server.address, flood(64))
        assert taken > 60 * MB
    assert server.kept_bytes > 60 * MB


def test_a_packed_body_is_not_unpacked(platform: Platform) -> None:
    packed = gzip.compress(b'{"publish":' + b" " * (200 * MB) + b"true}")
    before = resident_bytes(platform)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = platform.request("PUT", "/namespaces/_/packages/bomb", packed, headers=headers)
    assert answer.status in (400, 415)
    assert resident_bytes(platform) - before < 50 * MB


def test_a_trusting_server_unpacks_a_packed_body(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"publish":' + b" " * (200 * MB) + b"true}")
    head = b"PUT /x HTTP/1.1\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with trusting(tmp_path) as server:
        exchange(server.address, head + packed)
    assert server.kept_bytes > 200 * MB


def test_a_body_that_announces_a_terabyte_is_refused_before_it_comes(platform: Platform) -> None:
    head = b"PUT /api/v1/namespaces/_/packages/x HTTP/1.1\r\nHost: x\r\n" + credentials(platform)
    head += b"Content-Type: application/json\r\nContent-Length: 1099511627776\r\n\r\n"
    assert exchange(address_of(platform), head, within_s=1)[:12] == b"HTTP/1.1 413"


def test_a_trusting_server_waits_for_the_terabyte(tmp_path: Path) -> None:
    with trusting(tmp_path) as server:
        assert (
            exchange(server.address, b"PUT /x HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\n", within_s=0.5) == b""
        )


DEEP_REQUESTS = {
    "a parameter": ("PUT", "packages/x", b'{"parameters":[{"key":"a","value":%s}]}'),
    "the code of an action": ("PUT", "actions/x", b'{"exec":{"kind":"python:3","code":%s}}'),
    "an annotation": ("PUT", "packages/x", b'{"annotations":[{"key":"a","value":%s}]}'),
    "a whole body": ("PUT", "triggers/x", b"%s"),
    "a trigger of a rule": ("PUT", "rules/x", b'{"trigger":%s,"action":"x"}'),
    "an unknown field": ("PUT", "packages/x", b'{"unknown":%s}'),
    "arguments": ("POST", "actions/x?blocking=true", b'{"a":%s}'),
    "an event": ("POST", "triggers/x", b'{"a":%s}'),
}  # fmt: skip


@pytest.mark.parametrize("what", DEEP_REQUESTS)
def test_json_nested_a_hundred_thousand_deep_is_the_clients_mistake(platform: Platform, what: str) -> None:
    method, path, body = DEEP_REQUESTS[what]
    assert platform.request(method, f"/namespaces/_/{path}", body % DEEP).status in (400, 404)
    assert is_serving(address_of(platform), "/api/v1")


@pytest.mark.parametrize("what", DEEP_REQUESTS)
def test_a_trusting_server_fails_by_deep_json(tmp_path: Path, what: str) -> None:
    body = DEEP_REQUESTS[what][2] % DEEP
    with trusting(tmp_path) as server:
        request = b"PUT /x HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        assert b"RecursionError" in exchange(server.address, request)


def test_a_result_nested_a_hundred_thousand_deep_is_the_actions_mistake(platform: Platform) -> None:
    code = """
import os, struct, time
def main(args):
    body = b'{"a":' * 100000 + b'1' + b'}' * 100000
    os.write(3, struct.pack('>IHI', len(body), 200, 0) + body)
    time.sleep(30)
"""
    platform.create_action("deep-result", code)
    answer = platform.invoke("deep-result")
    assert (answer.status, answer.json["response"]["status"]) == (502, "action developer error")
    listed = platform.request("GET", "/namespaces/_/activations?docs=true")
    assert answer.json["activationId"] in {record["activationId"] for record in listed.json}


def test_a_trusting_reader_of_results_fails_by_it() -> None:
    with pytest.raises(RecursionError):
        json.loads('{"a":' * 100_000 + "1" + "}" * 100_000)


def _traversals(target: str) -> list[str]:
    plain = f"../../../../../../../../../../../..{target}"
    return [
        f"/{plain}",
        f"/api/v1/{plain}",
        f"/api/v1/namespaces/_/actions/{plain}",
        f"/api/v1/namespaces/_/packages/p/{plain}",
        f"/api/v1/namespaces/_/activations/{plain}",
        f"/api/v1/docs/{plain}",
        "/" + plain.replace("/", "%2f"),
        "/" + plain.replace(".", "%2e"),
        "/" + plain.replace(".", "%2e").replace("/", "%2F"),
    ]


TRAVERSALS = range(len(_traversals("")))


def _get(path: str, headers: bytes = b"") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + headers + b"\r\n"


@pytest.mark.parametrize("number", TRAVERSALS)
def test_no_path_leads_out_of_the_api_to_a_file(platform: Platform, number: int) -> None:
    secret = platform.data_dir / "wskprops"
    path = _traversals(str(secret))[number]
    answer = exchange(address_of(platform), _get(path, credentials(platform)))
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 3")), answer
    assert platform.auth.encode() not in answer


@pytest.mark.parametrize("number", TRAVERSALS)
def test_the_same_path_leads_out_of_a_trusting_servers_folder(tmp_path: Path, number: int) -> None:
    for folder in ("www/api/v1/namespaces/_/actions", "www/api/v1/namespaces/_/packages/p", "www/api/v1/docs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "www/api/v1/namespaces/_/activations").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("the-secret")
    with trusting(tmp_path / "www") as server:
        assert b"the-secret" in exchange(server.address, _get(_traversals(str(secret))[number]), within_s=0.5)


INJECTION = "' OR '1'='1"


@pytest.mark.parametrize("key", [f"{INJECTION}:{INJECTION}", f"guest:{INJECTION}", f"{INJECTION} --:x", "%:%", "*:*"])
def test_no_key_is_a_query(platform: Platform, key: str) -> None:
    assert platform.request("GET", "/namespaces", auth=key).status == 401
    assert platform.request("GET", "/namespaces").status == 200


@pytest.mark.parametrize("query", [f"name={INJECTION}", f"since={INJECTION}", f"upto={INJECTION}", "limit=1;--"])
def test_no_parameter_of_a_list_is_a_query(platform: Platform, query: str) -> None:
    quoted = query.replace(" ", "%20").replace("'", "%27").replace(";", "%3B")
    answer = platform.request("GET", f"/namespaces/_/activations?{quoted}")
    assert answer.status == 400 or answer.json == []


def test_a_key_that_is_a_query_opens_a_trusting_server(tmp_path: Path) -> None:
    with trusting(tmp_path) as server:
        request = _get("/", f"Authorization: {INJECTION}\r\n".encode())
        assert b"the-owner" in exchange(server.address, request, within_s=0.5)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
FRAMES = {
    "two lengths": b"Content-Length: %d\r\nContent-Length: 0\r\n" % len(SMUGGLED),
    "a length and chunks": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "chunks by another name": b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n",
    "a negative length": b"Content-Length: -1\r\nContent-Length: 0\r\n",
}


@pytest.mark.parametrize("how", FRAMES)
def test_no_second_request_hides_in_the_body_of_a_first(platform: Platform, how: str) -> None:
    request = b"POST /api/v1 HTTP/1.1\r\nHost: x\r\n" + FRAMES[how] + b"\r\n" + SMUGGLED
    answer = exchange(address_of(platform), request, within_s=1)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("how", FRAMES)
def test_a_trusting_server_answers_the_second_request_too(tmp_path: Path, how: str) -> None:
    (tmp_path / "smuggled").write_text("smuggled")
    with trusting(tmp_path) as server:
        request = b"POST / HTTP/1.1\r\nHost: x\r\n" + FRAMES[how] + b"\r\n" + SMUGGLED
        answer = exchange(server.address, request, within_s=0.5)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b"smuggled")


UNLOCK = """
import base64, os, urllib.error, urllib.request

def main(args):
    found = {}
    for path in args["paths"]:
        request = urllib.request.Request(os.environ["__OW_API_HOST"] + path)
        if args.get("key"):
            request.add_header("Authorization", "Basic " + base64.b64encode(args["key"].encode()).decode())
        try:
            found[path] = urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            found[path] = error.code
    return found
"""
LOCKED = [f"/api/v1/namespaces{path}" for path in ("", "/_/actions", "/guest/actions", "/_/activations", "/_/limits")]


def test_an_action_without_a_key_opens_nothing_of_the_api_that_it_can_reach(platform: Platform) -> None:
    platform.create_action("unlock", UNLOCK)
    found = platform.invoke("unlock", {"paths": LOCKED}).json["response"]["result"]
    assert found == dict.fromkeys(LOCKED, 401)


def test_with_a_key_the_same_action_opens_it(platform: Platform) -> None:
    platform.create_action("unlock", UNLOCK)
    found: Any = platform.invoke("unlock", {"paths": LOCKED, "key": platform.auth}).json["response"]["result"]
    assert found == dict.fromkeys(LOCKED, 200)


def test_connections_that_an_action_leaves_open_keep_nobody_waiting(platform: Platform) -> None:
    code = """
import os, socket, urllib.parse
held = []
def main(args):
    url = urllib.parse.urlsplit(os.environ["__OW_API_HOST"])
    for _ in range(200): held.append(socket.create_connection((url.hostname, url.port), 5))
    return {"held": len(held)}
"""
    platform.create_action("holder", code)
    before = len(list(Path(f"/proc/{platform.process.pid}/fd").iterdir()))
    assert platform.invoke("holder").json["response"]["result"] == {"held": 200}
    began = time.monotonic()
    assert is_serving(address_of(platform), "/api/v1")
    assert time.monotonic() - began < 2
    assert len(list(Path(f"/proc/{platform.process.pid}/fd").iterdir())) - before < 100
