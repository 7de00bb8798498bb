"""What the body of an action may say: kinds of code, sizes, limits, and what a sequence is made of."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sabayon.entity.limits import Bounds, NamespaceLimits, SystemLimits
from tests.unit.asgi import Answer
from tests.unit.stage import Stage, on_stage, on_stage_with

EXEC = {"kind": "python:3.11", "code": ""}
MALFORMED = "The request content was malformed:\n"
MISSING = "The requested resource does not exist."
NOT_QUALIFIED = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name "
    "of the entity."
)
CYCLIC = (400, "Sequence may not refer to itself.")
TOO_LONG = (400, "Too many actions in the sequence.")
NO_COMPONENT = (400, "Sequence component does not exist.")


async def put(stage: Stage, id: str, /, **fields: Any) -> Answer:
    """A PUT that overwrites."""
    return await stage.request("PUT", f"_/actions/{id}?overwrite=true", fields)


async def made(stage: Stage, id: str, /, **fields: Any) -> Any:
    """The action after a PUT that succeeded."""
    answer = await put(stage, id, **fields)
    assert answer.status == 200, answer.text
    return answer.json


async def refused(stage: Stage, id: str, /, **fields: Any) -> tuple[int, str]:
    """Status and sentence of a PUT that made nothing."""
    before = (await stage.request("GET", f"_/actions/{id}")).body
    answer = await put(stage, id, **fields)
    after = (await stage.request("GET", f"_/actions/{id}")).body
    assert answer.status >= 400 and without_code(after) == without_code(before)
    return answer.status, answer.error


def without_code(body: bytes) -> bytes:
    """An error body without the transaction's id, which differs from request to request."""
    return body.partition(b'"error"')[2] or body


def sequence(*components: Any) -> dict[str, Any]:
    return {"kind": "sequence", "components": list(components)}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"kind": "python:3.11", "code": ""}, {"binary": False, "code": "", "kind": "python:3.11"}),
        (
            {"kind": " PYTHON:3.11\t", "code": "x = 1", "main": "go", "image": "a", "init": "b", "binary": True},
            {"binary": False, "code": "x = 1", "kind": "python:3.11", "main": "go"},
        ),
        (
            {"kind": "python:default", "code": "x", "main": None},
            {"binary": False, "code": "x", "kind": "python:3.11"},
        ),
        ({"kind": "blackbox", "image": "me/img"}, {"binary": False, "image": "me/img", "kind": "blackbox"}),
        (
            {"kind": "blackbox", "image": "host:5000/me/img:v1", "code": " \n", "main": "go"},
            {"binary": False, "image": "host:5000/me/img:v1", "kind": "blackbox", "main": "go"},
        ),
        (
            {"kind": "blackbox", "image": f"me/img@sha256:{'a' * 64}", "code": "echo 1"},
            {"binary": False, "code": "echo 1", "image": "me/img", "kind": "blackbox"},
        ),
        (
            {"kind": "blackbox", "image": "img", "code": "QUJD"},
            {"binary": True, "code": "QUJD", "image": "img", "kind": "blackbox"},
        ),
    ],
)
def test_each_kind_shows_its_own_fields(given: dict[str, Any], shown: dict[str, Any]) -> None:
    async def test(stage: Stage) -> None:
        assert (await made(stage, "a", exec=given))["exec"] == shown
        assert (await stage.request("GET", "_/actions/a")).json["exec"] == shown

    on_stage(test)()


