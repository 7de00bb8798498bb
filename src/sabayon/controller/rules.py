"""Rules: links from triggers to actions. A rule's status lives in its trigger, and both are written together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from sabayon import messages
from sabayon.controller.bodies import PutBody, decode_name, decode_object, decode_value, read_put_body
from sabayon.controller.call import Call
from sabayon.controller.entitlement import Right
from sabayon.controller.http import Response, check_content_type, json_response, malformed, text_response
from sabayon.controller.invoke import check_payload_size
from sabayon.controller.query import boolean, paging
from sabayon.controller.resolve import resolve_action
from sabayon.entity.names import EntityName
from sabayon.entity.rule import Rule, RuleView, rule_view
from sabayon.entity.trigger import AttachedRule, Status, Trigger
from sabayon.errors import Conflict, Corrupt, Rejection
from sabayon.store.base import Delete, Document, Put

_TRIES: Final = 5
"""Rules share their trigger's document. In one process they take turns; who meets another writer tries again."""


class _Stored(NamedTuple):
    """A trigger as it was read."""

    trigger: Trigger
    revision: int


async def list_rules(call: Call) -> Response:
    """`GET rules`: whole, but without their status."""
    limit, skip = paging(call.request.query, "rules", call.services.limits)
    artifacts = call.services.artifacts
    if boolean(call.request.query, "count", False):
        return json_response({"rules": max(0, await artifacts.count(Rule, call.namespace) - skip)})
    return json_response(await artifacts.list(Rule, call.namespace, skip=skip, limit=limit))


async def read_rule(call: Call) -> Response:
    """`GET rules/{r}`."""
    rule, _ = await _required(call)
    return json_response(rule_view(rule, _status(rule, await _trigger(call, rule.trigger))))


async def put_rule(call: Call) -> Response:
    """`PUT rules/{r}`: create, active, or update, with the status it had."""
    body = read_put_body(call)
    trigger, action = (_reference(body.fields.get(field), call.namespace) for field in ("trigger", "action"))
    await _check_readable(call, trigger, action)
    return json_response(await _in_turn(call, lambda: _put(call, body, trigger, action)))


async def delete_rule(call: Call) -> Response:
    """`DELETE rules/{r}`: in any state; what is answered is inactive."""
    return json_response(await _in_turn(call, lambda: _delete(call)))


async def set_rule_status(call: Call) -> Response:
    """`POST rules/{r}`: activate or deactivate; answers the text `OK`."""
    check_payload_size(call)
    check_content_type(call.request)
    status = _wanted_status(call.request.body)
    await _in_turn(call, lambda: _set_status(call, status))
    return text_response("OK")


async def _in_turn(call: Call, attempt: Callable[[], Awaitable[RuleView]]) -> RuleView:
    """The outcome of `attempt`, made when no other rule of the namespace is being written. Raises what it raises."""
    async with call.services.rule_turns.of(call.namespace):
        for _ in range(_TRIES - 1):
            try:
                return await attempt()
            except Conflict:
                continue
        return await attempt()


async def _put(call: Call, body: PutBody, trigger: EntityName | None, action: EntityName | None) -> RuleView:
    existing = await _existing(call)
    if existing is not None and not body.overwrite:
        raise Rejection(409, messages.ALREADY_EXISTS)
    old = existing.entity if existing is not None and isinstance(existing.entity, Rule) else None
    new_trigger = trigger or (old.trigger if old is not None else None)
    new_action = action or (old.action if old is not None else None)
    if new_trigger is None or new_action is None:
        raise Rejection(400, messages.RULE_INCOMPLETE)
    await _check_readable(call, None if trigger else new_trigger, None if action else new_action)
    target = await _required_trigger(call, new_trigger)
    await _check_action(call, new_action)

    former = await _trigger(call, old.trigger) if old is not None else None
    status: Status = "active" if old is None else _status(old, former)
    rule = _merged(call, body, old, new_trigger, new_action)
    id = rule.entity_name.id
    changes: list[Put | Delete] = [Put(rule, existing.revision if existing else None)]
    changes.append(Put(target.trigger.attach(id, AttachedRule(new_action, status)), target.revision))
    if former is not None and old is not None and old.trigger != new_trigger:
        changes.append(Put(former.trigger.detach(id), former.revision))
    await call.services.artifacts.write(changes)
    return rule_view(rule, status)


