"""The settings of stem cells: what they mean, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from sabayon.entity.limits import Bounds
from sabayon.errors import OperatorError
from sabayon.invoker.instructions import Cell
from sabayon.invoker.stem_cells import StemCells, stem_cells_of
from sabayon.sandbox.base import Egress

KINDS = ("python:3.11", "nodejs:18", "nodejs:20")


def classes_of(text: str = "", initial: int = 2, kinds: tuple[str, ...] = KINDS) -> list[StemCells]:
    return stem_cells_of(text, initial, kinds, Bounds(128, 512, 256), Egress.INTERNET)


def test_without_a_class_there_are_two_to_begin_with_of_the_newest_nodejs() -> None:
    assert classes_of() == [StemCells(Cell("nodejs:20", 256, Egress.INTERNET), 2, 1, 4, 120, 1, 1)]


def test_there_are_none_where_there_is_no_nodejs_and_no_class() -> None:
    assert classes_of(kinds=("python:3.11",)) == []


@pytest.mark.parametrize("text", ["", "nodejs:20 initial=3"])
def test_zero_turns_all_of_them_off(text: str) -> None:
    assert classes_of(text, 0) == []


def test_a_number_at_the_start_may_exceed_the_greatest_number_of_the_stock() -> None:
    assert classes_of(initial=9)[0].maximum == 9


def test_so_may_that_of_a_class_which_names_no_greatest_one() -> None:
    assert classes_of("nodejs:20 initial=400") == [StemCells(Cell("nodejs:20", 256, Egress.INTERNET), 400, maximum=400)]


@pytest.mark.parametrize(("text", "initial"), [("nodejs:20 min=3", 3), ("nodejs:20 max=1", 1), ("nodejs:20 max=9", 2)])
def test_a_number_at_the_start_that_is_not_given_keeps_to_the_bounds(text: str, initial: int) -> None:
    assert classes_of(text)[0].initial == initial


def test_classes_replace_the_stock_one() -> None:
    text = """
        nodejs:default memory=512 initial=1 min=0 max=8 ttl_s=60 threshold=2 increment=3;
        nodejs:18;
    """
    assert classes_of(text) == [
        StemCells(Cell("nodejs:20", 512, Egress.INTERNET), 1, 0, 8, 60, 2, 3),
        StemCells(Cell("nodejs:18", 256, Egress.INTERNET), 2),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ruby:3", "there is no kind 'ruby:3' on this machine; there is nodejs:18, nodejs:20, python:3.11"),
        ("nodejs:20 color=3", "'color' is not known; known are memory, initial, min, max, ttl_s, threshold, increment"),
        ("nodejs:20 memory", "memory must be a whole number from 1, not ''"),
        ("nodejs:20 memory=0", "memory must be a whole number from 1, not '0'"),
        ("nodejs:20 initial=-1", "initial must be a whole number from 0, not '-1'"),
        ("nodejs:20 threshold=0", "threshold must be a whole number from 1, not '0'"),
        ("nodejs:20 min=5", "min must not exceed max, as it does in 'nodejs:20 min=5'"),
        ("nodejs:20 memory=9999", "memory must be from 128 to 512, as for actions, not 9999"),
        ("nodejs:20 memory=127", "memory must be from 128 to 512, as for actions, not 127"),
        (
            "nodejs:20 initial=9 max=8",
            "initial must be from min (1) to max (8), not 9 as in 'nodejs:20 initial=9 max=8'",
        ),
        ("nodejs:20 initial=0", "initial must be from min (1) to max (4), not 0 as in 'nodejs:20 initial=0'"),
        ("nodejs:20; nodejs:default", "there are two classes of one kind and memory in 'nodejs:20; nodejs:default'"),
    ],
)
def test_a_wrong_class_is_one_clear_line(text: str, error: str) -> None:
    with pytest.raises(OperatorError) as caught:
        classes_of(text)
    assert str(caught.value) == f"the setting stem_cell_classes: {error}"
