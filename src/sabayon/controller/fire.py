"""POST on a trigger: every active rule's action is invoked, as if the one who fired had invoked it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import Raw

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.entitlement import Right
from sabayon.controller.execution import Caller
from sabayon.controller.http import Request, Response
from sabayon.controller.invoke import accepted_response, caller_of, check_payload_size, read_payload
from sabayon.controller.payload import Payload, parse_payload, payload_from
from sabayon.controller.pending import PendingFire, encode_pending
from sabayon.controller.submit import accept, prepare
from sabayon.controller.throttle import Throttle
from sabayon.entity.activation import Activation, Outcome, new_activation_id, stored
from sabayon.entity.activation import Response as ActivationResponse
from sabayon.entity.limits import EffectiveLimits
from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Arguments
from sabayon.entity.trigger import AttachedRule, Trigger
from sabayon.errors import Rejection

ENTITY_HEADERS = frozenset({"content-type", "content-length"})
"""Headers about the body of the fire; actions are not told of them."""

logger = logging.getLogger("sabayon.controller")


class Firing(NamedTuple):
    """Who fires, and what the invocations are charged to."""

    caller: Caller
    throttle: Throttle
    limits: EffectiveLimits


class RuleAccepted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line in the trigger's record: the rule's action will run."""

    action: str
    activation_id: str
    rule: str
    status_code: int = 0
    success: bool = True


class RuleRefused(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line in the trigger's record: the rule's action will not run, and why."""

    action: str
    error: str
    rule: str
    status_code: int
    success: bool = False


RuleOutcome = RuleAccepted | RuleRefused


async def fire_trigger(call: Call) -> Response:
    """`POST triggers/{name}`: 202 and the id of the trigger's record, or 204 when no rule is active."""
    check_payload_size(call)
    payload = read_payload(call)
    trigger = await _read_trigger(call)
    if not any(rule.status == "active" for rule in trigger.attached().values()):
        return Response(204)
    fire = PendingFire(
        accepted_ms=call.request.accepted_ms,
        activation_id=new_activation_id(),
        headers=_visible_headers(call.request),
        identity=call.identity,
        payload=payload.text,
        transaction_id=call.request.transaction_id,
        trigger=trigger,
    )
    firing = Firing(caller_of(call), call.throttle, call.limits)
    await call.services.running.finish(fire.activation_id, _accept(firing, fire))
    return accepted_response(fire.activation_id)


async def run_fire(firing: Firing, fire: PendingFire) -> None:
    """Submit all invocations of `fire`, then write its record."""
    payload = _rule_payload(fire)
    rules = fire.trigger.attached().items()
    outcomes = await asyncio.gather(*(_try_rule(firing, rule, attached, payload) for rule, attached in rules))
    if firing.caller.is_stored:
        await firing.caller.services.activations.put(stored(fire_record(fire, outcomes)), settles=True)


def fire_record(fire: PendingFire, outcomes: list[RuleOutcome]) -> Activation:
    """The trigger's record: the payload alone as its result, a log line for each rule; it has no end."""
    return Activation(
        activation_id=fire.activation_id,
        logs=tuple(msgspec.json.encode(outcome).decode() for outcome in outcomes),
        name=fire.trigger.name,
        namespace=fire.identity.namespace,
        response=ActivationResponse(Outcome.SUCCESS, fire.payload),
        start=fire.accepted_ms,
        subject=fire.identity.subject,
        version=fire.trigger.version,
    )


async def _accept(firing: Firing, fire: PendingFire) -> None:
    services = firing.caller.services
    services.bus.check()
    if firing.caller.is_stored:
        await services.journal.append(fire.activation_id, encode_pending(fire))
    services.running.adopt(fire.activation_id, run_fire(firing, fire))


async def _read_trigger(call: Call) -> Trigger:
    document = await call.services.artifacts.read(EntityName(call.parts[0], call.namespace).id)
    if document is None:
        raise Rejection(404, messages.NOT_FOUND)
    if not isinstance(document.entity, Trigger):
        raise Rejection(409, messages.WRONG_COLLECTION)
    return document.entity


def _visible_headers(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in ENTITY_HEADERS}


def _rule_payload(fire: PendingFire) -> Payload:
    """The trigger's parameters, hidden by the headers, hidden by what was sent."""
    members: Arguments = {entry.key: entry.value for entry in fire.trigger.parameters}
    members["__ow_headers"] = Raw(msgspec.json.encode(fire.headers))
    return payload_from({**members, **(parse_payload(bytes(fire.payload)).members or {})})


async def _try_rule(firing: Firing, rule: str, attached: AttachedRule, payload: Payload) -> RuleOutcome:
    action = attached.action.id
    if attached.status != "active":
        return RuleRefused(action=action, error=messages.rule_inactive(rule, action), rule=rule, status_code=1)
    try:
        return RuleAccepted(action=action, activation_id=await _invoke(firing, attached.action, payload), rule=rule)
    except Rejection as refusal:
        code = Outcome.WHISK_ERROR if refusal.status >= 500 else Outcome.APPLICATION_ERROR
        return RuleRefused(action=action, error=refusal.text, rule=rule, status_code=code)
    except Exception:  # one rule's trouble must neither stop the others nor lose the record
        logger.exception("rule %s could not invoke %s", rule, action)
        return RuleRefused(action=action, error=messages.INTERNAL_ERROR, rule=rule, status_code=Outcome.WHISK_ERROR)


async def _invoke(firing: Firing, action: EntityName, payload: Payload) -> str:
    """What a POST on `action` does: throttle, entitlement, size, checks, acceptance. The activation's id."""
    caller, identity = firing.caller, firing.caller.identity
    now_ms = caller.services.now_ms()
    firing.throttle.check_invocation(identity, firing.limits, now_ms)
    release = partial(firing.throttle.release, identity)
    try:
        await caller.entitlement.check_entity(identity, Right.ACTIVATE, "actions", action)
        if len(bytes(payload.text)) > firing.limits.payload_bytes:
            sizes = len(bytes(payload.text)), firing.limits.payload_bytes
            raise Rejection(413, messages.too_large("Request", *sizes))
        invocation = await prepare(caller, action, payload, now_ms)
    except BaseException:
        release()
        raise
    await accept(caller, invocation, release)
    return invocation.activation_id
