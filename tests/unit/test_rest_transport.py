"""What holds for every request: paths, methods, encodings, headers, bodies, and how refusals look."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.asgi import Answer
from tests.unit.stage import Stage, on_stage

NO_ROUTE = "The requested resource could not be found."
MISSING = "The requested resource does not exist."
ILLEGAL_NAME = "The name of the entity contains illegal characters."
ILLEGAL_NAMESPACE = "The namespace contains illegal characters."
NOT_AUTHORIZED = "The supplied authentication is not authorized to access '{}'."
MALFORMED = "The request content was malformed:\n"
QUERY = "The query parameter '{}' was malformed:\n"
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


# Routes and methods


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "_/actions"),
        ("PUT", "_/actions/"),
        ("POST", "_/packages/x"),
        ("POST", "_/activations"),
        ("PUT", f"_/activations/{ID}"),
        ("DELETE", f"_/activations/{ID}"),
        ("POST", f"_/activations/{ID}/logs"),
        ("PATCH", "_/actions/x"),
        ("HEAD", "_/actions"),
        ("HEAD", "_/actions/x"),
        ("DELETE", "_/limits"),
        ("PUT", "_/limits/x"),
        ("POST", ""),
        ("GET", "acme"),
        ("GET", "_/"),
        ("GET", "_/nothing"),
        ("GET", "_/triggers/a/b"),
        ("GET", "_/packages/a/b"),
        ("GET", "_/actions/a/b/c"),
        ("GET", f"_/activations/{ID}/nothing"),
        ("GET", f"_/activations/{ID}/logs/more"),
        ("GET", "_x/actions"),
        ("GET", "_acme/limits"),
    ],
)
def test_below_the_api_a_wrong_method_and_an_unknown_path_are_the_same_404(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        check_error(await stage.request(method, path), 404, NO_ROUTE)

    on_stage(test)()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api", "OPTIONS"),
        ("GET", "/nope", "OPTIONS"),
        ("DELETE", "/api/v2/namespaces", "OPTIONS"),
        ("PUT", "/api/v1x", "OPTIONS"),
        ("GET", "/ping/", "OPTIONS"),
        ("GET", "//", "OPTIONS"),
        ("GET", "/docs/nothing", "OPTIONS"),
        ("POST", "/ping", "GET, OPTIONS"),
        ("HEAD", "/", "GET, OPTIONS"),
        ("PUT", "/api-docs", "GET, OPTIONS"),
    ],
)
def test_outside_of_the_api_everything_unknown_is_405_and_names_the_methods(
    method: str, path: str, allowed: str
) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.client.request(method, path)
        check_error(answer, 405, f"HTTP method not allowed, supported methods: {allowed}")
        assert answer.headers["allow"] == allowed
        assert not cors(answer)

    on_stage(test)()


@pytest.mark.parametrize("path", ["_/actions/a/", "_/packages/p/", "_/triggers/t/", "_/rules/r/", "_/actions/p/a/"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_entities_have_no_trailing_slash(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.trigger("acme/t")
        check_error(await stage.request(method, path, {}), 404, NO_ROUTE)

    on_stage(test)()


@pytest.mark.parametrize(
    "path", ["_/packages/p/", "_/triggers/t/", "_/rules/r/", f"_/activations/{ID}/logs/", f"_/activations/{ID}/result/"]
)
def test_reading_an_entity_takes_no_trailing_slash_either(path: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.package("acme/p")
        await stage.trigger("acme/t")
        check_error(await stage.request("GET", path), 404, NO_ROUTE)

    on_stage(test)()


@pytest.mark.parametrize("collection", ["actions", "packages", "triggers", "rules", "activations", "limits"])
def test_collections_are_the_same_with_and_without_a_trailing_slash(collection: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.package("acme/p")
        await stage.trigger("acme/t")
        await stage.blocking_record("a")
        without = await stage.request("GET", f"_/{collection}")
        slashed = await stage.request("GET", f"_/{collection}/")
        assert (slashed.status, slashed.body) == (without.status, without.body) == (200, without.body)

    on_stage(test)()


@on_stage
async def test_an_activation_may_have_a_trailing_slash(stage: Stage) -> None:
    await stage.action("acme/a")
    record = await stage.blocking_record("a")
    slashed = await stage.request("GET", f"_/activations/{record['activationId']}/")
    assert (slashed.status, slashed.json) == (200, record)


# Names in paths


@pytest.mark.parametrize("name", ["a%26b", "a&b", "a%40b.c", "a%20b", "a-b", "0", "_", "_%20_", "a" * 256])
def test_names_may_hold_ampersand_at_dot_hyphen_and_inner_spaces(name: str) -> None:
    async def test(stage: Stage) -> None:
        check_error(await stage.request("GET", f"_/actions/{name}"), 404, MISSING)

    on_stage(test)()


@pytest.mark.parametrize(
    "name",
    [
        "a%20",
        "%20a",
        "%20",
        "%C3%A9",
        "a%0A",
        "a+b",
        "a%2Fb",
        "a%3Fb",
        "a%23b",
        "a=b",
        "$a",
        "-a",
        ".a",
        "%40a",
        "%FF",
        "%zz",
    ],
)
@pytest.mark.parametrize("path", ["_/actions/{}", "_/actions/p/{}", "_/actions/{}/a", "_/actions/{}/", "_/triggers/{}"])
def test_other_names_are_illegal_without_a_prefix(path: str, name: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", path.format(name))
        check_error(answer, 400, ILLEGAL_NAME)

    on_stage(test)()


@pytest.mark.parametrize("name", ["a%20", "%C3%A9", "a%0A", "-a", "a+b"])
def test_names_of_namespaces_follow_the_same_grammar(name: str) -> None:
    async def test(stage: Stage) -> None:
        check_error(await stage.request("GET", f"{name}/actions"), 400, ILLEGAL_NAMESPACE)
        check_error(await stage.request("GET", f"{name}/actions/-a"), 400, ILLEGAL_NAMESPACE)

    on_stage(test)()


@on_stage
async def test_names_are_counted_in_characters_and_end_at_256(stage: Stage) -> None:
    name = "a" * 257
    check_error(await stage.request("GET", f"_/actions/{name}"), 400, "Name segement longer than allowed: 257 > 256.")
    check_error(
        await stage.request("PUT", f"_/packages/{name}", {}), 400, "Name segement longer than allowed: 257 > 256."
    )
    check_error(await stage.request("GET", f"{name}/actions"), 400, "Namespace longer than allowed: 257 > 256.")
    check_error(await stage.request("GET", f"{'a' * 256}/actions"), 403, NOT_AUTHORIZED.format("a" * 256))


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("a" * 31, "Activation id length is 31 but must be 32."),
        ("a" * 33, "Activation id length is 33 but must be 32."),
        (ID.upper(), "The activation id is not valid."),
        ("g" * 32, "The activation id is not valid."),
        ("0" * 31 + "%0A", "The activation id is not valid."),
    ],
)
def test_an_activation_id_is_32_hexadecimal_digits(id: str, text: str) -> None:
    async def test(stage: Stage) -> None:
        for path in (id, f"{id}/logs", f"{id}/result"):
            check_error(await stage.request("GET", f"_/activations/{path}"), 400, text)

    on_stage(test)()


@on_stage
async def test_segments_are_decoded_after_they_are_separated(stage: Stage) -> None:
    await stage.action("acme/a b")
    answer = await stage.client.request("GET", "/api/v1/%6Eamespaces/%5F/actions/a%20b", auth=stage.acme.auth_key)
    assert (answer.status, answer.json["name"]) == (200, "a b")


# Query parameters


@pytest.mark.parametrize("query", ["%", "limit=%2", "x=%zz", "%gg=1", "name=%FF"])
def test_a_query_that_cannot_be_decoded_is_refused_whole(query: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("GET", f"_/actions?{query}")
        check_error(answer, 400, f"{MALFORMED}The request's query string is invalid.")
        assert not cors(answer)

    on_stage(test)()


@pytest.mark.parametrize(
    ("query", "parameter", "detail"),
    [
        ("limit=x", "limit", "The value 'x' is not an integer for triggers."),
        ("limit=", "limit", "The value '' is not an integer for triggers."),
        ("limit=1.5", "limit", "The value '1.5' is not an integer for triggers."),
        ("limit=-1", "limit", "The value '-1' is not in the range of 0 to 200 for triggers."),
        ("limit=201", "limit", "The value '201' is not in the range of 0 to 200 for triggers."),
        ("skip=x", "skip", "The value 'x' is not an integer for triggers."),
        ("skip=-1", "skip", "The value '-1' is not greater than or equal to 0 for triggers."),
        ("count=MAYBE", "count", "'maybe' is not a valid Boolean value"),
        ("limit=x&limit=1", "limit", "The value 'x' is not an integer for triggers."),
    ],
)
def test_a_wrong_query_parameter_is_named_with_its_value(query: str, parameter: str, detail: str) -> None:
    async def test(stage: Stage) -> None:
        check_error(await stage.request("GET", f"_/triggers?{query}"), 400, QUERY.format(parameter) + detail)

    on_stage(test)()


@on_stage
async def test_the_first_of_repeated_parameters_counts_and_unknown_ones_are_ignored(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        await stage.trigger(f"acme/{name}")
    assert len((await stage.request("GET", "_/triggers?limit=1&limit=x&nonsense=x&&=")).json) == 1
    assert len((await stage.request("GET", "_/triggers?limit=0")).json) == 3
    assert len((await stage.request("GET", "_/triggers?%6Cimit=%32")).json) == 2


@pytest.mark.parametrize(
    ("value", "status"),
    [
        *((text, 200) for text in ("YES", "true", "On", "1")),
        *((text, 409) for text in ("", "no", "FALSE", "Off", "0")),
    ],
)
def test_booleans_have_several_words_in_any_case_and_empty_is_the_default(value: str, status: int) -> None:
    async def test(stage: Stage) -> None:
        await stage.trigger("acme/t")
        answer = await stage.request("PUT", f"_/triggers/t?overwrite={value}", {})
        assert answer.status == status
        assert status == 200 or answer.error == "resource already exists"

    on_stage(test)()


@pytest.mark.parametrize("value", ["2", "Y", "tru", "%20true", "null"])
def test_other_words_are_no_booleans(value: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await stage.request("PUT", f"_/triggers/t?overwrite={value}", {})
        word = value.replace("%20", " ").lower()
        check_error(answer, 400, f"{QUERY.format('overwrite')}'{word}' is not a valid Boolean value")

    on_stage(test)()


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