@pytest.mark.parametrize(
    ("code", "is_binary", "shown"),
    [
        ("abcd", True, "abcd"),
        ("def f", False, "def f"),
        ("abc", False, "abc"),
        ("QQ==", True, "QQ=="),
        ("QR==", True, "QQ=="),
        ("QUK=", True, "QUI="),
        ("QQ=", False, "QQ="),
        ("Q===", False, "Q==="),
        ("ab-_", False, "ab-_"),
        (" abcd\n", True, "abcd"),
        ("abcd\nabcd", False, "abcd\nabcd"),
        (" ", False, " "),
        ("x = 'é'", False, "x = 'é'"),
    ],
)
def test_text_that_is_base64_is_an_archive_whatever_the_client_says(code: str, is_binary: bool, shown: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await made(stage, "a", exec={"kind": "python:3.11", "code": code, "binary": not is_binary})
        assert answer["exec"] == {"binary": is_binary, "code": shown, "kind": "python:3.11"}
        without = (await stage.request("GET", "_/actions/a?code=false")).json["exec"]
        assert without == {"binary": is_binary, "kind": "python:3.11"}

    on_stage(test)()


@pytest.mark.parametrize(
    ("exec_", "detail"),
    [
        ("x", "JSON object expected"),
        ([], "JSON object expected"),
        ({}, "'kind' must be a string defined in 'exec'"),
        ({"kind": 1}, "'kind' must be a string defined in 'exec'"),
        *(
            (
                {"kind": kind, "code": ""},
                f"The specified runtime '{kind.strip().lower()}' is not supported by this platform. Valid values are: "
                "'python:3.11', 'python:2', 'sequence', 'blackbox'",
            )
            for kind in ("", "python", "Python:9", " zzz ", "zzz:default")
        ),
        (
            {"kind": "Python:Default"},
            "'code' must be a string or attachment object defined in 'exec' for 'python:default' actions",
        ),
        (
            {"kind": "python:3.11", "code": 1},
            "'code' must be a string or attachment object defined in 'exec' for 'python:3.11' actions",
        ),
        (
            {"kind": "python:3.11", "code": "", "main": 1},
            "if defined, 'main' be a string in 'exec' for 'python:3.11' actions",
        ),
        ({"kind": "blackbox", "code": ""}, "'image' must be a string defined in 'exec' for 'blackbox' actions"),
        ({"kind": "blackbox", "image": 1}, "'image' must be a string defined in 'exec' for 'blackbox' actions"),
        ({"kind": "blackbox", "image": ""}, "could not parse image name"),
        ({"kind": "blackbox", "image": "me/Img"}, "could not parse image name"),
        ({"kind": "blackbox", "image": "me//img"}, "could not parse image name"),
        (
            {"kind": "blackbox", "image": "a", "main": []},
            "if defined, 'main' be a string in 'exec' for 'blackbox' actions",
        ),
        ({"kind": "sequence"}, "'components' must be defined for sequence kind"),
        ({"kind": "sequence", "components": "/_/a"}, "'components' must be an array"),
        ({"kind": "sequence", "components": ["a"]}, NOT_QUALIFIED),
        ({"kind": "sequence", "components": ["/a/"]}, NOT_QUALIFIED),
        ({"kind": "sequence", "components": ["/_/p/q/a"]}, "fully qualified name malformed"),
        ({"kind": "sequence", "components": ["/_/a?"]}, "fully qualified name malformed"),
        ({"kind": "sequence", "components": [1]}, "fully qualified name malformed"),
    ],
)
def test_an_exec_that_cannot_be_read_is_refused_for_every_collection(exec_: Any, detail: str) -> None:
    async def test(stage: Stage) -> None:
        await stage.action("acme/a")
        await stage.trigger("acme/t")
        assert await refused(stage, "a", exec=exec_) == (400, MALFORMED + detail)
        for path in ("triggers/x", "packages/x", "rules/x"):
            answer = await stage.request("PUT", f"_/{path}", {"exec": exec_})
            assert (answer.status, answer.error) == (400, MALFORMED + detail)

    on_stage(test)()


@pytest.mark.parametrize("body", [b"", b"  ", b"{bad", b'{"exec":}', b'{"parameters":[{"key":"\xff","value":1}]}'])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    async def test(stage: Stage) -> None:
        headers = {"content-type": "application/json"}
        answer = await stage.request("PUT", "_/actions/a", body=body, headers=headers)
        assert (answer.status, answer.error[: len(MALFORMED)]) == (400, MALFORMED)

    on_stage(test)()


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    async def test(stage: Stage) -> None:
        headers = {"content-type": "application/json"}
        answer = await stage.request("PUT", "_/actions/a", body=body, headers=headers)
        assert (answer.status, answer.error) == (400, f"{MALFORMED}Object expected in field 'exec'")

    on_stage(test)()


@pytest.mark.parametrize(
    "value", [b'"\xff"', b"1" * 101, b"[" * 5000 + b"]" * 5000, b'"\\ud800"', b'{"a":tru}'], ids=repr
)
@pytest.mark.parametrize("field", ["parameters", "annotations"])
def test_values_that_an_action_could_not_read_are_refused(field: str, value: bytes) -> None:
    async def test(stage: Stage) -> None:
        body = b'{"exec":{"kind":"python:3.11","code":""},"%s":[{"key":"a","value":%s}]}' % (field.encode(), value)
        answer = await stage.request("PUT", "_/actions/a", body=body, headers={"content-type": "application/json"})
        assert (answer.status, answer.error[: len(MALFORMED)]) == (400, MALFORMED)

    on_stage(test)()


@on_stage
async def test_numbers_and_text_of_parameters_are_shown_as_they_came(stage: Stage) -> None:
    values = '[12345678901234567890123,1.0,"é / 😀",1E+3]'
    body = f'{{"exec":{{"kind":"python:3.11","code":""}},"parameters":[ {{"value" : {values}, "key":"a"}} ]}}'
    json = {"content-type": "application/json"}
    answer = await stage.request("PUT", "_/actions/a", body=body.encode(), headers=json)
    assert f'"parameters":[{{"key":"a","value":{values}}}]' in answer.text
    assert (await stage.request("GET", "_/actions/a")).body == answer.body


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"memory": 513}, "memory size 513 MB exceeds allowed threshold of 512 MB"),
        ({"memory": 127}, "memory size 127 MB below allowed threshold of 128 MB"),
        ({"memory": 0}, "memory size 0 MB below allowed threshold of 128 MB"),
        ({"logs": 11}, "log size 11 MB exceeds allowed threshold of 10 MB"),
        ({"timeout": 300001}, "duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds"),
        ({"timeout": 99}, "duration 99 milliseconds below allowed threshold of 100 milliseconds"),
        ({"timeout": -1}, "duration -1 milliseconds below allowed threshold of 100 milliseconds"),
        ({"concurrency": 501}, "concurrency 501 exceeds allowed threshold of 500"),
        ({"concurrency": 0}, "concurrency 0 below allowed threshold of 1"),
    ],
)
def test_limits_beyond_their_bounds_are_refused(limits: dict[str, int], text: str) -> None:
    async def test(stage: Stage) -> None:
        assert await refused(stage, "a", exec=EXEC, limits=limits) == (400, f"requirement failed: {text}")
        await made(stage, "a", exec=EXEC)
        assert await refused(stage, "a", limits=limits) == (400, f"requirement failed: {text}")

    on_stage(test)()


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        ({"memory": 256.5}, "requirement failed: memory limit must be whole number"),
        ({"timeout": 100.5}, "requirement failed: time limit must be whole number"),
        ({"logs": 0.1}, "requirement failed: log limit must be whole number"),
        ({"concurrency": 1.5}, "requirement failed: intra concurrency limit must be whole number"),
        ({"instances": 1.5}, "requirement failed: instance concurrency limit must be whole number"),
        ({"memory": "256"}, "memory limit malformed"),
        ({"timeout": True}, "time limit malformed"),
        ({"logs": []}, "log limit malformed"),
        ({"concurrency": {}}, "concurrency limit malformed"),
        ({"instances": "1"}, "instance concurrency limit malformed"),
        ({"memory": -1}, "requirement failed: a negative size of an object is not allowed."),
        ({"logs": -1}, "requirement failed: a negative size of an object is not allowed."),
        (
            {"instances": -1},
            "requirement failed: Action container concurrency must be greater than or equal to 0.",
        ),
        ([], "Object expected in field 'limits'"),
    ],
)
def test_limits_that_cannot_be_read_are_refused(limits: Any, detail: str) -> None:
    async def test(stage: Stage) -> None:
        assert await refused(stage, "a", exec=EXEC, limits=limits) == (400, MALFORMED + detail)

    on_stage(test)()


