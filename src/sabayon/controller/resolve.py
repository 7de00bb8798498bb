"""From a name to what it stands for: package → binding → action, parameters merged on the way."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sabayon import messages
from sabayon.entity.action import Action
from sabayon.entity.names import EntityName, package_name
from sabayon.entity.package import Package
from sabayon.entity.parameters import Parameters, merge
from sabayon.errors import Rejection
from sabayon.store.base import Artifacts


class Resolved(NamedTuple):
    """An action ready to run.

    action: its parameters are package ⊕ binding ⊕ action, its namespace is the provider's.
    revision: of the action's document. binding: the package name in the call, when that is a binding.
    """

    action: Action
    revision: int
    binding: EntityName | None


class ResolvedPackage(NamedTuple):
    """A package, or a binding and what it stands for.

    provider: the owner of the entities, its parameters overlaid by the binding's. binding: None for a plain package.
    """

    provider: Package
    binding: Package | None


async def resolve_action(artifacts: Artifacts, name: EntityName) -> Resolved:
    """The action behind `name`. Raises Rejection: 404 when any part is missing, 409 when one is of another kind."""
    if name.package is None:
        action, revision = await _read_action(artifacts, name)
        return Resolved(action, revision, None)
    addressed = package_name(name.namespace, name.package)
    provider, binding = await resolve_package(artifacts, addressed)
    action, revision = await _read_action(artifacts, EntityName(name.name, provider.entity_name.id))
    return Resolved(_with_defaults(action, provider.parameters), revision, addressed if binding else None)


async def resolve_package(artifacts: Artifacts, name: EntityName) -> ResolvedPackage:
    """The package behind `name`. Raises Rejection 404, 409, or 422 for a binding of itself.

    One binding is followed, not two: the right to use a binding is checked against the package it names. If that
    has become a binding itself since, what it stands for is out of reach, and in itself it is empty.
    """
    package = await _read_package(artifacts, name)
    if package.binding is None:
        return ResolvedPackage(package, None)
    target = package.binding.target
    if target == name:
        raise Rejection(422, messages.circular_binding(name.id))
    provider = await _read_package(artifacts, target)
    parameters = merge(provider.parameters, package.parameters)
    return ResolvedPackage(msgspec.structs.replace(provider, parameters=parameters), package)


async def _read_action(artifacts: Artifacts, name: EntityName) -> tuple[Action, int]:
    document = await artifacts.read(name.id)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    if not isinstance(document.entity, Action):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document.entity, document.revision


async def _read_package(artifacts: Artifacts, name: EntityName) -> Package:
    document = await artifacts.read(name.id)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    if not isinstance(document.entity, Package):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document.entity


def _with_defaults(action: Action, defaults: Parameters) -> Action:
    if not defaults:
        return action
    return msgspec.structs.replace(action, parameters=merge(defaults, action.parameters))
