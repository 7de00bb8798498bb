"""What follows on an attempt: decided from policy, ending and time alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sabayon.delivery.decision import (
    CANNOT_RUN,
    EXHAUSTED,
    FAULT_MOST_MS,
    INTERRUPTED,
    RETRY_MOST_MS,
    TOO_OLD,
    Ending,
    Retry,
    Settle,
    after,
    backoff_ms,
    before,
)
from sabayon.entity.activation import Outcome
from sabayon.entity.delivery import (
    FIRST,
    MOST_RETRIES,
    Delivery,
    History,
    MalformedPolicy,
    Policy,
    parse_policy,
)
from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameters, parameter

FUNCTION_FAILED = (Outcome.APPLICATION_ERROR, Outcome.DEVELOPER_ERROR)
TRIGGER = EntityName("t", "_")

chances = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    Policy,
    delivery=st.sampled_from(Delivery),
    retries=st.integers(0, MOST_RETRIES),
    max_age_ms=st.integers(1_000, 7 * 24 * 3_600_000),
    on_failure=st.sampled_from([None, TRIGGER]),
)
endings = st.builds(
    Ending, st.sampled_from(Outcome), has_begun=st.booleans(), is_hopeless=st.booleans(), is_final=st.just(False)
)


def ended(outcome: Outcome, policy: Policy, history: History = FIRST, **rest: Any) -> Settle | Retry:
    ending = Ending(outcome, rest.pop("has_begun", True), rest.pop("is_hopeless", False))
    return after(policy, ending, history, since_ms=0, now_ms=rest.pop("now_ms", 0), chance=0.5)


@given(policy=policies, attempt=st.integers(1, 100), now_ms=st.integers(0, 10**12), chance=chances)
def test_what_succeeds_ends_whatever_was_before(policy: Policy, attempt: int, now_ms: int, chance: float) -> None:
    ending = Ending(Outcome.SUCCESS, has_begun=True)
    assert after(policy, ending, History(attempt), since_ms=0, now_ms=now_ms, chance=chance) == Settle()


@given(policy=policies, ending=endings, chance=chances)
def test_what_was_cancelled_is_over_whatever_its_author_allowed(policy: Policy, ending: Ending, chance: float) -> None:
    final = ending._replace(is_final=True)
    assert after(policy, final, FIRST, since_ms=0, now_ms=0, chance=chance) == Settle()


@given(policy=policies, ending=endings, now_ms=st.integers(0, 10**10), chance=chances)
def test_nothing_is_tried_at_once_or_after_its_age(policy: Policy, ending: Ending, now_ms: int, chance: float) -> None:
    decision = after(policy, ending, FIRST, since_ms=0, now_ms=now_ms, chance=chance)
    if isinstance(decision, Retry):
        assert now_ms < decision.due_ms <= policy.max_age_ms
        assert decision.history.attempt == 2


@given(policy=policies, endings=st.lists(endings, max_size=40), chance=chances)
def test_a_function_fails_at_most_once_more_than_it_has_retries(
    policy: Policy, endings: list[Ending], chance: float
) -> None:
    history, now_ms, failed = FIRST, 0, 0
    for ending in endings:
        failed += ending.outcome in FUNCTION_FAILED
        decision = after(policy, ending, history, since_ms=0, now_ms=now_ms, chance=chance)
        if isinstance(decision, Settle):
            break
        assert decision.history.failures == failed
        assert decision.due_ms > now_ms
        history, now_ms = decision.history, decision.due_ms
    assert failed <= policy.retries + 1


@given(policy=policies, ending=endings, chance=chances)
def test_what_is_delivered_at_most_once_is_not_run_again_after_the_platform_failed_while_it_ran(
    policy: Policy, ending: Ending, chance: float
) -> None:
    decision = after(policy, ending, FIRST, since_ms=0, now_ms=0, chance=chance)
    if policy.delivery is Delivery.AT_MOST_ONCE and ending.outcome is Outcome.WHISK_ERROR and ending.has_begun:
        assert decision in (Settle(INTERRUPTED), Settle(CANNOT_RUN))


def test_a_function_without_retries_that_fails_is_an_ordinary_failed_activation() -> None:
    for outcome in FUNCTION_FAILED:
        assert ended(outcome, Policy()) == Settle()


def test_it_is_a_dead_letter_if_somebody_said_that_failures_matter() -> None:
    for policy in (Policy(on_failure=TRIGGER), Policy(retries=1)):
        assert ended(Outcome.APPLICATION_ERROR, policy, History(2, failures=1)) == Settle(EXHAUSTED)


def test_faults_of_the_platform_do_not_count_against_retries() -> None:
    history = FIRST
    for attempt in range(2, 30):
        decision = ended(Outcome.WHISK_ERROR, Policy(), history)
        assert isinstance(decision, Retry)
        assert decision.due_ms <= FAULT_MOST_MS
        history = decision.history
        assert (history.attempt, history.failures) == (attempt, 0)


def test_what_the_platform_cannot_run_at_all_is_not_tried_again() -> None:
    assert ended(Outcome.WHISK_ERROR, Policy(), has_begun=False, is_hopeless=True) == Settle(CANNOT_RUN)


def test_what_has_not_begun_is_tried_again_also_if_it_is_delivered_at_most_once() -> None:
    assert isinstance(ended(Outcome.WHISK_ERROR, Policy(Delivery.AT_MOST_ONCE), has_begun=False), Retry)


def test_no_retry_is_planned_for_a_time_when_it_would_be_too_old() -> None:
    policy = Policy(retries=5, max_age_ms=1_000)
    assert ended(Outcome.APPLICATION_ERROR, policy, now_ms=500) == Settle(TOO_OLD)


def test_what_waited_for_longer_than_its_age_is_not_begun() -> None:
    policy = Policy(max_age_ms=1_000)
    assert before(policy, lost=0, since_ms=5_000, now_ms=6_000) is None
    assert before(policy, lost=0, since_ms=5_000, now_ms=6_001) == Settle(TOO_OLD)


def test_after_a_kill_only_what_is_delivered_at_least_once_is_run_again() -> None:
    assert before(Policy(), lost=1, since_ms=0, now_ms=0) is None
    assert before(Policy(Delivery.AT_MOST_ONCE), lost=1, since_ms=0, now_ms=0) == Settle(INTERRUPTED)
    assert before(Policy(Delivery.AT_MOST_ONCE), lost=0, since_ms=0, now_ms=0) is None


@given(number=st.integers(1, 10**6), chance=chances)
def test_waiting_doubles_up_to_a_bound_and_half_of_it_is_certain(number: int, chance: float) -> None:
    full = min(1_000 * 2 ** min(number - 1, 40), RETRY_MOST_MS)
    assert full // 2 <= backoff_ms(number, 1_000, RETRY_MOST_MS, chance) <= full


# What annotations say


def policy_of(*, is_composite: bool = False, **values: Any) -> Policy:
    return parse_policy(annotations_of(values), is_composite=is_composite)


def annotations_of(values: dict[str, Any]) -> Parameters:
    return tuple(parameter(key.replace("_", "-"), value) for key, value in values.items())


def test_without_annotations_an_action_is_delivered_at_least_once_within_six_hours() -> None:
    assert policy_of(color="red") == Policy(Delivery.AT_LEAST_ONCE, 0, 6 * 3_600_000, None, None)


def test_a_composite_is_delivered_at_most_once_unless_it_is_told_otherwise() -> None:
    assert policy_of(is_composite=True).delivery is Delivery.AT_MOST_ONCE
    assert policy_of(is_composite=True, max_age=1).delivery is Delivery.AT_MOST_ONCE
    assert policy_of(is_composite=True, retries=1).delivery is Delivery.AT_LEAST_ONCE
    assert policy_of(is_composite=True, delivery="at-least-once").delivery is Delivery.AT_LEAST_ONCE


@pytest.mark.parametrize(
    ("text", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("15m", 900), ("6 h", 21_600), ("7d", 604_800)]
)
def test_an_age_is_seconds_or_has_a_unit(text: Any, seconds: int) -> None:
    assert policy_of(max_age=text).max_age_ms == seconds * 1000


@pytest.mark.parametrize(
    ("text", "name"),
    [("t", EntityName("t", "_")), ("/_/t", EntityName("t", "_")), ("/acme/t", EntityName("t", "acme"))],
)
def test_a_destination_is_a_trigger(text: str, name: EntityName) -> None:
    assert policy_of(on_success=text).on_success == name
    assert policy_of(on_failure=text).on_failure == name


@pytest.mark.parametrize(
    "values",
    [
        *({"delivery": value} for value in ("exactly-once", "", 1, True, ["at-most-once"])),
        *({"retries": value} for value in (-1, 11, 1.5, "3", True, [])),
        *({"max_age": value} for value in (0, -1, "0s", "8d", "6 hours", "h", "", 1.5, True, "١h", {})),
        *({"on_failure": value} for value in ("", "/", "a/b", "/ns/p/t", "//", 7, ["t"], "/ns/ t", "/t", "t\n")),
        {"delivery": "at-most-once", "retries": 1},
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicy):
        policy_of(**values)


def test_null_is_the_same_as_nothing() -> None:
    assert policy_of(delivery=None, retries=None, max_age=None, on_success=None, on_failure=None) == Policy()
