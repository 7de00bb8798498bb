"""Versions of entities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.entity.version import FIRST, MalformedVersion, bump, parse_version

PARTS = st.integers(0, 10**6)


def test_the_first_version_is_as_clients_expect_it() -> None:
    assert FIRST == "0.0.1"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("1", "1.0.0"),
        ("1.2", "1.2.0"),
        ("1.2.3", "1.2.3"),
        ("1.2.3.4", "1.2.3"),
        ("01.002.0003", "1.2.3"),
        ("0.0.1", "0.0.1"),
        ("0.1", "0.1.0"),
    ],
)
def test_a_version_is_completed(text: str, full: str) -> None:
    assert parse_version(text) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "0",
        "0.0",
        "0.0.0",
        "0.0.0.1",
        "-1",
        "1.-2",
        "+1",
        "a",
        "1.a",
        "1.2.x",
        "1..2",
        " 1",
        "1 ",
        "1.2.3-rc1",
        "1_0",
        "٣",
        "1.²",
        "v1",
        "1,2",
        "1\n",
        "9" * 5000,
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(MalformedVersion, match=r"^semantic version malformed$"):
        parse_version(text)


@given(PARTS, PARTS, PARTS)
def test_an_update_counts_the_last_part_up(major: int, minor: int, patch: int) -> None:
    assert bump(f"{major}.{minor}.{patch}") == f"{major}.{minor}.{patch + 1}"


@given(PARTS, PARTS, PARTS)
def test_a_bumped_version_is_a_version(major: int, minor: int, patch: int) -> None:
    bumped = bump(f"{major}.{minor}.{patch}")
    assert parse_version(bumped) == bumped
