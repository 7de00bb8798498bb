"""The end of activations that no invoker brings to theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.bus.chooser import Fate
from sabayon.entity.activation import (
    Activation,
    Outcome,
    cancelled,
    cancelled_response,
    error_response,
    stored,
)
from sabayon.entity.activation import Response as ActivationResponse
from sabayon.entity.parameters import parameter
from sabayon.errors import StoreUnavailable
from sabayon.store.base import Activations

logger = logging.getLogger("sabayon.controller")


class Ending:
    """See the port `Endings`. What is journaled and may have begun is sent again: it is delivered at least once."""

    def __init__(self, activations: Activations, now_ms: Callable[[], int]) -> None:
        self._activations = activations
        self._now_ms = now_ms

    async def end(self, message: ActivationMessage, fate: Fate) -> Activation | None:
        if fate is Fate.LOST and message.is_journaled:
            return None
        activation = _without_run(message, _response(fate), self._now_ms())
        if fate is Fate.CANCELLED:
            activation = cancelled(activation)
        if message.is_stored:
            try:
                await self._activations.put(stored(activation), settles=message.is_journaled)
            except StoreUnavailable as error:
                logger.error("the record of activation %s is lost: %s", message.activation_id, error)
        return activation


def _response(fate: Fate) -> ActivationResponse:
    match fate:
        case Fate.CANCELLED:
            return cancelled_response()
        case Fate.LOST:
            return error_response(Outcome.WHISK_ERROR, messages.INVOKER_LOST)
        case Fate.NOWHERE:
            return error_response(Outcome.WHISK_ERROR, messages.NO_RESOURCES)


def _without_run(message: ActivationMessage, response: ActivationResponse, now_ms: int) -> Activation:
    """An activation of which no container is known: no duration, kind unknown."""
    annotations = [parameter("path", message.action.entity_name.id), parameter("kind", "unknown")]
    if message.cause is not None:
        annotations.append(parameter("causedBy", "sequence"))
    return Activation(
        activation_id=message.activation_id,
        annotations=tuple(annotations),
        cause=message.cause,
        duration=0,
        end=now_ms,
        name=message.action.name,
        namespace=message.identity.namespace,
        response=response,
        start=now_ms,
        subject=message.identity.subject,
        version=message.action.version,
    )
