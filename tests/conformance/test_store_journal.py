"""What the journal and the dead letters promise, asked of every driver."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sabayon.entity.activation import stored
from sabayon.entity.identity import new_identity
from sabayon.store.base import MAX_DEAD_LETTERS, Entry, Filter, Letter, Settlement
from tests.conformance.store_session import Session, activation


def test_the_journal_keeps_what_no_record_has_settled_in_order(session: Session) -> None:
    async def body(store: Any) -> None:
        for number in (3, 1, 2):
            await store.journal.append(f"{number:032x}", b"message %d" % number, namespace="ns")
        await store.activations.put(stored(activation(1)), settles=True)
        await store.activations.put(stored(activation(2)))
        assert await store.journal.pending() == {f"{3:032x}": b"message 3", f"{2:032x}": b"message 2"}
        assert list(await store.journal.pending()) == [f"{3:032x}", f"{2:032x}"]

    session(body)


def waiting(number: int, due_ms: int, attempts: int = 0, namespace: str = "ns") -> Entry:
    return Entry(f"{number:032x}", namespace, b"message %d" % number, due_ms, attempts)


async def let_wait(store: Any, *entries: Entry) -> None:
    for id, namespace, message, due_ms, attempts in entries:
        await store.journal.append(id, message, namespace=namespace, due_ms=due_ms, attempts=attempts)


def test_what_waits_in_the_journal_is_taken_when_it_is_due_the_longest_due_first(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, waiting(1, 30), waiting(2, 10), waiting(3, 20), waiting(4, 10))
        await store.journal.append(f"{5:032x}", b"somebody has it", namespace="ns")
        assert await store.journal.waiting() == {"ns": 10}
        assert await store.journal.take("ns", 9, 10) == []
        assert await store.journal.take("ns", 20, 2) == [waiting(2, 10, 1), waiting(4, 10, 1)]
        assert await store.journal.waiting() == {"ns": 20}
        assert await store.journal.take("ns", 20, 2) == [waiting(3, 20, 1)]
        assert await store.journal.take("ns", 20, 2) == []
        assert await store.journal.waiting() == {"ns": 30}
        assert len(await store.journal.pending()) == 5

    session(body)


def test_the_work_of_each_namespace_waits_for_itself(session: Session) -> None:
    async def body(store: Any) -> None:
        others = [waiting(number, number, namespace=f"n{number}") for number in (9, 7, 8)]
        await let_wait(store, waiting(1, 30), *others, waiting(2, 10))
        assert await store.journal.waiting() == {"ns": 10, "n7": 7, "n8": 8, "n9": 9}
        assert [entry.due_ms for entry in await store.journal.take("ns", 50, 10)] == [10, 30]
        assert await store.journal.take("nobody", 50, 10) == []
        assert await store.journal.waiting() == {"n7": 7, "n8": 8, "n9": 9}

    session(body)


def test_nothing_is_taken_twice_however_many_ask(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, *(waiting(number, 0) for number in range(1, 31)))
        pages = await asyncio.gather(*(store.journal.take("ns", 0, 5) for _ in range(10)))
        taken = [entry.activation_id for page in pages for entry in page]
        assert sorted(taken) == [f"{number:032x}" for number in range(1, 31)]

    session(body)


def test_what_is_appended_again_takes_the_place_of_what_was_there(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"first", namespace="ns")
        await let_wait(store, Entry(f"{1:032x}", "ns", b"second", 7, 1))
        assert await store.journal.pending() == {f"{1:032x}": b"second"}
        assert await store.journal.take("ns", 7, 10) == [Entry(f"{1:032x}", "ns", b"second", 7, 2)]

    session(body)


def test_what_was_in_the_hands_of_those_who_are_no_more_can_be_taken_and_is_counted(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await let_wait(store, waiting(2, 5), waiting(3, 50))
        await store.journal.take("ns", 5, 10)

    async def afterwards(store: Any) -> None:
        await store.journal.append(f"{4:032x}", b"in the hands of one who is there", namespace="ns")
        await store.journal.release()
        taken = await store.journal.take("ns", 5, 10)
        assert [(entry.message, entry.attempts) for entry in taken] == [(b"message 1", 2), (b"message 2", 2)]
        assert await store.journal.waiting() == {"ns": 50}

    session(body)
    session(afterwards)


def test_what_is_given_back_counts_as_not_taken(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await store.journal.give_back(f"{1:032x}")
        await store.journal.give_back(f"{1:032x}")
        await store.journal.give_back(f"{2:032x}")
        [entry] = await store.journal.take("ns", 0, 10)
        assert (entry.message, entry.attempts) == (b"message 1", 1)

    session(body)


def test_an_entry_is_there_until_it_is_settled(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await let_wait(store, waiting(2, 5))
        assert [await store.journal.has(f"{number:032x}") for number in (1, 2, 3)] == [True, True, False]
        await store.journal.settle(Settlement(stored(activation(1))))
        assert not await store.journal.has(f"{1:032x}")

    session(body)


def test_one_that_waits_is_taken_by_its_id_whether_it_is_due_or_not(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, waiting(1, 50), waiting(2, 60))
        await store.journal.append(f"{3:032x}", b"somebody has it", namespace="ns")
        assert await store.journal.take_one("other", f"{1:032x}") is None
        assert await store.journal.take_one("ns", f"{1:032x}") == waiting(1, 50, 1)
        assert [await store.journal.take_one("ns", f"{number:032x}") for number in (1, 3, 4)] == [None] * 3
        assert await store.journal.take("ns", 100, 10) == [waiting(2, 60, 1)]

    session(body)


def test_what_is_dropped_is_forgotten(session: Session) -> None:
    async def body(store: Any) -> None:
        await let_wait(store, waiting(1, 5))
        await store.journal.drop(f"{1:032x}")
        assert await store.journal.pending() == {}
        assert await store.journal.waiting() == {}

    session(body)


def letter(number: int, namespace: str = "ns") -> Letter:
    return Letter(f"{number:032x}", namespace, b'{"n":%d}' % number, b"message %d" % number)


def test_a_settlement_leaves_the_record_and_what_follows_and_no_entry(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        settlement = Settlement(stored(activation(1)), waiting(2, 5), letter(1))
        assert await store.journal.settle(settlement) == 0
        assert await store.activations.read("ns", f"{1:032x}") is not None
        assert await store.journal.pending() == {f"{2:032x}": b"message 2"}
        assert await store.journal.take("ns", 5, 10) == [waiting(2, 5, 1)]
        assert await store.dead_letters.read("ns", f"{1:032x}") == letter(1)

    session(body)


def test_of_an_activation_that_is_settled_twice_the_first_time_counts(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.journal.append(f"{1:032x}", b"message 1", namespace="ns")
        await store.activations.put(stored(activation(1, name="first")), settles=True)
        await store.activations.count("ns", Filter())  # all that was put is where it can be found
        await store.journal.settle(Settlement(stored(activation(1, name="second")), waiting(2, 5), letter(1)))
        record = await store.activations.read("ns", f"{1:032x}")
        assert msgspec.json.decode(record)["name"] == "first"
        assert await store.journal.pending() == {}
        assert await store.dead_letters.count("ns") == 0

    session(body)


async def bury(store: Any, *letters: Letter) -> int:
    """How many others had to go."""
    await asyncio.gather(
        *(store.journal.append(one.activation_id, one.message, namespace=one.namespace) for one in letters)
    )
    records = [stored(activation(int(one.activation_id, 16), namespace=one.namespace)) for one in letters]
    settlements = [Settlement(record, None, one) for record, one in zip(records, letters, strict=True)]
    return sum(await asyncio.gather(*(store.journal.settle(settlement) for settlement in settlements)))


def test_dead_letters_are_listed_by_namespace_latest_first_and_can_be_deleted(session: Session) -> None:
    async def body(store: Any) -> None:
        for one in (letter(3), letter(1), letter(2), letter(9, "other")):
            await bury(store, one)
        assert await store.dead_letters.list("ns", skip=0, limit=10) == [b'{"n":2}', b'{"n":1}', b'{"n":3}']
        assert await store.dead_letters.list("ns", skip=1, limit=1) == [b'{"n":1}']
        assert await store.dead_letters.count("ns") == 3
        assert await store.dead_letters.read("ns", f"{9:032x}") is None
        assert not await store.dead_letters.delete("ns", f"{9:032x}")
        assert await store.dead_letters.delete("ns", f"{1:032x}")
        assert not await store.dead_letters.delete("ns", f"{1:032x}")
        assert await store.dead_letters.count("ns") == 2
        assert await store.dead_letters.count("other") == 1

    session(body)


def test_a_dead_letter_is_revived_once(session: Session) -> None:
    async def body(store: Any) -> None:
        await bury(store, letter(1))
        revived = [await store.dead_letters.revive(letter(1), waiting(number, 0)) for number in (2, 3)]
        assert revived == [True, False]
        assert await store.journal.pending() == {f"{2:032x}": b"message 2"}
        assert await store.journal.take("ns", 10, 10) == []
        assert await store.dead_letters.count("ns") == 0

    session(body)


def test_of_too_many_dead_letters_the_oldest_of_the_namespace_goes(session: Session) -> None:
    async def body(store: Any) -> None:
        await bury(store, letter(5_000, "other"))
        assert await bury(store, letter(1)) == 0
        assert await bury(store, *(letter(number) for number in range(2, MAX_DEAD_LETTERS + 1))) == 0
        assert await bury(store, letter(2_000)) == 1
        assert await store.dead_letters.count("ns") == MAX_DEAD_LETTERS
        assert await store.dead_letters.read("ns", f"{1:032x}") is None
        assert await store.dead_letters.read("ns", f"{2:032x}") is not None
        assert await store.dead_letters.count("other") == 1

    session(body)


def test_the_dead_letters_and_the_waiting_work_of_a_namespace_go_with_it(session: Session) -> None:
    async def body(store: Any) -> None:
        await store.identities.put(new_identity("ns"))
        await let_wait(store, waiting(8, 1), waiting(9, 1, namespace="other"))
        await bury(store, letter(1), letter(2, "other"))
        await store.identities.delete("ns")
        assert [await store.dead_letters.count(namespace) for namespace in ("ns", "other")] == [0, 1]
        assert await store.journal.pending() == {f"{9:032x}": b"message 9"}

    session(body)
