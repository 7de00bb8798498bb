"""Who may do what to which resource.

A key owns its namespace. What belongs to another one may at most be read and run, when it
is in a published package; whether anything else exists there is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sabayon import messages
from sabayon.entity.identity import Identity
from sabayon.entity.names import EntityName, package_name
from sabayon.entity.package import Package
from sabayon.errors import Corrupt, Rejection
from sabayon.store.base import Artifacts, Entity


class Right(Enum):
    """What is wanted of a resource."""

    READ = "GET"
    PUT = "PUT"
    DELETE = "DELETE"
    ACTIVATE = "POST"


class Refused(Rejection):
    """403 for one resource, which several refusals can be joined by."""

    def __init__(self, resource: str) -> None:
        super().__init__(403, messages.not_authorized([resource]))
        self.resource = resource


class Entitlement:
    """Checks against the stored packages."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def check_collection(self, identity: Identity, namespace: str) -> None:
        """Raises Rejection 403 unless `identity` owns `namespace`."""
        if namespace != identity.namespace:
            raise Refused(namespace)

    async def check_entity(self, identity: Identity, right: Right, collection: str, name: EntityName) -> None:
        """Raises Rejection: 403, or what §1.4 of the contract answers for packages: 404, 409, 422."""
        is_read = right in (Right.READ, Right.ACTIVATE)
        if collection == "actions" and name.package is not None and is_read:
            await self._check_package(identity, package_name(name.namespace, name.package), messages.NOT_FOUND)
        elif collection == "packages" and right is Right.READ:
            await self._check_package(identity, name, messages.named_not_found(name.id))
        elif name.namespace != identity.namespace:
            raise Refused(name.id)

    async def check_references(
        self, identity: Identity, right: Right, references: Sequence[tuple[str, EntityName]]
    ) -> None:
        """All of them at once: one 403 names all that are refused; else the first 404, 409 or 422 is raised."""
        refused: set[str] = set()
        others: list[Rejection] = []
        for collection, name in references:
            try:
                await self._check_reference(identity, right, collection, name)
            except Refused as refusal:
                refused.add(refusal.resource)
            except Rejection as rejection:
                others.append(rejection)
        if refused:
            raise Rejection(403, messages.not_authorized(refused))
        if others:
            raise others[0]

    async def _check_reference(self, identity: Identity, right: Right, collection: str, name: EntityName) -> None:
        if collection == "packages":
            await self._check_package(identity, name, messages.NOT_FOUND)
        else:
            await self.check_entity(identity, right, collection, name)

    async def _check_package(self, identity: Identity, name: EntityName, not_found: str) -> None:
        """Whether `identity` may read the package `name`. Raises Rejection."""
        if name.namespace != identity.namespace:
            if not _is_shared(await self._read_or_none(name)):
                raise Refused(name.id)
            return
        document = await self._artifacts.read(name.id)
        if document is None:
            raise Rejection(404, not_found)
        if not isinstance(document.entity, Package):
            raise Rejection(409, messages.WRONG_COLLECTION)
        if document.entity.binding is not None:
            await self._check_provider(identity, name, document.entity.binding.target, not_found)

    async def _check_provider(
        self, identity: Identity, binding: EntityName, provider: EntityName, not_found: str
    ) -> None:
        """An own binding is as readable as what it stands for."""
        if provider == binding:
            raise Rejection(422, messages.circular_binding(binding.id))
        if provider.namespace != identity.namespace:
            if not _is_shared(await self._read_or_none(provider)):
                raise Refused(binding.id)
        elif await self._artifacts.read(provider.id) is None:
            raise Rejection(404, not_found)

    async def _read_or_none(self, name: EntityName) -> Entity | None:
        """A foreign document; what cannot be read counts as absent, so that nothing is told about it."""
        try:
            document = await self._artifacts.read(name.id)
        except Corrupt:
            return None
        return document.entity if document else None


def _is_shared(entity: Entity | None) -> bool:
    return isinstance(entity, Package) and entity.publish and entity.binding is None
