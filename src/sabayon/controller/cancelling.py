"""DELETE on an activation: stop it, whether it waits or runs."""

from __future__ import annotations

import asyncio
from typing import Final

from sabayon import messages
from sabayon.controller.awaiting import record_within
from sabayon.controller.call import Call
from sabayon.controller.http import Response, raw_json_response
from sabayon.controller.invoke import accepted_response
from sabayon.controller.services import Services
from sabayon.errors import Rejection

RECORD_S: Final = 60.0
"""How long to wait for the record of what was stopped: it is there at once, unless the store takes nothing now."""

SETTLING_S: Final = 1.0
"""How long an activation may be neither stopped nor over: it is being accepted, or its record is being stored."""


async def cancel_activation(call: Call) -> Response:
    """`DELETE activations/{id}`: 200 and its record, which says so; 409 when it has finished already.

    202 when there is no record: none are kept, or the store takes none now.
    """
    services, namespace, activation_id = call.services, call.namespace, call.parts[0]
    if await services.activations.read(namespace, activation_id) is not None:
        raise Rejection(409, messages.ALREADY_FINISHED)
    if not await _cancel_soon(services, namespace, activation_id):
        has_record = await services.activations.read(namespace, activation_id) is not None
        raise Rejection(409, messages.ALREADY_FINISHED) if has_record else Rejection(404, messages.NOT_FOUND)
    wait_s = RECORD_S if call.limits.store_activations else 0
    record = await record_within(services, namespace, activation_id, wait_s)
    return accepted_response(activation_id) if record is None else raw_json_response(record)


async def cancel(services: Services, namespace: str, activation_id: str) -> bool:
    """Stop an activation of `namespace`; whether it had not ended yet. Its record comes soon, and says so.

    A sequence or a composition starts no further component, and the one that runs is cancelled too. What is in the
    journal alone, waiting for its time, is to be asked last: it may have begun to run until then.
    """
    course = services.underway.find(namespace, activation_id)
    if course is None:
        return await services.bus.cancel(namespace, activation_id)
    course.is_cancelled = True
    if course.component is not None:
        await cancel(services, namespace, course.component)
    return True


async def _cancel_soon(services: Services, namespace: str, activation_id: str) -> bool:
    """As `cancel`, also for what is about to start."""
    deadline = asyncio.get_running_loop().time() + SETTLING_S
    while not await cancel(services, namespace, activation_id):
        left_s = deadline - asyncio.get_running_loop().time()
        work = services.running.find(activation_id)
        if work is None or left_s <= 0:
            return False
        await asyncio.wait((work,), timeout=left_s)
    return True