@pytest.mark.parametrize(
    "limits",
    [
        {"memory": 128, "logs": 0, "timeout": 100, "concurrency": 1, "instances": 0},
        {"memory": 512, "logs": 10, "timeout": 300000, "concurrency": 500, "instances": 1000},
    ],
)
def test_limits_at_their_bounds_are_accepted(limits: dict[str, int]) -> None:
    async def test(stage: Stage) -> None:
        assert (await made(stage, "a", exec=EXEC, limits=limits))["limits"] == limits

    on_stage(test)()


@on_stage
async def test_limits_are_merged_one_by_one_and_whole_numbers_may_have_a_point(stage: Stage) -> None:
    await made(stage, "a", exec=EXEC, limits={"memory": 128, "timeout": 60000.0, "logs": None, "other": "x"})
    shown = await made(stage, "a", limits={"timeout": 1e3, "instances": 3})
    assert shown["limits"] == {"concurrency": 1, "instances": 3, "logs": 10, "memory": 128, "timeout": 1000}
    assert (await made(stage, "a", limits={"instances": None}))["limits"]["instances"] == 3
    assert b'"timeout":1000,' in (await stage.request("GET", "_/actions/a")).body.replace(b"}", b",")


@on_stage
async def test_only_limits_in_the_body_are_checked(stage: Stage) -> None:
    await stage.action("acme/a", memory=4096, timeout=1)
    assert (await made(stage, "a", limits={"logs": 1}))["limits"]["memory"] == 4096
    refusal = (400, "requirement failed: memory size 4096 MB exceeds allowed threshold of 512 MB")
    assert await refused(stage, "a", limits={"memory": 4096}) == refusal


