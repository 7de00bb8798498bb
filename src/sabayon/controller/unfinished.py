"""The end of activations that no invoker brings to theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.bus.chooser import Fate
from sabayon.delivery.decision import Ending
from sabayon.delivery.pending import PendingAction
from sabayon.delivery.report import record_without_run
from sabayon.delivery.settling import Settler
from sabayon.entity.activation import Activation, Outcome, cancelled, cancelled_response, error_response
from sabayon.entity.activation import Response as ActivationResponse
from sabayon.errors import StoreUnavailable

logger = logging.getLogger("sabayon.controller")


class Unfinished:
    """See the port `Endings`. What is journaled ends, or is tried again, as the policy of its action says."""

    def __init__(self, settler: Settler, now_ms: Callable[[], int]) -> None:
        self._settler = settler
        self._now_ms = now_ms

    async def end(self, message: ActivationMessage, fate: Fate) -> Activation:
        activation = record_without_run(message, _response(fate), self._now_ms())
        if fate is Fate.CANCELLED:
            activation = cancelled(activation)
        try:
            if message.is_journaled:
                has_begun, is_final = fate is Fate.LOST, fate is Fate.CANCELLED
                ending = Ending(activation.response.outcome, has_begun, is_final=is_final)
                await self._settler.after(PendingAction(message), activation, ending)
            elif message.is_stored:
                await self._settler.store(activation)
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
