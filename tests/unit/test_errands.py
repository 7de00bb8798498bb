"""A controller's book of what it has dispatched: asked about until it is over, and never concluded from silence."""

from __future__ import annotations

from sabayon.bus.errands import ACK_S, ASK_S, MOST_SENDINGS, WAIT_S, Errand, Errands, State
from tests.conformance.bus_stage import message


def sent(errands: Errands, invoker: str = "i1", now: float = 0.0, **fields: object) -> Errand:
    errand = Errand(message(**fields), now)
    errands.sent(errand, errands.next_number(), invoker, now)
    return errand


def test_what_is_not_acknowledged_is_asked_about_again_and_again() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errands.questions(ACK_S / 2) == {}
    assert errands.questions(ACK_S) == {"i1": [errand.number]}
    assert errands.questions(ACK_S * 1.5) == {}
    assert errands.questions(ACK_S * 2) == {"i1": [errand.number]}


def test_what_is_held_is_asked_about_now_and_then() -> None:
    errands = Errands()
    errand = sent(errands)
    errands.held([errand.number, 77], 0.0)
    assert errands.questions(ASK_S - 0.1) == {}
    assert errands.questions(ASK_S) == {"i1": [errand.number]}


def test_after_a_break_all_is_asked_about() -> None:
    errands = Errands()
    one, two, three = sent(errands), sent(errands, "i2"), sent(errands)
    errands.held([two.number], 0.0)
    assert errands.questions(0.1, of_all=True) == {"i1": [one.number, three.number], "i2": [two.number]}


def test_an_end_counts_once_and_the_invoker_is_told_once_that_it_is_known() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errands.take(errand.number, is_settled=True) is errand
    assert errands.take(errand.number, is_settled=True) is None
    assert errands.settled() == {"i1": [errand.number]}
    assert errands.settled() == {}
    assert len(errands) == 0


def test_what_is_refused_waits_for_another_invoker_and_an_answer_about_the_old_sending_does_nothing() -> None:
    errands = Errands()
    errand = sent(errands)
    old = errand.number
    assert errands.refused(old, 1.0) is errand
    assert (errand.state, errand.avoid, errands.waiting) == (State.WAITING, {"i1"}, 1)
    errands.sent(errand, errands.next_number(), "i2", 2.0)
    errands.held([old], 3.0)
    assert errands.refused(old, 3.0) is None
    assert errands.take(old) is None
    assert (errand.state, errand.invoker, errands.waiting) == (State.SENT, "i2", 0)


def test_who_waits_is_served_in_the_order_in_which_it_came() -> None:
    errands = Errands()
    first, second = Errand(message(), 0.0), Errand(message(), 0.0)
    errands.wait(first, 0.0)
    errands.wait(second, 0.0)
    assert errands.first_waiting() is first
    errands.end(first)
    assert errands.first_waiting() is second
    assert errands.find_waiting("acme", second.message.activation_id) is second
    assert errands.find_waiting("stranger", second.message.activation_id) is None


def test_what_is_in_no_journal_does_not_wait_for_ever() -> None:
    errands = Errands()
    part, journaled = Errand(message(cause="0" * 32), 0.0), Errand(message(is_journaled=True), 0.0)
    for errand in (part, journaled):
        assert errand.is_promised
        errands.wait(errand, 0.0)
    assert errands.hopeless(WAIT_S - 1) == []
    assert errands.hopeless(WAIT_S) == [part]


def test_what_comes_back_time_and_again_is_hopeless() -> None:
    errands = Errands()
    errand = Errand(message(), 0.0)
    assert not errand.is_promised
    for _ in range(MOST_SENDINGS):
        assert errands.hopeless(0.0) == []
        errands.sent(errand, errands.next_number(), "i1", 0.0)
        errands.refused(errand.number, 0.0)
    assert errands.hopeless(0.0) == [errand]