@on_stage_with(
    own=NamespaceLimits(
        max_action_memory=256, min_action_timeout=1000, max_action_timeout=999_999, concurrent_invocations=5
    )
)
async def test_a_namespace_narrows_the_bounds_and_does_not_widen_them(stage: Stage) -> None:
    for limits, text in (
        ({"memory": 257}, "requirement failed: memory size 257 MB exceeds allowed threshold of 256 MB"),
        (
            {"timeout": 999},
            "requirement failed: duration 999 milliseconds below allowed threshold of 1000 milliseconds",
        ),
        (
            {"timeout": 300001},
            "requirement failed: duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds",
        ),
        ({"instances": 6}, "Max action instance concurrency must not exceed your namespace concurrency of 5."),
    ):
        assert await refused(stage, "a", exec=EXEC, limits=limits) == (400, text)
    await made(stage, "a", exec=EXEC, limits={"memory": 256, "timeout": 1000, "instances": 5})


@on_stage_with(SystemLimits(memory_mb=Bounds(32, 2048, 64), timeout_ms=Bounds(10, 900_000, 5_000)))
async def test_what_a_new_action_does_not_ask_for_it_gets_from_the_system(stage: Stage) -> None:
    limits = (await made(stage, "a", exec=EXEC, limits={"logs": 2}))["limits"]
    assert limits == {"concurrency": 1, "logs": 2, "memory": 64, "timeout": 5000}


@on_stage_with(SystemLimits(code_bytes=20))
async def test_code_is_measured_as_it_was_sent_with_main_and_image(stage: Stage) -> None:
    python, archive = {"kind": "python:3.11"}, base64.b64encode(b"x" * 15).decode()
    at_the_limit: list[dict[str, Any]] = [
        {**python, "code": "é" * 10},
        {**python, "code": "x" * 18, "main": "go"},
        {**python, "code": archive},
        {"kind": "blackbox", "image": "me/img", "code": "x y" * 4, "main": "go"},
    ]
    for number, exec_ in enumerate(at_the_limit):
        await made(stage, f"a{number}", exec=exec_)
        beyond = {**exec_, "code": exec_["code"] + " "}
        text = "exec larger than allowed: 21 > 20 bytes."
        assert await refused(stage, f"b{number}", exec=beyond) == (413, text)


