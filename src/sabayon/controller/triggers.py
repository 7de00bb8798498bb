"""Triggers: lists and entities. Firing one is in `fire`."""

from __future__ import annotations

from sabayon import messages
from sabayon.controller.bodies import PutBody, read_put_body
from sabayon.controller.call import Call
from sabayon.controller.http import Response, json_response, malformed
from sabayon.controller.query import boolean, paging
from sabayon.entity.names import EntityName, is_segment
from sabayon.entity.parameters import Parameters, find, has, is_object
from sabayon.entity.trigger import Trigger, trigger_summary
from sabayon.errors import Rejection
from sabayon.store.base import Delete, Document, Put


async def list_triggers(call: Call) -> Response:
    """`GET triggers`."""
    limit, skip = paging(call.request.query, "triggers", call.services.limits)
    artifacts = call.services.artifacts
    if boolean(call.request.query, "count", False):
        return json_response({"triggers": max(0, await artifacts.count(Trigger, call.namespace) - skip)})
    found = await artifacts.list(Trigger, call.namespace, skip=skip, limit=limit)
    return json_response([trigger_summary(trigger) for trigger in found if isinstance(trigger, Trigger)])


async def read_trigger(call: Call) -> Response:
    """`GET triggers/{t}`."""
    return json_response((await _required(call)).entity)


async def put_trigger(call: Call) -> Response:
    """`PUT triggers/{t}`: create or update; its rules are what they were."""
    body = read_put_body(call)
    if "limits" in body.fields and not is_object(body.fields["limits"]):
        raise malformed("Object expected in field 'limits'")
    document = await _existing(call)
    if document is not None and not body.overwrite:
        raise Rejection(409, messages.ALREADY_EXISTS)
    if document is None:
        _check_feed(body.annotations or ())
    old = document.entity if document is not None and isinstance(document.entity, Trigger) else None
    trigger = _merged(_name(call), body, old, call.services.now_ms())
    await call.services.artifacts.write([Put(trigger, document.revision if document else None)])
    return json_response(trigger)


async def delete_trigger(call: Call) -> Response:
    """`DELETE triggers/{t}`: its rules stay, without a trigger."""
    document = await _required(call)
    await call.services.artifacts.write([Delete(document.entity.entity_name.id, document.revision)])
    return json_response(document.entity)


def _merged(name: EntityName, body: PutBody, old: Trigger | None, now_ms: int) -> Trigger:
    kept = old or Trigger(name=name.name, namespace=name.namespace, updated=0, version="")
    return Trigger(
        annotations=kept.annotations if body.annotations is None else body.annotations,
        name=name.name,
        namespace=name.namespace,
        parameters=kept.parameters if body.parameters is None else body.parameters,
        publish=kept.publish if body.publish is None else body.publish,
        rules=kept.rules,
        updated=now_ms,
        version=body.next_version(old.version if old else None),
    )


def _check_feed(annotations: Parameters) -> None:
    """A new trigger's `feed` must look like the name of an action; whether it exists is the client's business."""
    if not has(annotations, "feed"):
        return
    feed = find(annotations, "feed")
    segments = feed.removeprefix("/").split("/") if isinstance(feed, str) else []
    if not 1 <= len(segments) <= 3 or not all(is_segment(segment) for segment in segments):
        raise Rejection(400, messages.FEED_NAME_INVALID)


def _name(call: Call) -> EntityName:
    return EntityName(call.parts[0], call.namespace)


async def _existing(call: Call) -> Document | None:
    document = await call.services.artifacts.read(_name(call).id)
    if document is not None and not isinstance(document.entity, Trigger):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document


async def _required(call: Call) -> Document:
    document = await _existing(call)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    return document
