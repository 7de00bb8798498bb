"""The log lines of an activation record."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.logline import format_line
from sabayon.invoker.logs import format_logs
from sabayon.sandbox.base import LogLine, Logs

HELLO_NS = 1_525_662_221_119_478_000
"""2018-05-07T03:03:41.119478Z"""
NOTHING = Logs((), is_truncated=False)
MISSING = "stderr: The action did not initialize or run as expected. Log data might be missing."


def test_a_line_is_a_nanosecond_timestamp_the_stream_and_the_text() -> None:
    assert format_line(HELLO_NS, "stdout", "hello") == "2018-05-07T03:03:41.119478000Z stdout: hello"


@pytest.mark.parametrize(
    ("time_ns", "stamp"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        (1_709_164_799_000_000_000, "2024-02-28T23:59:59.000000000Z"),
        (HELLO_NS + 5, "2018-05-07T03:03:41.119478005Z"),
    ],
)
def test_no_digit_of_the_time_is_lost(time_ns: int, stamp: str) -> None:
    assert format_line(time_ns, "stderr", "") == f"{stamp} stderr: "


@given(time_ns=st.integers(0, 4_000_000_000 * 10**9), text=st.text(), stream=st.sampled_from(["stdout", "stderr"]))
def test_the_text_always_begins_in_the_same_column_and_is_not_changed(time_ns: int, text: str, stream: str) -> None:
    line = format_line(time_ns, stream, text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line[:30])
    assert line[30:] == f" {stream}: {text}"
    seconds = datetime.strptime(line[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    assert int(seconds) * 10**9 + int(line[20:29]) == time_ns


def test_lines_keep_the_order_in_which_they_were_read() -> None:
    lines = (LogLine(HELLO_NS + 1, "stderr", "one"), LogLine(HELLO_NS, "stdout", "two"))
    formatted = format_logs(Logs(lines, is_truncated=False), limit_mb=10, now_ns=0, is_unreliable=False)
    assert formatted == (
        "2018-05-07T03:03:41.119478001Z stderr: one",
        "2018-05-07T03:03:41.119478000Z stdout: two",
    )


def test_without_output_there_are_no_lines() -> None:
    assert format_logs(NOTHING, limit_mb=10, now_ns=0, is_unreliable=False) == ()


def test_truncated_logs_keep_what_came_before_and_say_so_at_the_end() -> None:
    logs = Logs((LogLine(0, "stdout", "kept"),), is_truncated=True)
    formatted = format_logs(logs, limit_mb=2, now_ns=HELLO_NS, is_unreliable=False)
    notice = "Logs were truncated because the total bytes size exceeds the limit of 2097152 bytes."
    assert formatted == (
        "1970-01-01T00:00:00.000000000Z stdout: kept",
        f"2018-05-07T03:03:41.119478000Z stderr: {notice}",
    )


def test_after_a_run_that_went_wrong_the_last_line_says_that_logs_may_be_missing() -> None:
    formatted = format_logs(NOTHING, limit_mb=10, now_ns=HELLO_NS, is_unreliable=True)
    assert formatted == (f"2018-05-07T03:03:41.119478000Z {MISSING}",)


@pytest.mark.parametrize("is_truncated", [False, True])
@pytest.mark.parametrize("is_unreliable", [False, True])
def test_with_a_limit_of_nothing_nothing_is_collected(is_truncated: bool, is_unreliable: bool) -> None:
    logs = Logs((LogLine(0, "stdout", "x"),), is_truncated=is_truncated)
    assert format_logs(logs, limit_mb=0, now_ns=0, is_unreliable=is_unreliable) == ()
