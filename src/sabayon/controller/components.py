"""What a sequence may be made of: existing actions, not too many, never itself."""

from __future__ import annotations

from sabayon import messages
from sabayon.controller.composite import MAX_DEPTH
from sabayon.controller.resolve import resolve_action, resolve_package
from sabayon.entity.exec import Exec
from sabayon.entity.names import EntityName, package_name
from sabayon.errors import Rejection
from sabayon.store.base import Artifacts


async def check_sequence(artifacts: Artifacts, name: EntityName, exec_: Exec, limit: int) -> None:
    """Raises Rejection 400. limit: on components, and on actions when nested sequences are counted by theirs."""
    components = exec_.component_names()
    if not components:
        raise Rejection(400, messages.SEQUENCE_EMPTY)
    if len(components) > limit:
        raise Rejection(400, messages.SEQUENCE_TOO_LONG)
    await _count(artifacts, name, components, limit, 1)


async def _count(artifacts: Artifacts, name: EntityName, components: list[EntityName], limit: int, depth: int) -> int:
    """How many actions `components` come to. Raises Rejection 400 beyond `limit`, or when one of them is `name`.

    depth: of the sequence that they are in, which may be within others.
    """
    if depth > MAX_DEPTH:
        raise Rejection(400, messages.SEQUENCE_TOO_LONG)
    count = 0
    for component in components:
        count += await _count_one(artifacts, name, component, limit - count, depth)
        if count > limit:
            raise Rejection(400, messages.SEQUENCE_TOO_LONG)
    return count


async def _count_one(artifacts: Artifacts, name: EntityName, component: EntityName, limit: int, depth: int) -> int:
    """The component's existence is checked after whether it is `name`, which is about to be made."""
    try:
        if await _provider_of(artifacts, component) == name:
            raise Rejection(400, messages.SEQUENCE_CYCLIC)
        action = (await resolve_action(artifacts, component)).action
    except Rejection as rejection:
        if rejection.status == 400:
            raise
        raise Rejection(400, messages.SEQUENCE_COMPONENT_MISSING) from rejection
    if not action.exec.is_sequence:
        return 1
    return await _count(artifacts, name, action.exec.component_names(), limit, depth + 1)


async def _provider_of(artifacts: Artifacts, component: EntityName) -> EntityName:
    """The name of what `component` stands for, bindings resolved. Raises Rejection 404, 409, 422."""
    if component.package is None:
        return component
    provider, _ = await resolve_package(artifacts, package_name(component.namespace, component.package))
    return EntityName(component.name, provider.entity_name.id)
