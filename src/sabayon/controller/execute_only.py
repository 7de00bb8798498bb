"""Execute-only mode: what other namespaces share can be invoked, bound and referred to, but not read.

Checked after the entitlement, by the handlers that show an entity.
"""

from __future__ import annotations

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.entity.names import EntityName, package_name
from sabayon.entity.package import Package
from sabayon.errors import Rejection


async def check_action_shown(call: Call, name: EntityName) -> None:
    """Raises Rejection 403 for an action of somebody else, also behind a binding of the caller's own."""
    if not call.services.is_execute_only or name.package is None:
        return
    addressed = package_name(name.namespace, name.package)
    if name.namespace != call.identity.namespace:
        raise Rejection(403, messages.get_foreign_action(addressed.id))
    document = await call.services.artifacts.read(addressed.id)
    if document is not None and isinstance(document.entity, Package) and _is_of_another(document.entity):
        raise Rejection(403, messages.get_bound_action(name.id))


def check_package_shown(call: Call, package: Package) -> None:
    """Raises Rejection 403 for a package of somebody else, or a binding of one. package: as it was addressed."""
    if not call.services.is_execute_only:
        return
    if package.namespace != call.identity.namespace:
        raise Rejection(403, messages.get_foreign_package(package.entity_name.id))
    if _is_of_another(package):
        raise Rejection(403, messages.get_foreign_binding(package.name))


def _is_of_another(package: Package) -> bool:
    return package.binding is not None and package.binding.namespace != package.namespace
