"""Actions and sequences: lists, entities, and what a PUT makes of what was there."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from sabayon import messages
from sabayon.controller.bodies import PutBody, decode_value, read_put_body
from sabayon.controller.call import Call
from sabayon.controller.components import check_sequence
from sabayon.controller.entitlement import Right
from sabayon.controller.execute_only import check_action_shown
from sabayon.controller.http import Response, json_response, malformed
from sabayon.controller.policies import check_policy
from sabayon.controller.query import boolean, paging
from sabayon.controller.resolve import resolve_action, resolve_package
from sabayon.entity.action import Action, action_summary
from sabayon.entity.exec import Exec, resolve_components
from sabayon.entity.limits import ActionLimits, LimitsPatch, MalformedLimits, check_limits, parse_limits
from sabayon.entity.names import EntityName, package_name
from sabayon.entity.package import Package
from sabayon.entity.parameters import Parameters, has, merge, parameter, without
from sabayon.errors import Rejection
from sabayon.store.base import Delete, Document, Put


class _ActionMeta(msgspec.Struct, frozen=True):
    """An action read without its code; `binding` when it was addressed through one."""

    annotations: Parameters
    binding: str | UnsetType
    exec: Exec
    limits: ActionLimits
    name: str
    namespace: str
    parameters: Parameters
    publish: bool
    updated: int
    version: str


async def list_actions(call: Call) -> Response:
    """`GET actions`: all of the namespace, packaged ones included."""
    return await _list(call, call.namespace, None)


async def list_package_actions(call: Call) -> Response:
    """`GET actions/{pkg}/`: those of one package; of its provider's when it is a binding."""
    provider, _ = await resolve_package(call.services.artifacts, package_name(call.namespace, call.parts[0]))
    return await _list(call, provider.namespace, provider.name)


async def _list(call: Call, namespace: str, package: str | None) -> Response:
    limit, skip = paging(call.request.query, "actions", call.services.limits)
    artifacts = call.services.artifacts
    if boolean(call.request.query, "count", False):
        total = await artifacts.count(Action, namespace, package=package)
        return json_response({"actions": max(0, total - skip)})
    found = await artifacts.list(Action, namespace, package=package, skip=skip, limit=limit)
    return json_response([action_summary(action) for action in found if isinstance(action, Action)])


async def read_action(call: Call) -> Response:
    """`GET actions/[{pkg}/]{name}`: parameters of package and binding merged in; without code if not asked for."""
    is_with_code = boolean(call.request.query, "code", True)
    await check_action_shown(call, _name(call))
    action, revision, binding = await resolve_action(call.services.artifacts, _name(call))
    if is_with_code:
        return json_response(await _with_code(call, action, revision))
    fields = {field: getattr(action, field) for field in Action.__struct_fields__}
    return json_response(_ActionMeta(binding=UNSET if binding is None else binding.id, **fields))


async def put_action(call: Call) -> Response:
    """`PUT actions/[{pkg}/]{name}`: create or update."""
    name = _name(call)
    await _check_package(call, name)
    body = read_put_body(call)
    patch, removed = _limits_patch(body), _removed_annotations(body)
    exec_ = None if body.exec is None else resolve_components(body.exec, call.identity.namespace)
    check_limits(patch, call.limits)
    await _check_exec(call, exec_)
    document = await _existing(call, name)
    if document is not None and not body.overwrite:
        raise Rejection(409, messages.ALREADY_EXISTS)
    old = document.entity if document is not None and isinstance(document.entity, Action) else None
    if old is None and exec_ is None:
        raise Rejection(400, messages.EXEC_UNDEFINED)
    _check_kind(call, exec_ or old_exec(old))
    if exec_ is not None and exec_.is_sequence:
        await check_sequence(call.services.artifacts, name, exec_, call.services.limits.sequence_length)
    action = merged(name, body, exec_, patch, removed, old, call.services.now_ms(), _standard_limits(call))
    shown = action
    if exec_ is None and document is not None:
        shown = msgspec.structs.replace(action, exec=(await _with_code(call, action, document.revision)).exec)
    await check_policy(call, action, body.annotations or ())
    await call.services.artifacts.write([Put(action, document.revision if document else None)])
    return json_response(shown)


async def delete_action(call: Call) -> Response:
    """`DELETE actions/[{pkg}/]{name}`: what refers to it stays."""
    name = _name(call)
    await _check_package(call, name)
    document = await _existing(call, name)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    assert isinstance(document.entity, Action)
    shown = await _with_code(call, document.entity, document.revision)
    await call.services.artifacts.write([Delete(name.id, document.revision)])
    return json_response(shown)


