"""Packages and bindings."""

from __future__ import annotations

from typing import Any

import msgspec

from sabayon import messages
from sabayon.controller.bodies import PutBody, decode_value, read_put_body
from sabayon.controller.call import Call
from sabayon.controller.entitlement import Right
from sabayon.controller.execute_only import check_package_shown
from sabayon.controller.http import Response, json_response, malformed
from sabayon.controller.query import boolean, paging
from sabayon.controller.resolve import resolve_package
from sabayon.entity.action import Action
from sabayon.entity.names import DEFAULT_NAMESPACE, EntityName, is_segment
from sabayon.entity.package import (
    Binding,
    NoBinding,
    Package,
    PackageContents,
    PackagedAction,
    package_summary,
    package_view,
)
from sabayon.entity.parameters import Parameters, has, parameter, without
from sabayon.errors import Rejection
from sabayon.store.base import Delete, Document, Put

RESERVED = "default"


async def list_packages(call: Call) -> Response:
    """`GET packages`: all of the own namespace, the shared ones of another."""
    limit, skip = paging(call.request.query, "packages", call.services.limits)
    is_shared_only = call.namespace != call.identity.namespace
    artifacts = call.services.artifacts
    if boolean(call.request.query, "count", False):
        total = await artifacts.count(Package, call.namespace, is_shared_only=is_shared_only)
        return json_response({"packages": max(0, total - skip)})
    found = await artifacts.list(Package, call.namespace, is_shared_only=is_shared_only, skip=skip, limit=limit)
    return json_response([package_summary(package) for package in found if isinstance(package, Package)])


async def read_package(call: Call) -> Response:
    """`GET packages/{p}`: with its actions and feeds; a binding shows its provider's, and both parameters merged."""
    artifacts = call.services.artifacts
    provider, binding = await resolve_package(artifacts, _name(call))
    shown = binding or provider
    check_package_shown(call, shown)
    actions = await artifacts.list(Action, provider.namespace, package=provider.name)
    packaged = [PackagedAction(a.annotations, a.name, a.version) for a in actions if isinstance(a, Action)]
    return json_response(
        PackageContents(
            tuple(action for action in packaged if not has(action.annotations, "feed")),
            shown.annotations,
            shown.binding or NoBinding(),
            tuple(action for action in packaged if has(action.annotations, "feed")),
            shown.name,
            shown.namespace,
            provider.parameters,
            shown.publish,
            shown.updated,
            shown.version,
        )
    )


async def put_package(call: Call) -> Response:
    """`PUT packages/{p}`: create or update a package or a binding."""
    name = _name(call)
    body = read_put_body(call, reserved=RESERVED)
    binding = _binding(body, call.namespace)
    if binding is not None:
        await _check_target(call, name, binding)
    existing = await _existing(call, name)
    if existing is not None and not body.overwrite:
        raise Rejection(409, messages.ALREADY_EXISTS)
    old = existing.entity if existing is not None and isinstance(existing.entity, Package) else None
    package = _merged(name, body, binding, old, call.services.now_ms())
    await call.services.artifacts.write([Put(package, existing.revision if existing else None)])
    return json_response(package_view(package))


async def delete_package(call: Call) -> Response:
    """`DELETE packages/{p}`: an empty one or a binding; with `force` also what it contains."""
    artifacts = call.services.artifacts
    is_forced = boolean(call.request.query, "force", False)
    document = await _existing(call, _name(call))
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    package = document.entity
    assert isinstance(package, Package)
    contained = [] if package.binding else await artifacts.list(Action, package.namespace, package=package.name)
    if contained and not is_forced:
        raise Rejection(409, messages.package_not_empty(len(contained)))
    actions = [await artifacts.read(action.entity_name.id) for action in contained]
    removed = [Delete(a.entity.entity_name.id, a.revision) for a in actions if a is not None]
    await artifacts.write([*removed, Delete(package.entity_name.id, document.revision)])
    return json_response(package_view(package))


def _name(call: Call) -> EntityName:
    return EntityName(call.parts[0], call.namespace)


async def _existing(call: Call, name: EntityName) -> Document | None:
    """The stored package. Raises Rejection 409 when the name is another kind's."""
    document = await call.services.artifacts.read(name.id)
    if document is not None and not isinstance(document.entity, Package):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document


def _binding(body: PutBody, namespace: str) -> Binding | None:
    """The binding of a body, `_` resolved; None when absent or `{}`. Raises FrameworkRejection 400."""
    if "binding" in body.null_fields:
        raise malformed("Object expected in field 'namespace'")
    if "binding" not in body.fields:
        return None
    value = decode_value(body.fields["binding"])
    if value == {}:
        return None
    target = Binding(_member(value, "name"), _member(value, "namespace")) if _is_complete(value) else _incomplete(value)
    return msgspec.structs.replace(target, namespace=namespace) if target.namespace == DEFAULT_NAMESPACE else target


def _is_complete(value: Any) -> bool:
    return isinstance(value, dict) and "namespace" in value and "name" in value


def _incomplete(value: Any) -> Binding:
    if not isinstance(value, dict):
        raise malformed("Object expected in field 'namespace'")
    missing = "namespace" if "namespace" not in value else "name"
    raise malformed(f"Object is missing required member '{missing}'")


def _member(value: dict[str, Any], field: str) -> str:
    text = value[field]
    if not isinstance(text, str) or not is_segment(text):
        raise malformed(messages.SEGMENT_MALFORMED)
    return text


async def _check_target(call: Call, name: EntityName, binding: Binding) -> None:
    """Raises Rejection unless the caller may bind to `binding`."""
    target = binding.target
    if target.namespace != call.identity.namespace:
        await call.entitlement.check_references(call.identity, Right.READ, [("packages", target)])
    document = await call.services.artifacts.read(target.id)
    if document is None:
        raise Rejection(400, messages.BINDING_TARGET_MISSING)
    if not isinstance(document.entity, Package):
        raise Rejection(409, messages.BINDING_TARGET_NOT_PACKAGE)
    if document.entity.binding is not None or target == name:
        raise Rejection(400, messages.BINDING_TARGET_IS_BINDING)


def _merged(name: EntityName, body: PutBody, binding: Binding | None, old: Package | None, now_ms: int) -> Package:
    """The package after a PUT. Raises Rejection 409 when a plain package would become a binding."""
    if old is not None and old.binding is None and binding is not None:
        raise Rejection(409, messages.PACKAGE_NOT_CONVERTIBLE)
    kept = old or Package(name=name.name, namespace=name.namespace, updated=0, version="")
    bound = binding or kept.binding
    return Package(
        annotations=_annotations(kept.annotations if body.annotations is None else body.annotations, bound),
        binding=bound,
        name=name.name,
        namespace=name.namespace,
        parameters=kept.parameters if body.parameters is None else body.parameters,
        publish=kept.publish if body.publish is None else body.publish,
        updated=now_ms,
        version=body.next_version(old.version if old else None),
    )


def _annotations(given: Parameters, binding: Binding | None) -> Parameters:
    """The annotation `binding` is the server's: there if, and only if, it is one."""
    own = without(given, ("binding",))
    return own if binding is None else (*own, parameter("binding", binding))
