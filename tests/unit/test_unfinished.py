"""The controller's ends for what no invoker ends, and the load balancer as the bus asks it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sabayon.balancer.balancer import Balancer
from sabayon.bus.base import ActivationMessage
from sabayon.bus.chooser import Fate
from sabayon.bus.heartbeat import Heartbeat
from sabayon.controller.balancing import Balancing
from sabayon.controller.unfinished import Unfinished
from sabayon.delivery.agenda import Agenda
from sabayon.delivery.pending import PendingAction, encode_pending
from sabayon.delivery.settling import Settler
from sabayon.entity.activation import Activation, Outcome, StoredActivation
from sabayon.entity.parameters import parameter
from sabayon.errors import Overloaded, StoreUnavailable
from sabayon.store.memory import MemoryActivations, MemoryStore
from tests.conformance.bus_stage import KIND, message

NOW_MS = 1_767_225_600_000


class FullDisk(MemoryActivations):
    async def put(self, record: StoredActivation, *, settles: bool = False) -> None:
        raise StoreUnavailable("the disk is full")


def end(store: MemoryStore, sent: ActivationMessage, fate: Fate) -> Activation:
    async def ended() -> Activation:
        settler = Settler(store.activations, store.journal, Agenda(), lambda: NOW_MS)
        return await Unfinished(settler, lambda: NOW_MS).end(sent, fate)

    return asyncio.run(ended())


def journaled(store: MemoryStore, **fields: Any) -> ActivationMessage:
    """Accepted, and in the journal, where its controller has it in hand."""
    sent = message(is_journaled=True, accepted_ms=NOW_MS, **fields)
    entry = encode_pending(PendingAction(sent))
    asyncio.run(store.journal.append(sent.activation_id, entry, namespace=sent.identity.namespace))
    return sent


def error_of(activation: Activation) -> tuple[Outcome, str]:
    return activation.response.outcome, msgspec.json.decode(activation.response.result)["error"]


def record_of(store: MemoryStore, sent: ActivationMessage) -> bytes | None:
    return asyncio.run(store.activations.read("acme", sent.activation_id))


def test_who_waits_for_what_was_lost_is_told_so_and_there_is_a_record() -> None:
    store, sent = MemoryStore(), message(cause="0" * 32)
    activation = end(store, sent, Fate.LOST)
    text = "The invoker that ran the action was lost before it could say how it ended."
    assert error_of(activation) == (Outcome.WHISK_ERROR, text)
    assert (activation.start, activation.duration, activation.cause) == (NOW_MS, 0, "0" * 32)
    assert record_of(store, sent) == activation.record


def test_what_is_journaled_and_was_lost_waits_in_the_journal_for_its_next_attempt() -> None:
    store = MemoryStore()
    sent = journaled(store)
    end(store, sent, Fate.LOST)
    assert record_of(store, sent) is None
    [due_ms] = asyncio.run(store.journal.waiting()).values()
    assert due_ms > NOW_MS


def test_what_is_delivered_at_most_once_and_was_lost_ends() -> None:
    store = MemoryStore()
    action = msgspec.structs.replace(message().action, annotations=(parameter("delivery", "at-most-once"),))
    sent = journaled(store, action=action)
    assert error_of(end(store, sent, Fate.LOST))[0] is Outcome.WHISK_ERROR
    assert record_of(store, sent) is not None
    assert asyncio.run(store.journal.pending()) == {}


def test_what_is_cancelled_before_an_invoker_has_it_is_marked_and_leaves_the_journal() -> None:
    store = MemoryStore()
    activation = end(store, journaled(store), Fate.CANCELLED)
    assert error_of(activation) == (Outcome.APPLICATION_ERROR, "The activation was cancelled.")
    assert activation.is_cancelled
    assert asyncio.run(store.journal.pending()) == {}


def test_what_no_invoker_takes_ends_as_the_platforms_fault() -> None:
    store = MemoryStore()
    activation = end(store, message(), Fate.NOWHERE)
    assert error_of(activation) == (Outcome.WHISK_ERROR, "Failed to provision resources to run the action.")


def test_where_no_records_are_kept_none_is_and_a_store_that_fails_does_not_leave_anybody_waiting() -> None:
    store, sent = MemoryStore(), message(is_stored=False)
    end(store, sent, Fate.LOST)
    assert record_of(store, sent) is None
    store.activations = FullDisk(store.journal)
    assert error_of(end(store, message(), Fate.LOST))[0] is Outcome.WHISK_ERROR


def heartbeat(invoker: str, *kinds: str) -> Heartbeat:
    return Heartbeat(invoker=invoker, is_whole=True, kinds=frozenset(kinds), memory_mb=1024, started_ms=1)


def test_a_refusal_of_the_load_balancer_says_why_and_when_to_come_again() -> None:
    balancing = Balancing(Balancer("c1"), lambda: 0.0, lambda kinds: None)
    with pytest.raises(Overloaded, match="no invoker is up") as refusal:
        balancing.choose(message(), 1, frozenset())
    assert refusal.value.retry_after_s == 5


def test_one_activation_may_be_sent_twice_under_two_numbers_and_its_loss_is_told_by_number() -> None:
    now = [0.0]
    balancing = Balancing(Balancer("c1"), lambda: now[0], lambda kinds: None)
    [(invoker, test)] = balancing.heard(heartbeat("i1", KIND)).tests
    balancing.tested(invoker, test, is_good=True)
    sent = message()
    assert [balancing.choose(sent, number, frozenset()) for number in (1, 2)] == ["i1", "i1"]
    balancing.ended(1, is_fault=False, is_usable=True)
    lost: list[int] = []
    for _ in range(20):
        now[0] += 0.5
        lost += balancing.tick().lost
    assert lost == [2]


def test_kinds_are_learned_once_and_kept() -> None:
    learned: list[frozenset[str]] = []
    balancing = Balancing(Balancer("c1"), lambda: 0.0, learned.append)
    for beat in (heartbeat("i1", "a"), heartbeat("i1", "a"), heartbeat("i2", "b"), heartbeat("i2", "a")):
        balancing.heard(beat)
    assert learned == [{"a"}, {"a", "b"}]
