"""What sequences and compositions have in common: their account while they run, and their record.

A *composite* is one of both: an activation made of other activations, run by the controller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from sabayon.controller.payload import Payload
from sabayon.controller.resolve import Resolved
from sabayon.entity.activation import Activation, Outcome, Response, error_response
from sabayon.entity.limits import ActionLimits
from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameter, is_object, parameter

MAX_DEPTH: Final = 50
"""Composites within composites. Only what was changed into a circle behind the back of the checks gets there."""


@dataclass(slots=True)
class Budget:
    """What nested composites use up together.

    atomic: actions of a tree of sequences. components, conductors: runs of a tree of compositions.
    """

    atomic: int = 0
    components: int = 0
    conductors: int = 0


@dataclass(slots=True)
class Trail:
    """What one composite has run: ids in order, the sum of their durations, the largest memory limit among them."""

    activation_ids: list[str] = field(default_factory=list)
    duration_ms: int = 0
    memory_mb: int = 0

    def add(self, finished: Finished) -> None:
        self.activation_ids.append(finished.activation.activation_id)
        self.duration_ms += finished.activation.duration or 0
        self.memory_mb = max(self.memory_mb, finished.memory_mb)


@dataclass(slots=True)
class Course:
    """What can be stopped of one composite while it runs. component: the id of what it runs now."""

    component: str | None = None
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One composite while it runs.

    depth: 1, or more within other composites. length: how many actions it may have.
    start_ms: when its first action was due.
    """

    activation_id: str
    resolved: Resolved
    cause: str | None
    depth: int
    accepted_ms: int
    start_ms: int
    length: int
    budget: Budget
    trail: Trail = field(default_factory=Trail)
    course: Course = field(default_factory=Course)

    def begin(self, component: str) -> None:
        """The activation `component` is about to be started. Raises Cancelled: it must not."""
        if self.course.is_cancelled:
            raise Cancelled
        self.course.component = component


class Finished(NamedTuple):
    """A run that is over. memory_mb: the memory limit it ran with; the largest one in a composite."""

    activation: Activation
    memory_mb: int


class Cancelled(Exception):
    """Somebody has stopped the composite: no further component may start."""


class ComponentTimeout(Exception):
    """A component has not answered although its time limit is long past."""

    def __init__(self, activation_id: str) -> None:
        super().__init__(activation_id)
        self.activation_id = activation_id


class ComponentRefused(Exception):
    """The caller has no right to run a component."""


class Executor(Protocol):
    """Runs actions on behalf of the one who invoked the composite."""

    @property
    def namespace(self) -> str:
        """The caller's namespace."""
        ...

    async def find(self, name: EntityName) -> Resolved:
        """The action behind `name`. Raises ComponentRefused, or Rejection when it cannot be found."""
        ...

    async def resolve(self, name: EntityName) -> Resolved:
        """The same for a caller whose rights are known. Raises Rejection."""
        ...

    async def run(self, resolved: Resolved, payload: Payload, parent: Frame) -> Finished:
        """Run an action of any kind to its end. Raises ComponentTimeout, Cancelled, SabayonError."""
        ...

    async def run_code(self, resolved: Resolved, payload: Payload, parent: Frame) -> Finished:
        """Run the code of an action, also that of a conductor. Raises ComponentTimeout, Cancelled, SabayonError."""
        ...


def application_error(text: str) -> Response:
    """A composite that ends because of what its author or caller did."""
    return error_response(Outcome.APPLICATION_ERROR, text)


def whisk_error(text: str) -> Response:
    """A composite that ends because of the platform."""
    return error_response(Outcome.WHISK_ERROR, text)


def composite_record(frame: Frame, response: Response, *, namespace: str, subject: str, end_ms: int) -> Activation:
    """The record of the composite `frame`, run for `subject` in `namespace`. Its logs are the ids of what it ran."""
    action = frame.resolved.action
    return Activation(
        activation_id=frame.activation_id,
        annotations=tuple(_annotations(frame)),
        cause=frame.cause,
        duration=frame.trail.duration_ms,
        end=end_ms,
        logs=tuple(frame.trail.activation_ids),
        name=action.name,
        namespace=namespace,
        response=response,
        start=frame.start_ms,
        subject=subject,
        version=action.version,
    )


def _annotations(frame: Frame) -> list[Parameter]:
    action = frame.resolved.action
    found = [
        parameter("topmost", frame.cause is None),
        parameter("path", action.entity_name.id),
        parameter("kind", "sequence"),
    ]
    if action.is_conductor:
        found.append(parameter("conductor", True))
    if frame.cause is not None:
        found.append(parameter("causedBy", "sequence"))
    found.append(parameter("waitTime", max(0, frame.start_ms - frame.accepted_ms)))
    if frame.resolved.binding is not None:
        found.append(parameter("binding", frame.resolved.binding.id))
    if frame.trail.memory_mb:
        found.append(parameter("limits", _limits(action.limits, frame.trail.memory_mb)))
    return found


def _limits(own: ActionLimits, memory_mb: int) -> ActionLimits:
    return ActionLimits(logs=own.logs, memory=memory_mb, timeout=own.timeout)


class _ErrorKey(msgspec.Struct):
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_error_key = msgspec.json.Decoder(_ErrorKey)


def has_error(response: Response) -> bool:
    """Whether the result is an object with the key `error`, whatever its value."""
    if response.outcome is not Outcome.SUCCESS:
        return True
    return is_object(response.result) and _error_key.decode(response.result).error is not msgspec.UNSET
