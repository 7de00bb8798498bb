"""Where a request goes: paths, methods, names and query parameters."""

from __future__ import annotations

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
