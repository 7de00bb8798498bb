"""Activation records: the full one, the one in lists, and what lists are filtered by."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from sabayon.entity.activation import (
    Activation,
    Outcome,
    Response,
    encode_summary,
    error_response,
    name_filter,
    new_activation_id,
    record_without_logs,
    stored,
)
from sabayon.entity.parameters import parameter

ID = "b7d1f0e2c3a44f5e96a7b8c9d0e1f203"
PATH = parameter("path", "acme/imaging/resize")


def activation(**changes: Any) -> Activation:
    fields: dict[str, Any] = {
        "activation_id": ID,
        "annotations": (PATH, parameter("kind", "python:3.11")),
        "duration": 0,
        "end": 1767225601257,
        "logs": ("line",),
        "name": "resize",
        "namespace": "guest",
        "response": Response(Outcome.SUCCESS, Raw(b'{"ok":1.50}'), 11),
        "start": 1767225601000,
        "subject": "someone",
        "version": "0.0.1",
    }
    return Activation(**{**fields, **changes})


def trigger_activation() -> Activation:
    return activation(duration=None, end=None, response=Response(Outcome.SUCCESS, Raw(b"{}")))


def test_the_record_of_an_action() -> None:
    assert activation().record.decode() == (
        f'{{"activationId":"{ID}",'
        '"annotations":[{"key":"path","value":"acme/imaging/resize"},{"key":"kind","value":"python:3.11"}],'
        '"duration":0,"end":1767225601257,"logs":["line"],"name":"resize","namespace":"guest","publish":false,'
        '"response":{"result":{"ok":1.50},"size":11,"status":"success","success":true},'
        '"start":1767225601000,"subject":"someone","version":"0.0.1"}'
    )


def test_an_action_in_a_list() -> None:
    assert encode_summary(activation(cause="c" * 32)).decode() == (
        f'{{"activationId":"{ID}",'
        '"annotations":[{"key":"path","value":"acme/imaging/resize"},{"key":"kind","value":"python:3.11"}],'
        f'"cause":"{"c" * 32}","duration":0,"end":1767225601257,"name":"resize","namespace":"guest","publish":false,'
        '"start":1767225601000,"statusCode":0,"version":"0.0.1"}'
    )


def test_the_record_of_a_trigger_has_no_end_and_no_duration() -> None:
    record = msgspec.json.decode(trigger_activation().record)
    assert {"end", "duration", "cause"}.isdisjoint(record)
    assert record["response"] == {"result": {}, "status": "success", "success": True}


def test_a_trigger_in_a_list_has_no_status_code_either() -> None:
    assert {"end", "duration", "statusCode", "cause"}.isdisjoint(
        msgspec.json.decode(encode_summary(trigger_activation()))
    )


def test_a_cause_is_shown_where_there_is_one() -> None:
    assert msgspec.json.decode(activation(cause="c" * 32).record)["cause"] == "c" * 32


@pytest.mark.parametrize(
    ("outcome", "code", "status", "http_status"),
    [
        (Outcome.SUCCESS, 0, "success", 200),
        (Outcome.APPLICATION_ERROR, 1, "application error", 502),
        (Outcome.DEVELOPER_ERROR, 2, "action developer error", 502),
        (Outcome.WHISK_ERROR, 3, "whisk internal error", 500),
    ],
)
def test_each_outcome_has_a_number_a_text_and_a_status(
    outcome: Outcome, code: int, status: str, http_status: int
) -> None:
    ended = activation(response=error_response(outcome, 'it said "no"'))
    record = msgspec.json.decode(ended.record)
    assert record["response"] == {"result": {"error": 'it said "no"'}, "status": status, "success": code == 0}
    assert "statusCode" not in record
    assert msgspec.json.decode(encode_summary(ended))["statusCode"] == code
    assert outcome.http_status == http_status


def test_keys_are_sorted_in_both_views() -> None:
    for text in (activation(cause="c" * 32).record, encode_summary(activation(cause="c" * 32))):
        keys = list(msgspec.json.decode(text))
        assert keys == sorted(keys)


def test_other_logs_can_be_shown_than_the_record_has() -> None:
    ended = activation()
    assert msgspec.json.decode(record_without_logs(ended))["logs"] == []
    assert msgspec.json.decode(ended.record)["logs"] == ["line"]


@pytest.mark.parametrize(("result", "is_array"), [(b"[1]", True), (b'{"a":[]}', False)])
def test_a_result_may_be_an_array(result: bytes, is_array: bool) -> None:
    assert Response(Outcome.SUCCESS, Raw(result)).is_array is is_array


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ((), "resize"),
        ((parameter("path", "acme/resize"),), "resize"),
        ((PATH,), "imaging/resize"),
        ((PATH, parameter("binding", "guest/mine")), "mine/resize"),
        ((parameter("path", 5),), "resize"),
    ],
)
def test_lists_are_filtered_by_the_package_that_was_called(annotations: Any, expected: str) -> None:
    assert name_filter(activation(annotations=annotations)) == expected


def test_the_store_keeps_both_views_and_what_lists_select_by() -> None:
    kept = stored(activation())
    assert kept.record == activation().record
    assert kept.summary == encode_summary(activation())
    assert (kept.activation_id, kept.namespace) == (ID, "guest")
    assert (kept.name_filter, kept.start) == ("imaging/resize", 1767225601000)


def test_activation_ids_are_random_and_well_formed() -> None:
    ids = {new_activation_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{32}", id) for id in ids)