@on_stage_with(SystemLimits(code_bytes=20))
async def test_a_sequence_is_measured_by_the_names_of_its_components(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.action("acme/a0")
    await made(stage, "s", exec=sequence("/acme/a0", "acme/a0", "/acme/a"))
    assert await refused(stage, "t", exec=sequence("/acme/a0", "acme/a0", "/acme/a0")) == (
        413,
        "exec larger than allowed: 21 > 20 bytes.",
    )


@on_stage_with(SystemLimits(parameters_bytes=12))
async def test_parameters_and_annotations_are_measured_as_compact_json_and_the_first_excess_is_named(
    stage: Stage,
) -> None:
    fits = [{"key": "ab", "value": [1, 2, 3]}, {"key": "é", "value": 1, "init": True}]
    beyond = [{"key": "ab", "value": [1, 2, 3]}, {"key": "é", "value": 10}]
    await made(stage, "a", exec=EXEC, parameters=fits, annotations=fits)
    assert (await refused(stage, "b", exec=EXEC, parameters=beyond, annotations=beyond)) == (
        413,
        "parameters larger than allowed: 13 > 12 bytes.",
    )
    assert (await refused(stage, "b", exec=EXEC, parameters=fits, annotations=beyond)) == (
        413,
        "annotations larger than allowed: 13 > 12 bytes.",
    )
    merged = await made(stage, "a", annotations=[{"key": "cd", "value": "x" * 8}])
    assert len(merged["annotations"]) == 5


@on_stage_with(own=NamespaceLimits(max_parameter_size=10))
async def test_a_namespace_may_have_less_room_for_parameters(stage: Stage) -> None:
    parameters = [{"key": "a", "value": "x" * 8}]
    refusal = (413, "parameters larger than allowed: 11 > 10 bytes.")
    assert await refused(stage, "a", exec=EXEC, parameters=parameters) == refusal


@on_stage_with(SystemLimits(code_bytes=3, parameters_bytes=1))
async def test_checks_come_in_the_order_decoding_sizes_query_other_fields_limits_existence(stage: Stage) -> None:
    """Each step mends what the last one named."""
    await stage.trigger("acme/x")
    fields: dict[str, Any] = {
        "exec": {"kind": "python:3.11", "code": "long"},
        "parameters": [{"key": "a", "value": 1}],
        "annotations": {},
        "version": "x",
        "limits": {"memory": 1},
    }

    async def text(overwrite: str) -> tuple[int, str]:
        answer = await stage.request("PUT", f"_/actions/x?overwrite={overwrite}", fields)
        return answer.status, answer.error

    assert await text("maybe") == (400, f"{MALFORMED}parameters malformed!")
    fields["annotations"] = []
    assert await text("maybe") == (413, "exec larger than allowed: 4 > 3 bytes.")
    fields["exec"]["code"] = "x"
    assert await text("maybe") == (413, "parameters larger than allowed: 2 > 1 bytes.")
    del fields["parameters"]
    assert await text("maybe") == (
        400,
        "The query parameter 'overwrite' was malformed:\n'maybe' is not a valid Boolean value",
    )
    assert await text("no") == (400, f"{MALFORMED}semantic version malformed")
    del fields["version"]
    assert await text("no") == (400, "requirement failed: memory size 1 MB below allowed threshold of 128 MB")
    del fields["limits"]
    assert await text("no") == (409, "Resource by this name exists but is not in this collection.")


@on_stage
async def test_a_sequence_shows_absolute_components_and_has_them_as_its_only_parameter(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.action("acme/p/a")
    await stage.action("acme/b")
    shown = await made(
        stage,
        "s",
        exec=sequence("/_/p/a", "acme/b", {"path": "_", "name": "b"}, {"path": "acme/p", "name": "a", "version": "1"}),
        parameters=[{"key": "mine", "value": 1}],
    )
    components = ["/acme/p/a", "/acme/b", "/acme/b", "/acme/p/a"]
    assert shown["exec"] == {"components": components, "kind": "sequence"}
    assert shown["parameters"] == [{"key": "_actions", "value": components}]
    assert shown["annotations"] == [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": "sequence"}]
    assert shown["limits"] == {"concurrency": 1, "logs": 10, "memory": 256, "timeout": 60000}
    assert (await stage.request("GET", "_/actions/s?code=false")).json == shown


@on_stage
async def test_a_sequence_keeps_its_parameter_until_it_is_one_no_more(stage: Stage) -> None:
    mine = [{"key": "mine", "value": 1}]
    await stage.action("acme/a")
    await made(stage, "s", exec=sequence("/_/a"))
    own = [{"key": "_actions", "value": ["/acme/a"]}]
    assert (await made(stage, "s", parameters=mine))["parameters"] == own
    assert (await made(stage, "s", exec=EXEC))["parameters"] == []
    await made(stage, "s", exec=sequence("/_/a", "/_/a"))
    assert (await made(stage, "s", exec=EXEC, parameters=mine))["parameters"] == mine
    assert (await made(stage, "s", exec=sequence("/_/a")))["parameters"] == own


@on_stage_with(SystemLimits(sequence_length=3))
async def test_a_sequence_counts_its_actions_with_those_of_the_sequences_in_it(stage: Stage) -> None:
    await stage.action("acme/a")
    await made(stage, "two", exec=sequence("/_/a", "/_/a"))
    await made(stage, "three", exec=sequence("/_/two", "/_/a"))
    assert await refused(stage, "four", exec=sequence("/_/two", "/_/two")) == TOO_LONG
    assert await refused(stage, "four", exec=sequence("/_/a", "/_/three")) == TOO_LONG
    assert await refused(stage, "four", exec=sequence(*["/_/none"] * 4)) == TOO_LONG
    assert await refused(stage, "none", exec=sequence()) == (400, "No component specified for the sequence.")


@on_stage
async def test_a_sequence_has_at_most_fifty_components(stage: Stage) -> None:
    await stage.action("acme/a")
    await made(stage, "s", exec=sequence(*["/_/a"] * 50))
    assert await refused(stage, "t", exec=sequence(*["/_/a"] * 51)) == TOO_LONG


@on_stage
async def test_a_sequence_may_not_contain_a_circle_that_was_closed_behind_its_back(stage: Stage) -> None:
    await stage.sequence("acme/b", "/acme/c")
    await stage.sequence("acme/c", "/acme/b")
    assert await refused(stage, "a", exec=sequence("/_/b")) == TOO_LONG


@on_stage
async def test_a_sequence_is_never_in_itself_neither_through_others_nor_through_bindings(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await stage.action("acme/a")
    assert await refused(stage, "s", exec=sequence("/_/a", "/_/s")) == CYCLIC
    assert await refused(stage, "p/s", exec=sequence("/_/b/s")) == CYCLIC
    await made(stage, "inner", exec=sequence("/_/a"))
    await made(stage, "outer", exec=sequence("/_/inner"))
    assert await refused(stage, "inner", exec=sequence("/_/a", "/_/outer")) == CYCLIC
    assert await refused(stage, "a", exec=sequence("/_/outer")) == CYCLIC


@on_stage
async def test_components_that_are_missing_are_400_and_their_packages_404(stage: Stage) -> None:
    await stage.package("acme/p")
    await stage.trigger("acme/t")
    await stage.action("acme/a")
    assert await refused(stage, "s", exec=sequence("/_/a", "/_/nope")) == NO_COMPONENT
    assert await refused(stage, "s", exec=sequence("/_/p/nope")) == NO_COMPONENT
    assert await refused(stage, "s", exec=sequence("/_/a", "/_/nope/a")) == (404, MISSING)


@on_stage
async def test_components_of_others_are_refused_all_at_once_unless_they_are_shared(stage: Stage) -> None:
    await stage.package("other/open", publish=True)
    await stage.package("other/closed")
    for name in ("open/a", "closed/a", "a"):
        await stage.action(f"other/{name}")
    components = ("/other/open/a", "/other/closed/a", "/other/a", "/nobody/p/a", "/_/nope/a")
    assert await refused(stage, "s", exec=sequence(*components)) == (
        403,
        "The supplied authentication is not authorized to access 'nobody/p, other/a, other/closed'.",
    )
    shown = await made(stage, "s", exec=sequence("/other/open/a"))
    assert shown["exec"]["components"] == ["/other/open/a"]
