"""What an action may say about its delivery."""

from __future__ import annotations

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.entitlement import Right
from sabayon.entity.action import Action
from sabayon.entity.delivery import ANNOTATIONS, MalformedPolicy, parse_policy
from sabayon.entity.parameters import Parameters, has
from sabayon.errors import Rejection


async def check_policy(call: Call, action: Action, given: Parameters) -> None:
    """Raises Rejection 400 for a policy without meaning, 403 for a destination that the caller may not fire.

    given: the annotations of the request. Where they say nothing of delivery, what was there before is not judged.
    """
    if not any(has(given, key) for key in ANNOTATIONS):
        return
    try:
        policy = parse_policy(action.annotations, is_composite=action.is_composite)
    except MalformedPolicy as error:
        raise Rejection(400, messages.policy_malformed(str(error))) from error
    for destination in (policy.on_success, policy.on_failure):
        if destination is not None:
            name = destination.resolve(call.identity.namespace)
            await call.entitlement.check_entity(call.identity, Right.ACTIVATE, "triggers", name)
