"""What the port of idempotency keys promises, asked of every driver."""

from __future__ import annotations

import asyncio
from typing import Any

from sabayon.store.base import KEPT_MS, Claim
from tests.conformance.store_session import Session
from tests.conformance.test_store_journal import waiting


def claim(number: int, *, namespace: str = "ns", target: str = "actions/ns/a", key: str = "k", at: int = 1) -> Claim:
    return Claim(namespace, target, key, b"fingerprint %d" % number, f"{number:032x}", at)


def test_the_first_claim_of_a_key_has_it_and_what_it_stands_for_is_in_the_journal(session: Session) -> None:
    async def body(store: Any) -> None:
        first = claim(1)
        assert await store.keys.find("ns", "actions/ns/a", "k", 1) is None
        assert await store.keys.claim(first, b"one") is None
        assert await store.keys.claim(claim(2, at=2), b"two") == first
        assert await store.keys.find("ns", "actions/ns/a", "k", 2) == first
        assert await store.journal.pending() == {first.activation_id: b"one"}

    session(body)


def test_of_many_claims_at_once_one_wins_and_all_others_are_told_of_it(session: Session) -> None:
    async def body(store: Any) -> None:
        wanted = [claim(number) for number in range(100)]
        found = await asyncio.gather(*(store.keys.claim(one, b"m") for one in wanted))
        (winner,) = [one for one, earlier in zip(wanted, found, strict=True) if earlier is None]
        assert set(found) == {None, winner}
        assert list(await store.journal.pending()) == [winner.activation_id]

    session(body)


def test_the_same_key_for_another_target_or_of_another_namespace_is_another_key(session: Session) -> None:
    async def body(store: Any) -> None:
        others = [claim(1), claim(2, target="triggers/ns/a"), claim(3, namespace="other"), claim(4, key="K")]
        assert [await store.keys.claim(one, b"m") for one in others] == [None] * 4
        for one in others:
            assert await store.keys.find(one.namespace, one.target, one.key, 1) == one

    session(body)


def test_a_claim_holds_for_a_day(session: Session) -> None:
    async def body(store: Any) -> None:
        first, late, next_day = claim(1), claim(2, at=KEPT_MS), claim(3, at=KEPT_MS + 1)
        await store.keys.claim(first, b"m")
        assert await store.keys.claim(late, b"m") == first
        assert await store.keys.find("ns", "actions/ns/a", "k", KEPT_MS + 1) is None
        assert await store.keys.claim(next_day, b"m") is None
        assert await store.keys.find("ns", "actions/ns/a", "k", KEPT_MS + 1) == next_day

    session(body)


def test_claims_that_hold_no_longer_are_forgotten_so_many_at_a_time(session: Session) -> None:
    async def body(store: Any) -> None:
        for number in range(5):
            await store.keys.claim(claim(number, key=f"k{number}", at=number), b"m")
        now = KEPT_MS + 3
        assert [await store.keys.prune(now, 3) for _ in range(3)] == [3, 1, 0]
        assert [bool(await store.keys.find("ns", "actions/ns/a", f"k{n}", 5)) for n in range(5)] == [False] * 4 + [True]

    session(body)


def test_what_a_claim_stands_for_can_wait_for_its_time(session: Session) -> None:
    async def body(store: Any) -> None:
        assert await store.keys.claim(claim(1), b"message 1", due_ms=50) is None
        assert await store.keys.claim(claim(2), b"message 2", due_ms=5) == claim(1)
        assert await store.journal.waiting() == {"ns": 50}
        assert await store.journal.take("ns", 50, 10) == [waiting(1, 50, 1)]

    session(body)
