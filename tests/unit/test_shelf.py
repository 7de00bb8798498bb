"""What is kept of prepared code, and what goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sabayon.sandbox.native.shelf import MOST, REFUSAL_S, Shelf


def shelf_with(*keys: str, limit: int = 30) -> Shelf:
    """A shelf on which each key takes ten bytes, put there in this order."""
    shelf = Shelf(limit, 25)
    for key in keys:
        assert shelf.put(key, 10, 0) == []
    return shelf


def test_what_fits_is_kept() -> None:
    shelf = shelf_with("a", "b", "c")
    assert all(key in shelf for key in "abc")
    assert shelf.used_bytes == 30


def test_the_least_recently_used_goes_first() -> None:
    shelf = shelf_with("a", "b", "c")
    assert shelf.take("a")
    shelf.give_back("a")
    assert shelf.put("d", 10, 0) == ["b"]
    assert not shelf.take("b")


def test_as_much_goes_as_is_needed() -> None:
    assert shelf_with("a", "b", "c").put("d", 25, 0) == ["a", "b", "c"]
    assert shelf_with("a", "b", "c").put("d", 15, 0) == ["a", "b"]


def test_what_is_in_use_stays() -> None:
    shelf = shelf_with("a", "b", "c")
    assert shelf.take("a")
    assert shelf.take("a")
    shelf.give_back("a")
    assert shelf.put("d", 20, 0) == ["b", "c"]
    shelf.give_back("a")
    assert shelf.put("e", 10, 0) == ["d"], "it was used before a was given back"


def test_what_finds_no_room_is_not_kept_and_not_tried_again_for_a_while() -> None:
    shelf = shelf_with("a", "b", "c")
    assert all(shelf.take(key) for key in "abc")
    assert shelf.put("d", 10, 5) == ["d"]
    assert shelf.is_refused("d", 5 + REFUSAL_S - 1)
    assert not shelf.is_refused("d", 5 + REFUSAL_S)
    assert not shelf.is_refused("a", 5)


def test_nothing_goes_for_what_would_find_no_room_even_then() -> None:
    shelf = shelf_with("a", "b", "c")
    assert shelf.take("b")
    assert shelf.put("d", 25, 0) == ["d"]
    assert all(key in shelf for key in "abc")


def test_what_is_larger_than_one_may_be_is_not_kept_whatever_room_there_is() -> None:
    shelf = Shelf(100, 25)
    assert shelf.put("a", 26, 0) == ["a"]
    assert shelf.is_refused("a", 1)
    assert shelf.put("b", 25, 0) == []


def test_there_are_only_so_many_however_small() -> None:
    shelf = Shelf(MOST * 2, 2)
    for number in range(MOST):
        assert shelf.put(str(number), 1, 0) == []
    assert shelf.take("0")
    assert shelf.put("one more", 1, 0) == ["1"]


def test_only_so_many_refusals_are_remembered() -> None:
    shelf = Shelf(10, 10)
    for number in range(5000):
        shelf.refuse(str(number), 0)
    assert not shelf.is_refused("0", 1)
    assert shelf.is_refused("4999", 1)


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "give"]), st.sampled_from("abcdef"), st.integers(0, 40))))
def test_the_bound_holds_and_nothing_in_use_is_lost(steps: list[tuple[str, str, int]]) -> None:
    shelf, users = Shelf(50, 25), dict.fromkeys("abcdef", 0)
    for step, key, size in steps:
        if step == "put" and key not in shelf:
            gone = shelf.put(key, size, 0)
            assert not any(users[other] for other in gone)
            assert gone == [key] if key in gone else key in shelf
        elif step == "take":
            users[key] += shelf.take(key)
        elif step == "give" and users[key]:
            users[key] -= 1
            shelf.give_back(key)
        assert shelf.used_bytes <= 50
        assert all(other in shelf for other, number in users.items() if number)
