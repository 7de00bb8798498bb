"""POST on a trigger: every active rule's action is invoked, as if the one who fired had invoked it."""

from __future__ import annotations

import asyncio
import hashlib
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
from sabayon.controller.idempotency import Keyed, keyed, once
from sabayon.controller.invoke import accepted_response, caller_of, check_payload_size, read_payload
from sabayon.controller.payload import Payload, parse_payload, payload_from
from sabayon.controller.submit import accept, append_entry, check_load, prepare
from sabayon.controller.throttle import Throttle
from sabayon.delivery.pending import PendingFire
from sabayon.entity.activation import Activation, Outcome, new_activation_id
from sabayon.entity.activation import Response as ActivationResponse
from sabayon.entity.limits import EffectiveLimits
from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Arguments
from sabayon.entity.trigger import AttachedRule, Trigger
from sabayon.errors import NotNow, Rejection, StoreUnavailable
from sabayon.store.base import Claim

ENTITY_HEADERS = frozenset({"content-type", "content-length"})
"""Headers about the body of the fire; actions are not told of them."""

logger = logging.getLogger("sabayon.controller")


class Firing(NamedTuple):
    """Who fires, and what the invocations are charged to."""

    caller: Caller
    throttle: Throttle
    limits: EffectiveLimits


class _Rule(NamedTuple):
    """A rule in a fire, and the activation that it leads to."""

    name: str
    attached: AttachedRule
    activation_id: str


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
    check_load(call.services)
    payload = read_payload(call)
    request = keyed(call, "triggers", payload)
    begin = partial(_begin, call, payload, request)
    activation_id = await (begin() if request is None else once(call, request, begin))
    return Response(204) if activation_id is None else accepted_response(activation_id)


async def _begin(call: Call, payload: Payload, request: Keyed | None) -> str | None:
    """Accept the fire: the id of its record, or of that of the first request with the same key; None if nothing runs.

    Where nothing runs no key is taken.
    """
    trigger = await _read_trigger(call)
    if not has_active_rule(trigger):
        return None
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
    claim = None if request is None else request.claim(fire.activation_id, call.services.now_ms())
    earlier = await call.services.running.finish(fire.activation_id, _accept(firing, fire, claim))
    return fire.activation_id if request is None or earlier is None else request.same(earlier)


def has_active_rule(trigger: Trigger) -> bool:
    """Whether a fire of `trigger` would do anything."""
    return any(rule.status == "active" for rule in trigger.attached().values())


async def run_fire(firing: Firing, fire: PendingFire, *, is_again: bool = False) -> None:
    """Submit all invocations of `fire`, then write its record.

    is_again: it may have been begun before. What it submitted then is not submitted twice.
    Raises StoreUnavailable when not all could be submitted: the whole is to be run again.
    """
    payload = _rule_payload(fire)
    rules = [_Rule(rule, attached, _activation_id_of(fire, rule)) for rule, attached in fire.trigger.attached().items()]
    done = {rule.activation_id for rule in rules if is_again and await _is_accepted(firing.caller, rule.activation_id)}
    outcomes = await asyncio.gather(
        *(_try_rule(firing, rule, payload, is_done=rule.activation_id in done) for rule in rules)
    )
    if firing.caller.is_stored:
        await firing.caller.services.settler.settle_fire(fire_record(fire, outcomes))


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


async def _accept(firing: Firing, fire: PendingFire, claim: Claim | None) -> Claim | None:
    """Take it on for good, unless an earlier claim has its key, which is the result then."""
    services = firing.caller.services
    services.bus.check()
    if firing.caller.is_stored and (earlier := await append_entry(services, fire, claim)):
        return earlier
    services.running.adopt(fire.activation_id, _run_accepted(firing, fire))
    return None


async def _run_accepted(firing: Firing, fire: PendingFire) -> None:
    """What the store or the bus does not take now is left to the journal, which has the fire."""
    try:
        await run_fire(firing, fire)
    except (StoreUnavailable, NotNow) as error:
        if not firing.caller.is_stored:
            raise
        logger.warning("the fire %s has to wait: %s", fire.activation_id, error)
        await firing.caller.services.settler.give_back(fire.activation_id)


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


def _activation_id_of(fire: PendingFire, rule: str) -> str:
    """The id of the activation that `rule` leads to: the same however often the fire is run."""
    return hashlib.blake2b(f"{fire.activation_id} {rule}".encode(), digest_size=16).hexdigest()


async def _is_accepted(caller: Caller, activation_id: str) -> bool:
    """In this order: what has left the journal has its record."""
    services, namespace = caller.services, caller.identity.namespace
    if await services.journal.has(activation_id):
        return True
    return await services.activations.read(namespace, activation_id) is not None


async def _try_rule(firing: Firing, one: _Rule, payload: Payload, *, is_done: bool) -> RuleOutcome:
    rule, attached, activation_id = one
    action = attached.action.id
    if attached.status != "active":
        return RuleRefused(action=action, error=messages.rule_inactive(rule, action), rule=rule, status_code=1)
    try:
        if not is_done:
            await _invoke(firing, attached.action, payload, activation_id)
        return RuleAccepted(action=action, activation_id=activation_id, rule=rule)
    except Rejection as refusal:
        code = Outcome.WHISK_ERROR if refusal.status >= 500 else Outcome.APPLICATION_ERROR
        return RuleRefused(action=action, error=refusal.text, rule=rule, status_code=code)
    except (StoreUnavailable, NotNow):
        raise  # the fire waits, and with it all that it has not invoked yet
    except Exception:  # one rule's trouble must neither stop the others nor lose the record
        logger.exception("rule %s could not invoke %s", rule, action)
        return RuleRefused(action=action, error=messages.INTERNAL_ERROR, rule=rule, status_code=Outcome.WHISK_ERROR)


async def _invoke(firing: Firing, action: EntityName, payload: Payload, activation_id: str) -> None:
    """What a POST on `action` does: throttle, entitlement, size, checks, acceptance."""
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
    await accept(caller, invocation._replace(activation_id=activation_id), release)
