"""Triggers: named event channels, and the rules attached to them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameters

Status = Literal["active", "inactive"]


class TriggerLimits(msgspec.Struct, frozen=True):
    """`{}`: triggers have no limits, but the field exists."""


class AttachedRule(msgspec.Struct, frozen=True):
    """A rule as its trigger knows it. The status lives here and nowhere else."""

    action: EntityName
    status: Status


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger in the shape of the wire. `rules` (`ns/rule` → rule) is unset until the first one is attached."""

    annotations: Parameters = ()
    limits: TriggerLimits = TriggerLimits()
    name: str
    namespace: str
    parameters: Parameters = ()
    publish: bool = False
    rules: dict[str, AttachedRule] | UnsetType = UNSET
    updated: int
    version: str

    @property
    def entity_name(self) -> EntityName:
        return EntityName(self.name, self.namespace)

    def attached(self) -> dict[str, AttachedRule]:
        """The attached rules; empty when there never was one."""
        return {} if self.rules is UNSET else self.rules

    def attach(self, rule: str, attached: AttachedRule) -> Trigger:
        """With `rule` (`ns/rule`) attached or replaced; version and update time stay."""
        return msgspec.structs.replace(self, rules={**self.attached(), rule: attached})

    def detach(self, rule: str) -> Trigger:
        """Without `rule`; `rules` stays, as `{}`, after the last one."""
        return msgspec.structs.replace(self, rules={k: v for k, v in self.attached().items() if k != rule})


class TriggerSummary(msgspec.Struct, frozen=True):
    """A trigger in a list."""

    annotations: Parameters
    name: str
    namespace: str
    publish: bool
    updated: int
    version: str


def trigger_summary(trigger: Trigger) -> TriggerSummary:
    """What a list shows."""
    return TriggerSummary(
        trigger.annotations, trigger.name, trigger.namespace, trigger.publish, trigger.updated, trigger.version
    )