def _merged(call: Call, body: PutBody, old: Rule | None, trigger: EntityName, action: EntityName) -> Rule:
    return Rule(
        action=action,
        annotations=body.annotations if body.annotations is not None else old.annotations if old else (),
        name=call.parts[0],
        namespace=call.namespace,
        publish=body.publish if body.publish is not None else bool(old and old.publish),
        trigger=trigger,
        updated=call.services.now_ms(),
        version=body.next_version(old.version if old else None),
    )


async def _delete(call: Call) -> RuleView:
    rule, revision = await _required(call)
    changes: list[Put | Delete] = [Delete(rule.entity_name.id, revision)]
    found = await _trigger(call, rule.trigger)
    if found is not None and rule.entity_name.id in found.trigger.attached():
        changes.append(Put(found.trigger.detach(rule.entity_name.id), found.revision))
    await call.services.artifacts.write(changes)
    return rule_view(rule, "inactive")


async def _set_status(call: Call, status: Status) -> RuleView:
    rule, _ = await _required(call)
    found = await _trigger(call, rule.trigger)
    if found is None and status == "active":
        raise Rejection(404, messages.RULE_WITHOUT_TRIGGER)
    if found is not None and _status(rule, found) != status:
        attached = AttachedRule(rule.action, status)
        await call.services.artifacts.write([Put(found.trigger.attach(rule.entity_name.id, attached), found.revision)])
    return rule_view(rule, status)


def _wanted_status(body: bytes) -> Status:
    fields = decode_object(body)
    if "status" not in fields:
        raise malformed("key not found: status")
    value = decode_value(fields["status"])
    if not isinstance(value, str):
        raise malformed(f"requirement failed: {msgspec.json.encode(value).decode()} is not a recognized rule state")
    if not value:
        raise malformed("requirement failed: argument undefined")
    if value not in ("active", "inactive"):
        raise malformed(f"requirement failed: {value} is not a recognized rule state")
    return "active" if value == "active" else "inactive"


def _reference(raw: Raw | None, namespace: str) -> EntityName | None:
    return None if raw is None else decode_name(raw).resolve(namespace)


async def _check_readable(call: Call, trigger: EntityName | None, action: EntityName | None) -> None:
    references = [(kind, name) for kind, name in (("triggers", trigger), ("actions", action)) if name is not None]
    await call.entitlement.check_references(call.identity, Right.READ, references)


async def _required_trigger(call: Call, name: EntityName) -> _Stored:
    try:
        found = await _trigger(call, name)
    except Corrupt as error:
        raise Rejection(400, messages.rule_reference_corrupt("trigger", name.absolute)) from error
    if found is None:
        raise Rejection(400, messages.rule_reference_missing("trigger", name.absolute))
    return found


async def _check_action(call: Call, name: EntityName) -> None:
    try:
        await resolve_action(call.services.artifacts, name)
    except Rejection as rejection:
        raise Rejection(400, messages.rule_reference_missing("action", name.absolute)) from rejection
    except Corrupt as error:
        raise Rejection(400, messages.rule_reference_corrupt("action", name.absolute)) from error


def _status(rule: Rule, found: _Stored | None) -> Status:
    attached = found.trigger.attached().get(rule.entity_name.id) if found is not None else None
    return attached.status if attached is not None else "inactive"


async def _trigger(call: Call, name: EntityName) -> _Stored | None:
    document = await call.services.artifacts.read(name.id)
    if document is None or not isinstance(document.entity, Trigger):
        return None
    return _Stored(document.entity, document.revision)


async def _existing(call: Call) -> Document | None:
    document = await call.services.artifacts.read(EntityName(call.parts[0], call.namespace).id)
    if document is not None and not isinstance(document.entity, Rule):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document


async def _required(call: Call) -> tuple[Rule, int]:
    document = await _existing(call)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    assert isinstance(document.entity, Rule)
    return document.entity, document.revision
