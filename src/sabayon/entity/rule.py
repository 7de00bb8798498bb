"""Rules: links from a trigger to an action."""

from __future__ import annotations

import msgspec

from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameters
from sabayon.entity.trigger import Status


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as stored and as listed: without its status, which its trigger holds."""

    action: EntityName
    annotations: Parameters = ()
    name: str
    namespace: str
    publish: bool = False
    trigger: EntityName
    updated: int
    version: str

    @property
    def entity_name(self) -> EntityName:
        return EntityName(self.name, self.namespace)


class RuleView(msgspec.Struct, frozen=True):
    """A rule in the answer to GET, PUT and DELETE."""

    action: EntityName
    annotations: Parameters
    name: str
    namespace: str
    publish: bool
    status: Status
    trigger: EntityName
    updated: int
    version: str


def rule_view(rule: Rule, status: Status) -> RuleView:
    """`rule` with its status."""
    return RuleView(
        rule.action,
        rule.annotations,
        rule.name,
        rule.namespace,
        rule.publish,
        status,
        rule.trigger,
        rule.updated,
        rule.version,
    )
