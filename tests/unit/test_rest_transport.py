"""What holds for every request and answer: bodies, content types, headers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.asgi import Answer
from tests.unit.stage import Stage, on_stage

NO_ROUTE = "The requested resource could not be found."
MISSING = "The requested resource does not exist."
MALFORMED = "The request content was malformed:\n"
TOO_LARGE = "The request content is larger than the server is willing or able to process."
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
    "access-control-allow-methods": "GET, DELETE, POST, PUT, HEAD",
}
MAX_BODY_BYTES = 50 * 1024 * 1024
ID = "0123456789abcdef" * 2


def cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def check_error(answer: Answer, status: int, text: str) -> None:
    """The answer is the JSON error body with its transaction id and nothing else."""
    assert (answer.status, answer.json) == (status, {"code": answer.headers["x-request-id"], "error": text})
    assert answer.headers["content-type"] == "application/json"


# Bodies


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("text/plain; charset=UTF-8", "text/plain; charset=UTF-8"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("application/jsonx", "application/jsonx"),
        (None, "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("path", ["_/actions/a", "_/packages/a", "_/triggers/a", "_/rules/a"])
def test_a_body_of_another_content_type_is_415(path: str, content_type: str | None, shown: str) -> None:
    async def test(stage: Stage) -> None:
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await stage.request("PUT", path, body=b"{}", headers=headers)
        check_error(answer, 415, f"The request's Content-Type [{shown}] is not supported. Expected:\napplication/json")
        assert not cors(answer)

    on_stage(test)()


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_come_with_parameters_and_in_any_case(content_type: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("PUT", "_/triggers/t", body=b"{}", headers={"Content-Type": content_type})
        assert (answer.status, answer.json["name"]) == (200, "t")

    on_stage(test)()


@pytest.mark.parametrize("path", ["_/actions/a", "_/packages/a", "_/triggers/a", "_/rules/a"])
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}])
def test_a_put_needs_a_body(path: str, headers: dict[str, str]) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("PUT", path, headers=headers)
        expected = "Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n"
        check_error(answer, 400, MALFORMED + expected)
        assert not cors(answer)

    on_stage(test)()


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"\n",
        b"{bad",
        b"{} x",
        b'{"a":1,}',
        b'{"version":"\xff"}',
        b'{"parameters":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"x":' + b"1" * 101 + b"}",
    ],
)
def test_text_that_is_no_json_is_malformed(body: bytes) -> None:
    async def test(stage: Stage) -> None:
        for method, path in (("PUT", "_/triggers/t"), ("POST", "_/triggers/t"), ("POST", "_/actions/a")):
            answer = await stage.request(method, path, body=body, headers={"Content-Type": "application/json"})
            assert answer.status == 400
            assert answer.error.startswith(MALFORMED)
            assert answer.json["code"] == answer.headers["x-request-id"]
            assert not cors(answer)
        assert (await stage.request("GET", "_/triggers/t")).json["version"] == "0.0.5"

    async def with_entities(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.trigger("acme/t")
        await test(stage)

    on_stage(with_entities)()


@pytest.mark.parametrize("value", [[], [{}], 1, "x", True, None])
def test_a_put_body_is_an_object(value: Any) -> None:
    async def test(stage: Stage) -> None:
        body = {"body": b"null"} if value is None else {"json": value}
        headers = {"Content-Type": "application/json"}
        answer = await stage.request("PUT", "_/triggers/t", headers=headers, **body)
        check_error(answer, 400, f"{MALFORMED}Object expected in field 'exec'")

    on_stage(test)()


@on_stage
async def test_a_body_beyond_50_mib_is_413_in_plain_text(stage: Stage) -> None:
    declared = await stage.request("PUT", "_/actions/a", headers={"Content-Length": str(MAX_BODY_BYTES + 1)})
    undeclared = await stage.request(
        "PUT", "_/actions/a", body=bytes(MAX_BODY_BYTES + 1), headers={"Content-Length": "1"}
    )
    for answer in (declared, undeclared):
        assert (answer.status, answer.text) == (413, TOO_LARGE)
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["x-request-id"]
        assert not cors(answer)


@on_stage
async def test_a_body_of_50_mib_is_read_and_what_is_too_large_in_it_is_413_in_json(stage: Stage) -> None:
    start, end = b'{"exec":{"kind":"python:3.11","code":"', b'"}}'
    code_bytes = MAX_BODY_BYTES - len(start) - len(end)
    body = start + b"x" * code_bytes + end
    answer = await stage.request("PUT", "_/actions/a", body=body, headers={"Content-Type": "application/json"})
    check_error(answer, 413, f"exec larger than allowed: {code_bytes} > 50331648 bytes.")
    assert cors(answer) == CORS


@on_stage
async def test_a_uri_ends_at_8_kib(stage: Stage) -> None:
    path = "/api/v1/namespaces?x="
    longest = path + "y" * (8192 - len(path))
    assert (await stage.client.request("GET", longest, auth=stage.acme.auth_key)).json == ["acme"]
    answer = await stage.client.request("GET", longest + "y", auth=stage.acme.auth_key)
    assert (answer.status, answer.text) == (414, "URI length exceeds the configured limit of 8192 characters")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert (await stage.client.request("GET", "/" + "y" * 8191)).status == 405
    assert (await stage.client.request("GET", "/" + "y" * 8192)).status == 414


# Headers


@on_stage
async def test_the_transaction_id_of_a_client_is_answered_in_header_and_error(stage: Stage) -> None:
    headers = {"X-Request-ID": "abc"}
    for path, status in (("_/actions/nope", 404), ("_/nothing", 404), ("nobody/actions", 403), ("_/actions/-", 400)):
        answer = await stage.request("GET", path, headers=headers)
        assert (answer.status, answer.headers["x-request-id"], answer.json["code"]) == (status, "abc", "abc")
    for path in ("/ping", "/nope", "/api/v1", "/api/v1/nope"):
        assert (await stage.client.request("GET", path, headers=headers)).headers["x-request-id"] == "abc"
    assert (await stage.client.request("OPTIONS", "/", headers=headers)).headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", [None, "sid_invokerHealth", "", "a b", "a\nb", "é", "x" * 129])
def test_without_a_usable_one_a_transaction_id_is_32_new_letters_and_digits(given: str | None) -> None:
    async def test(stage: Stage) -> None:
        headers = {} if given is None else {"X-Request-ID": given}
        first = await stage.request("GET", "_/actions/nope", headers=headers)
        second = await stage.request("GET", "_/actions/nope", headers=headers)
        assert re.fullmatch("[A-Za-z0-9]{32}", first.headers["x-request-id"])
        assert first.json["code"] == first.headers["x-request-id"] != second.headers["x-request-id"]

    on_stage(test)()


@on_stage
async def test_what_a_handler_answers_has_cors_headers(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.trigger("acme/t")
    for method, path, status in (
        ("GET", "_/actions", 200),
        ("GET", "_/actions/nope", 404),
        ("GET", "nobody/actions", 403),
        ("PUT", "_/triggers/a", 409),
        ("POST", "_/actions/a", 202),
        ("POST", "_/triggers/t", 204),
        ("GET", "_/limits", 200),
        ("GET", "", 200),
    ):
        json = {} if method == "PUT" else None
        answer = await stage.request(method, path, json)
        assert (path, answer.status, cors(answer)) == (path, status, CORS)


@on_stage
async def test_what_is_refused_before_a_handler_has_none(stage: Stage) -> None:
    for method, path, status in (
        ("GET", "_/nothing", 404),
        ("GET", "_/actions/-", 400),
        ("GET", "_/actions?limit=x", 400),
        ("PUT", "_/actions/a", 400),
    ):
        answer = await stage.request(method, path)
        assert (path, answer.status, cors(answer)) == (path, status, {})
    anonymous = await stage.client.request("GET", "/api/v1/namespaces")
    assert (anonymous.status, cors(anonymous)) == (401, {})


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/x", "/api/v1/namespaces/_/actions/a", "/api/v1/namespaces/-"])
def test_options_below_the_api_need_neither_key_nor_a_path_that_exists(path: str) -> None:
    async def test(stage: Stage) -> None:
        for auth in (None, "nobody:nothing"):
            answer = await stage.client.request("OPTIONS", path, auth=auth)
            assert (answer.status, answer.text, cors(answer)) == (200, "OK", CORS)
            assert answer.headers["content-type"] == "text/plain; charset=UTF-8"

    on_stage(test)()


@pytest.mark.parametrize("path", ["/", "/ping", "/nope", "/api"])
def test_options_elsewhere_name_the_methods_of_the_documents(path: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request("OPTIONS", path)
        assert (answer.status, answer.text) == (200, "OK")
        assert cors(answer) == {"access-control-allow-methods": "OPTIONS, GET, POST"}

    on_stage(test)()


@pytest.mark.parametrize("accept", ["text/plain", "application/xml, text/*", "application/json;q=0, */*", "image/png"])
def test_an_accept_header_without_json_is_406(accept: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", "_/actions", headers={"Accept": accept})
        check_error(answer, 406, "Resource representation is only available with these types:\napplication/json")
        assert not cors(answer)

    on_stage(test)()


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "application/*",
        "text/html, */*;q=0.1",
        "Application/JSON;q=0.5, text/plain",
        "a/b, */*;q=x",
    ],
)
def test_an_accept_header_that_admits_json_is_answered(accept: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", "_/actions", headers={"Accept": accept})
        assert (answer.status, answer.json) == (200, [])

    on_stage(test)()


@on_stage
async def test_refusals_are_answered_whatever_is_accepted(stage: Stage) -> None:
    text = {"Accept": "text/plain"}
    check_error(await stage.request("GET", "_/actions/nope", headers=text), 404, MISSING)
    check_error(await stage.request("GET", "_/nothing", headers=text), 404, NO_ROUTE)


@on_stage
async def test_success_is_json_without_charset_and_without_headers_for_caches(stage: Stage) -> None:
    answer = await stage.request("GET", "_/actions")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert not answer.headers.keys() & {"etag", "last-modified", "cache-control", "retry-after"}


@on_stage
async def test_an_answer_without_content_has_no_length_and_suits_every_accept_header(stage: Stage) -> None:
    await stage.trigger("acme/t")
    answer = await stage.request("POST", "_/triggers/t", headers={"Accept": "text/plain"})
    assert (answer.status, answer.body) == (204, b"")
    assert not answer.headers.keys() & {"content-length", "content-type"}
