"""Sequences: each action is run with the result of the one before."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from sabayon import messages
from sabayon.controller.composite import Executor, Frame, application_error, has_error
from sabayon.controller.payload import Payload, payload_of
from sabayon.entity.activation import Outcome, Response
from sabayon.errors import Rejection

_NOTHING: Final = Response(Outcome.SUCCESS, Raw(b"{}"))


async def run_sequence(executor: Executor, frame: Frame, payload: Payload) -> Response:
    """Run the components of `frame` in order; the response is the last one's, or the first one's with an error.

    An error in `payload` does not stop it. Actions are counted in `frame.budget` as they run, nested ones included.
    """
    response = _NOTHING
    for name in frame.resolved.action.exec.component_names():
        if frame.budget.atomic >= frame.length:
            return application_error(messages.SEQUENCE_TOO_LONG)
        try:
            component = await executor.resolve(name.resolve(executor.namespace))
        except Rejection:
            return application_error(messages.SEQUENCE_COMPONENT_MISSING)
        if not component.action.exec.is_sequence:
            frame.budget.atomic += 1
        finished = await executor.run(component, payload, frame)
        frame.trail.add(finished)
        response = finished.activation.response
        if has_error(response):
            return response
        payload = payload_of(response.result)
    return response
