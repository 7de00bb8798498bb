"""Messages in parcels: whole again, or not there at all, and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.bus import parcels
from sabayon.bus.parcels import HEAD_BYTES, MARK, Assembly, split

MOST = HEAD_BYTES + 10
ONE, TWO = b"1" * 16, b"2" * 16


@given(st.lists(st.binary(min_size=0, max_size=200).map(b"[".__add__), max_size=6), st.randoms(use_true_random=False))
def test_messages_of_several_senders_are_whole_again_in_whatever_order_they_mix(
    messages: list[bytes], dice: object
) -> None:
    queues = [split(text, MOST, bytes([n]) * 16) for n, text in enumerate(messages)]
    assembly, came = Assembly(), []
    while any(queues):
        queue = dice.choice([queue for queue in queues if queue])  # type: ignore[attr-defined]
        parcel = queue.pop(0)
        assert len(parcel) <= MOST
        if (whole := assembly.take(parcel, 0.0)) is not None:
            came.append(whole)
    assert sorted(came) == sorted(messages)
    assert (len(assembly), assembly.size) == (0, 0)


def test_what_is_not_longer_goes_as_it_is() -> None:
    assert split(b"[" * MOST, MOST, ONE) == [b"[" * MOST]


@pytest.mark.parametrize("missing", range(4))
def test_a_message_whose_part_is_lost_is_lost(missing: int) -> None:
    parts = split(b"[" * 40, MOST, ONE)
    assert len(parts) == 4
    assembly = Assembly()
    assert [assembly.take(part, 0.0) for n, part in enumerate(parts) if n != missing] == [None] * 3
    other = split(b"]" * 40, MOST, TWO)
    assert [assembly.take(part, 0.0) for part in other][-1] == b"]" * 40


def test_of_what_is_never_finished_a_bounded_number_and_time_is_kept() -> None:
    assembly = Assembly()
    for number in range(2 * parcels.UNFINISHED):
        assembly.take(split(b"[" * 40, MOST, number.to_bytes(16, "big"))[0], 0.0)
    assert len(assembly) == parcels.UNFINISHED
    assert assembly.size == 10 * parcels.UNFINISHED
    assembly.take(split(b"[" * 40, MOST, ONE)[0], parcels.UNFINISHED_S)
    assert len(assembly) == 1


def test_of_what_is_never_finished_a_bounded_size_is_kept() -> None:
    assembly = Assembly()
    size = parcels.UNFINISHED_BYTES // 4
    for number in range(6):
        assembly.take(split(b"[" * 2 * size, size + HEAD_BYTES, number.to_bytes(16, "big"))[0], 0.0)
        assert assembly.size <= parcels.UNFINISHED_BYTES
    assert len(assembly) == 4


@pytest.mark.parametrize("garbage", [MARK, MARK + b"x" * (HEAD_BYTES - 1), MARK + b"x" * 16 + b"\0\5\0\5rest"])
def test_what_is_no_parcel_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="parcel"):
        Assembly().take(garbage, 0.0)


def test_what_would_take_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        split(b"[" * 700_000, HEAD_BYTES + 10, ONE)