def merged(
    name: EntityName,
    body: PutBody,
    exec_: Exec | None,
    patch: LimitsPatch,
    removed: list[str],
    old: Action | None,
    now_ms: int,
    standard: ActionLimits,
) -> Action:
    """The action after a PUT. Either `exec_` or `old` is there."""
    resolved = exec_ or old_exec(old)
    return Action(
        annotations=_annotations(body.annotations or (), resolved, removed, old, has_sequence=_is_sequence(exec_)),
        exec=resolved,
        limits=patch.over(old.limits if old else standard),
        name=name.name,
        namespace=name.path,
        parameters=_parameters(body.parameters, exec_, old),
        publish=body.publish if body.publish is not None else bool(old and old.publish),
        updated=now_ms,
        version=body.next_version(old.version if old else None),
    )


def old_exec(old: Action | None) -> Exec:
    """The exec that is kept when a body has none."""
    assert old is not None
    return old.exec


def _is_sequence(exec_: Exec | None) -> bool:
    return exec_ is not None and exec_.is_sequence


def _parameters(given: Parameters | None, exec_: Exec | None, old: Action | None) -> Parameters:
    """A sequence has one parameter, made from its components; it is the client's in no case."""
    if exec_ is not None and exec_.is_sequence:
        return (parameter("_actions", exec_.components),)
    was_sequence = old is not None and old.exec.is_sequence
    if was_sequence:
        return old.parameters if exec_ is None and old is not None else given or ()
    return given if given is not None else old.parameters if old else ()


def _annotations(
    given: Parameters, exec_: Exec, removed: list[str], old: Action | None, *, has_sequence: bool
) -> Parameters:
    """Merged over the old ones; `exec` is always the server's, `provide-api-key` is added on creation only."""
    if old is None:
        added = () if has(given, "provide-api-key") else (parameter("provide-api-key", False),)
        base: Parameters = (*given, *added)
    else:
        base = merge(old.annotations if has_sequence else without(old.annotations, removed), given)
    return (*without(base, ("exec",)), parameter("exec", exec_.kind))


def _standard_limits(call: Call) -> ActionLimits:
    return ActionLimits(
        concurrency=call.limits.concurrency.standard,
        logs=call.limits.logs_mb.standard,
        memory=call.limits.memory_mb.standard,
        timeout=call.limits.timeout_ms.standard,
    )


def _name(call: Call) -> EntityName:
    return EntityName(call.parts[-1], "/".join((call.namespace, *call.parts[:-1])))


async def _check_package(call: Call, name: EntityName) -> None:
    """Raises Rejection unless the package of `name` is there and no binding."""
    if name.package is None:
        return
    document = await call.services.artifacts.read(package_name(name.namespace, name.package).id)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    if not isinstance(document.entity, Package):
        raise Rejection(409, messages.WRONG_COLLECTION)
    if document.entity.binding is not None:
        raise Rejection(400, messages.NOT_ON_BINDING)


async def _check_exec(call: Call, exec_: Exec | None) -> None:
    """Raises Rejection unless the caller may use the components or the kind."""
    if exec_ is None:
        return
    if exec_.is_sequence:
        references = [("actions", component) for component in exec_.component_names()]
        await call.entitlement.check_references(call.identity, Right.READ, references)
    allowed = call.identity.limits.allowed_kinds
    if allowed is not None and exec_.kind not in allowed:
        raise Rejection(403, messages.kind_not_authorized(exec_.kind))


def _check_kind(call: Call, exec_: Exec) -> None:
    runtime = call.services.manifest.find(exec_.kind)
    if runtime is not None and runtime.deprecated:
        raise Rejection(400, messages.kind_deprecated(exec_.kind))


async def _existing(call: Call, name: EntityName) -> Document | None:
    document = await call.services.artifacts.read(name.id)
    if document is not None and not isinstance(document.entity, Action):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document


async def _with_code(call: Call, action: Action, revision: int) -> Action:
    code = await call.services.artifacts.read_code(action.entity_name.id, revision)
    if code is None:
        return action
    return msgspec.structs.replace(action, exec=msgspec.structs.replace(action.exec, code=code))


def _limits_patch(body: PutBody) -> LimitsPatch:
    if "limits" not in body.fields:
        return LimitsPatch()
    try:
        return parse_limits(decode_value(body.fields["limits"]))
    except MalformedLimits as error:
        raise malformed(str(error)) from error


def _removed_annotations(body: PutBody) -> list[str]:
    if "delAnnotations" not in body.fields:
        return []
    value: Any = decode_value(body.fields["delAnnotations"])
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise malformed("Expected Array of Strings as JsArray in field 'delAnnotations'")
    return value
