"""Health: which invokers may be given jobs. Pure: heartbeats, ends of activations, tests and time in; changes out.

A new invoker, and one that was started again, is tested before it gets jobs. One that is silent for a moment gets none
until it is heard again; one that is silent for longer is down, and what it had is lost. One on which too many
activations end with a platform fault is unhealthy if they are of several namespaces. If they are of one, a test
decides, and meanwhile it goes on: else whoever finds an action that trips invokers over could take all of them away
from the others. Who is unhealthy gets jobs again after a few good tests, later each time if it falls ill again soon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sabayon.balancer.faults import Faults
from sabayon.balancer.instructions import Changed, SendTest, State
from sabayon.balancer.trial import FIRST_DELAY_S, LONGEST_DELAY_S, Trial
from sabayon.bus.heartbeat import Heartbeat, Phase

UNRESPONSIVE_AFTER_S: Final = 2.5
DOWN_AFTER_S: Final = 4.0
"""Silence, with a heartbeat each second: two are missed before no more jobs are sent, and a lost invoker is known to be
so in less than five seconds."""

TICK_S: Final = 0.5
"""How often `tick` is to be called. If it comes far later, this controller was held up, and nobody else was silent."""

TESTS_OF_A_NEW_ONE: Final = 1
TESTS_OF_A_SICK_ONE: Final = 3
WELL_AFTER_S: Final = 60.0
"""How long an invoker has to be up until its illness is past."""

FORGOTTEN_AFTER_S: Final = 600.0
"""How long one that is down is still told of."""

News = Changed | SendTest


@dataclass(eq=False)
class _Patient:
    """One invoker. heard_at: its last sign of life. since: when it came into its state. trial: while tests decide."""

    id: str
    started_ms: int
    state: State
    heard_at: float
    since: float
    trial: Trial | None = None
    delay_s: float = FIRST_DELAY_S
    faults: Faults = field(default_factory=Faults)


class Health:
    """The state of each invoker, as one controller sees it."""

    def __init__(self) -> None:
        self._patients: dict[str, _Patient] = {}
        self._tests = 0
        self._ticked_at: float | None = None

    def states(self) -> dict[str, State]:
        """Of all that have been heard of lately."""
        return {patient.id: patient.state for patient in self._patients.values()}

    def is_down(self, invoker: str) -> bool:
        """Whether it is, or was never heard."""
        patient = self._patients.get(invoker)
        return patient is None or patient.state is State.DOWN

    def is_stale(self, heartbeat: Heartbeat) -> bool:
        """Whether a later start of the same invoker has been heard, or this one has left: it says nothing any more."""
        patient = self._patients.get(heartbeat.invoker)
        if patient is None:
            return heartbeat.phase is Phase.LEFT
        has_left = patient.state is State.DOWN and heartbeat.phase is Phase.LEFT
        return has_left or heartbeat.started_ms < patient.started_ms

    def heard(self, heartbeat: Heartbeat, now: float) -> list[News]:
        """An invoker has given a sign of life that is not stale."""
        patient = self._patients.get(heartbeat.invoker)
        news: list[News] = []
        if patient and patient.state is not State.DOWN and patient.started_ms != heartbeat.started_ms:
            news.append(self._change(patient, State.DOWN, "was started again", now))
        if patient is None or patient.state is State.DOWN:
            patient = _Patient(heartbeat.invoker, heartbeat.started_ms, State.DOWN, now, now)
            self._patients[patient.id] = patient
        patient.heard_at = now
        return news + self._follow(patient, heartbeat.phase, now)

    def reported(self, invoker: str, namespace: str, now: float, *, is_fault: bool) -> list[News]:
        """An activation of `namespace` has ended on `invoker`. is_fault: of the platform's, or there was no answer."""
        patient = self._patients.get(invoker)
        if patient is None or patient.state is State.DOWN:
            return []
        patient.faults.add(namespace, is_fault, now)
        if not is_fault or patient.state is not State.UP:
            return []
        namespaces = patient.faults.namespaces(now)
        if len(namespaces) > 1:
            return [self._fall_ill(patient, "platform faults", now)]
        if namespaces and patient.trial is None:
            patient.trial = Trial(TESTS_OF_A_NEW_ONE, now)
            return [self._test(patient, patient.trial, now)]
        return []

    def tested(self, invoker: str, number: int, now: float, *, is_good: bool) -> list[News]:
        """A test has ended. An answer that comes too late does nothing."""
        patient = self._patients.get(invoker)
        trial = patient.trial if patient else None
        if patient is None or trial is None or not trial.is_running(number):
            return []
        return self._answer(patient, trial, now, is_good=is_good)

    def tick(self, now: float) -> list[News]:
        """Time has passed."""
        late = now - self._ticked_at - TICK_S if self._ticked_at is not None else 0.0
        self._ticked_at = now
        if late > TICK_S:
            self.was_deaf(late, now)
        news: list[News] = []
        for patient in list(self._patients.values()):
            news += self._look_at(patient, now)
        return news

    def was_deaf(self, seconds: float, now: float) -> None:
        """This controller could hear nobody for so long, its connection was lost for instance: nobody was silent."""
        for patient in self._patients.values():
            patient.heard_at = min(now, patient.heard_at + seconds)

    def _follow(self, patient: _Patient, phase: Phase, now: float) -> list[News]:
        """What `phase` says is so."""
        if phase is Phase.LEFT:
            return [self._change(patient, State.DOWN, "has left", now)]
        if phase is Phase.DRAINING:
            return [] if patient.state is State.DRAINING else [self._change(patient, State.DRAINING, "drains", now)]
        if patient.state is State.UNRESPONSIVE:
            return [self._change(patient, State.UP, "is heard again", now)]
        if patient.state in (State.DOWN, State.DRAINING):
            news = self._change(patient, State.UNHEALTHY, "is new, and will be tested", now)
            patient.trial = Trial(TESTS_OF_A_NEW_ONE, now)
            return [news, self._test(patient, patient.trial, now)]
        return []

    def _look_at(self, patient: _Patient, now: float) -> Iterable[News]:
        """What time alone makes of it."""
        if patient.state is State.DOWN:
            if now - patient.since >= FORGOTTEN_AFTER_S:
                del self._patients[patient.id]
            return
        silence_s = now - patient.heard_at
        if silence_s >= DOWN_AFTER_S:
            yield self._change(patient, State.DOWN, f"was not heard for {silence_s:.1f} s", now)
            return
        if patient.state is State.UP and silence_s >= UNRESPONSIVE_AFTER_S:
            yield self._change(patient, State.UNRESPONSIVE, f"was not heard for {silence_s:.1f} s", now)
            return
        trial = patient.trial
        if trial and trial.has_no_answer(now):
            yield from self._answer(patient, trial, now, is_good=False)
        trial = patient.trial
        if trial and trial.is_due(now) and silence_s < UNRESPONSIVE_AFTER_S:
            yield self._test(patient, trial, now)

    def _answer(self, patient: _Patient, trial: Trial, now: float, *, is_good: bool) -> list[News]:
        trial.ended(now, is_good=is_good)
        if trial.is_passed:
            patient.trial = None
            patient.faults.clear()
            return [self._change(patient, State.UP, "works", now)] if patient.state is State.UNHEALTHY else []
        if not is_good and patient.state in (State.UP, State.UNRESPONSIVE):
            return [self._fall_ill(patient, "platform faults, and in a test", now)]
        return [self._test(patient, trial, now)] if trial.is_due(now) else []

    def _fall_ill(self, patient: _Patient, why: str, now: float) -> Changed:
        is_relapse = now - patient.since < WELL_AFTER_S
        patient.delay_s = min(2 * patient.delay_s, LONGEST_DELAY_S) if is_relapse else FIRST_DELAY_S
        changed = self._change(patient, State.UNHEALTHY, why, now)
        patient.trial = Trial(TESTS_OF_A_SICK_ONE, now, patient.delay_s)
        patient.faults.clear()
        return changed

    def _test(self, patient: _Patient, trial: Trial, now: float) -> SendTest:
        self._tests += 1
        trial.start(self._tests, now)
        return SendTest(patient.id, self._tests)

    def _change(self, patient: _Patient, state: State, why: str, now: float) -> Changed:
        patient.state, patient.since = state, now
        if state in (State.DOWN, State.DRAINING):
            patient.trial = None
        return Changed(patient.id, state, why)
