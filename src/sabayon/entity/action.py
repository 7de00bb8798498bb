"""Actions: code with parameters, annotations and limits."""

from __future__ import annotations

from functools import cached_property

import msgspec

from sabayon.entity.delivery import MalformedPolicy, Policy, parse_policy
from sabayon.entity.exec import Exec
from sabayon.entity.limits import ActionLimits
from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameters, find, has, is_truthy


class Action(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An action or a sequence, in the shape of the wire. `namespace` is `ns` or `ns/pkg`, `updated` epoch ms.

    What every invocation asks of it is worked out once: the store hands out the same object until it changes.
    """

    annotations: Parameters = ()
    exec: Exec
    limits: ActionLimits = ActionLimits()
    name: str
    namespace: str
    parameters: Parameters = ()
    publish: bool = False
    updated: int
    version: str

    @cached_property
    def entity_name(self) -> EntityName:
        return EntityName(self.name, self.namespace)

    @cached_property
    def is_conductor(self) -> bool:
        """Whether invoking it drives a composition."""
        return not self.exec.is_sequence and is_truthy(self.annotations, "conductor", absent=False)

    @cached_property
    def exposes_api_key(self) -> bool:
        """Whether its container is given the invoker's key; actions from before the annotation existed are."""
        return is_truthy(self.annotations, "provide-api-key", absent=True)

    @cached_property
    def egress(self) -> str | None:
        """What its container may reach at most, as its author says; None when that is left to the platform."""
        return str(find(self.annotations, "egress")) if has(self.annotations, "egress") else None

    @cached_property
    def is_composite(self) -> bool:
        """Whether it is made of other actions, which the controller runs."""
        return self.exec.is_sequence or self.is_conductor

    @cached_property
    def policy(self) -> Policy:
        """How its non-blocking activations are delivered; standard if its annotations say nothing sensible.

        They are checked when they are written, but those of actions from before that may be anything.
        """
        try:
            return parse_policy(self.annotations, is_composite=self.is_composite)
        except MalformedPolicy:
            return parse_policy((), is_composite=self.is_composite)

    @cached_property
    def dependencies(self) -> str:
        """The name of the dependency set that it is to find imported; empty for none.

        Only a text is one: what is not may be there for a tool of the author's.
        """
        value = find(self.annotations, "dependencies")
        return value if isinstance(value, str) else ""


class ExecSummary(msgspec.Struct, frozen=True):
    """All that a list shows of an action's code."""

    binary: bool


class ActionSummary(msgspec.Struct, frozen=True):
    """An action in a list."""

    annotations: Parameters
    exec: ExecSummary
    limits: ActionLimits
    name: str
    namespace: str
    publish: bool
    updated: int
    version: str


def action_summary(action: Action) -> ActionSummary:
    """What a list shows of `action`."""
    return ActionSummary(
        action.annotations,
        ExecSummary(action.exec.is_binary),
        action.limits,
        action.name,
        action.namespace,
        action.publish,
        action.updated,
        action.version,
    )
