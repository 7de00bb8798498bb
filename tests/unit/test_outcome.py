"""Which replies of a launcher become which responses, and with which words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.activation import Outcome, Response
from sabayon.invoker.outcome import Limits, died, init_failure, run_response, timed_out
from sabayon.sandbox.base import Reply

LIMITS = Limits(timeout_ms=1000, payload_bytes=200, truncation_bytes=20)
INVALID = "The action did not produce a valid JSON or JSON Array response"
TIME = "The action exceeded its time limits of 1000 milliseconds"


def reply(status: int, body: bytes | str, length: int | None = None) -> Reply:
    raw = body.encode() if isinstance(body, str) else body
    return Reply(status, raw, len(raw) if length is None else length)


def result(response: Response | None) -> Any:
    assert response is not None
    return msgspec.json.decode(response.result)


def run(status: int, body: bytes | str, elapsed_ms: float = 1.0) -> tuple[Outcome, Any]:
    response = run_response(reply(status, body), elapsed_ms, LIMITS)
    return response.outcome, result(response)


@pytest.mark.parametrize("body", ["{}", '{"a":1}', "[]", '[1,"x",null]', '{"Error":1,"errors":2}', '{"a":{"error":1}}'])
def test_an_object_without_error_and_an_array_are_successes(body: str) -> None:
    response = run_response(reply(200, body), 1.0, LIMITS)
    assert response == Response(Outcome.SUCCESS, msgspec.Raw(body.encode()), len(body))


@pytest.mark.parametrize("value", ["null", "false", "0", '""', '"wrong"', "[]", '{"status":404}', "1.50", "1e400"])
def test_an_error_of_any_value_is_an_application_error_and_all_that_is_kept(value: str) -> None:
    response = run_response(reply(200, f'{{"hint":1, "error":{value} ,"more":[2]}}'), 1.0, LIMITS)
    assert (response.outcome, bytes(response.result)) == (Outcome.APPLICATION_ERROR, f'{{"error":{value}}}'.encode())


def test_an_error_key_is_found_however_it_is_escaped() -> None:
    assert run(200, '{"\\u0065rror":"x","a":1}') == (Outcome.APPLICATION_ERROR, {"error": "x"})


@pytest.mark.parametrize("body", [" \r\n\t[1, 2]\n", '\n {"a": 1} \n'])
def test_white_space_around_a_result_is_not_part_of_it(body: str) -> None:
    response = run_response(reply(200, body), 1.0, LIMITS)
    assert bytes(response.result) == body.strip().encode()
    assert response.is_array is body.strip().startswith("[")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "null"),
        (200, "1"),
        (200, '"text"'),
        (200, "true"),
        (200, "{"),
        (200, "[1,]"),
        (200, '{"a":1} {}'),
        (200, "{'a': 1}"),
        (200, '{"a":NaN}'),
        (200, "Traceback (most recent call last)"),
        (502, "null"),
        (502, "not json"),
        (502, '{"a":1}'),
        (502, "[1]"),
        (400, "[]"),
    ],
)
def test_what_is_no_result_is_a_developer_error_that_quotes_it(status: int, body: str) -> None:
    assert run(status, body) == (Outcome.DEVELOPER_ERROR, {"error": f"{INVALID}: {body}"})


@pytest.mark.parametrize("status", [200, 502])
def test_an_empty_answer_is_a_developer_error_with_nothing_to_quote(status: int) -> None:
    assert run(status, "") == (Outcome.DEVELOPER_ERROR, {"error": f"{INVALID}."})


def test_an_answer_that_is_not_utf_8_is_quoted_with_replacement_characters() -> None:
    assert run(200, b'{"a":"\xff"}') == (Outcome.DEVELOPER_ERROR, {"error": f'{INVALID}: {{"a":"\ufffd"}}'})


@pytest.mark.parametrize("body", ["[" * 150, '{"a":' * 40])
def test_deep_nesting_that_never_closes_is_a_developer_error(body: str) -> None:
    assert run(200, body)[0] is Outcome.DEVELOPER_ERROR


def test_nesting_too_deep_to_be_read_is_a_developer_error() -> None:
    limits = LIMITS._replace(payload_bytes=1_000_000)
    body = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
    response = run_response(reply(200, body), 1.0, limits)
    assert response.outcome is Outcome.DEVELOPER_ERROR
    assert response.size == len(body)


@pytest.mark.parametrize("status", [400, 500, 502])
def test_an_error_with_another_status_is_a_developer_error_with_that_error(status: int) -> None:
    assert run(status, '{"error":{"code":7},"b":1}') == (Outcome.DEVELOPER_ERROR, {"error": {"code": 7}})


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize(("length", "kept"), [(1000, 100), (201, 201)])
def test_too_long_a_result_is_an_application_error_with_its_beginning(status: int, length: int, kept: int) -> None:
    response = run_response(reply(status, b"x" * kept, length), 1.0, LIMITS)
    text = f"exceeded the allowed length: {length} > 200 bytes. The truncated response was: {'x' * 20}"
    assert response.outcome is Outcome.APPLICATION_ERROR
    assert result(response) == {"error": f"The action produced a response that {text}"}
    assert response.size == length


def test_a_result_of_exactly_the_allowed_length_is_no_error() -> None:
    body = '{"a":"' + "x" * 192 + '"}'
    assert len(body) == LIMITS.payload_bytes
    assert run(200, body)[0] is Outcome.SUCCESS


def test_the_beginning_of_a_long_result_may_end_inside_a_character() -> None:
    text = result(run_response(reply(200, "é" * 150), 1.0, LIMITS._replace(truncation_bytes=5)))["error"]
    assert text.endswith("The truncated response was: éé\ufffd")


@pytest.mark.parametrize("body", ['{"a":"äöü€😀"}', '{"error":"äöü€😀"}', "kein JSON: äöü€😀"])
@pytest.mark.parametrize("status", [200, 502])
def test_the_size_counts_characters_of_the_whole_answer(status: int, body: str) -> None:
    assert run_response(reply(status, body), 1.0, LIMITS).size == len(body)


@pytest.mark.parametrize("answer", [reply(200, "{}"), reply(502, '{"error":1}'), reply(200, "x", 999), reply(502, "")])
def test_a_run_that_lasts_as_long_as_its_limit_has_timed_out_whatever_it_answered(answer: Reply) -> None:
    response = run_response(answer, 1000.0, LIMITS)
    assert (response.outcome, result(response)) == (Outcome.DEVELOPER_ERROR, {"error": f"{TIME}."})
    assert response.size is None


def test_a_run_that_ends_just_before_its_limit_has_not_timed_out() -> None:
    assert run(200, "{}", 999.9) == (Outcome.SUCCESS, {})


@pytest.mark.parametrize("body", ["", "OK", '{"ok":true}', '{"error":"ignored"}', "[1]", b"\xff"])
@pytest.mark.parametrize("elapsed_ms", [1.0, 5000.0])
def test_whatever_comes_with_status_200_the_code_is_loaded(body: bytes | str, elapsed_ms: float) -> None:
    assert init_failure(reply(200, body), elapsed_ms, LIMITS) is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"error":"no main"}', "no main"),
        ('{"error":null}', None),
        ('{"error":{"a":[1]},"b":2}', {"a": [1]}),
        ("", "The action failed during initialization."),
        ("boom", "The action failed during initialization: boom"),
        ('{"a":1}', 'The action failed during initialization: {"a":1}'),
        ('["error"]', 'The action failed during initialization: ["error"]'),
        (b"\xff", "The action failed during initialization: \ufffd"),
    ],
)
def test_a_failed_initialization_is_a_developer_error(body: bytes | str, error: Any) -> None:
    response = init_failure(reply(502, body), 1.0, LIMITS)
    assert response is not None
    assert (response.outcome, result(response)) == (Outcome.DEVELOPER_ERROR, {"error": error})
    assert response.size == len(body)


@pytest.mark.parametrize("answer", [reply(502, '{"error":1}'), reply(502, "x", 999), reply(200, "x", 999)])
def test_an_initialization_that_failed_at_the_limit_has_timed_out(answer: Reply) -> None:
    response = init_failure(answer, 1000.0, LIMITS)
    assert response is not None and response.outcome is Outcome.DEVELOPER_ERROR
    assert result(response) == {"error": f"{TIME} during initialization."}


@pytest.mark.parametrize("status", [200, 502])
def test_too_long_an_answer_to_the_initialization_is_a_developer_error(status: int) -> None:
    response = init_failure(reply(status, "y" * 50, 300), 1.0, LIMITS)
    assert response is not None
    assert (response.outcome, response.size) == (Outcome.DEVELOPER_ERROR, 300)
    assert result(response)["error"].endswith(f"300 > 200 bytes. The truncated response was: {'y' * 20}")


@pytest.mark.parametrize(
    ("during_init", "is_out_of_memory", "text"),
    [
        (True, False, "The action did not initialize and exited unexpectedly."),
        (False, False, "The action did not produce a valid response and exited unexpectedly."),
        (True, True, "The action exhausted its memory and was aborted."),
        (False, True, "The action exhausted its memory and was aborted."),
    ],
)
def test_a_sandbox_that_died_is_a_developer_error(during_init: bool, is_out_of_memory: bool, text: str) -> None:
    response = died(during_init=during_init, is_out_of_memory=is_out_of_memory)
    assert (response.outcome, result(response), response.size) == (Outcome.DEVELOPER_ERROR, {"error": text}, None)


@pytest.mark.parametrize(("during_init", "suffix"), [(True, " during initialization."), (False, ".")])
def test_a_passed_limit_names_the_limit(during_init: bool, suffix: str) -> None:
    assert result(timed_out(LIMITS, during_init=during_init)) == {"error": TIME + suffix}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text() | st.just("error"), values, max_size=3),
    max_leaves=8,
)


@given(value=JSON, status=st.sampled_from([200, 502]))
def test_every_json_answer_falls_into_the_class_of_the_contract(value: Any, status: int) -> None:
    body = msgspec.json.encode(value)
    response = run_response(reply(status, body), 1.0, LIMITS._replace(payload_bytes=len(body)))
    has_error = isinstance(value, dict) and "error" in value
    if has_error:
        expected = (Outcome.APPLICATION_ERROR if status == 200 else Outcome.DEVELOPER_ERROR, {"error": value["error"]})
    elif status == 200 and isinstance(value, dict | list):
        expected = (Outcome.SUCCESS, value)
    else:
        expected = (Outcome.DEVELOPER_ERROR, {"error": f"{INVALID}: {body.decode()}"})
    assert (response.outcome, result(response)) == expected


@given(body=st.binary(max_size=60), status=st.integers(100, 599))
def test_no_answer_of_any_bytes_breaks_the_classification(body: bytes, status: int) -> None:
    answer = reply(status, body)
    assert isinstance(result(run_response(answer, 1.0, LIMITS)), dict | list)
    failure = init_failure(answer, 1.0, LIMITS)
    assert (failure is None) is (status == 200)
