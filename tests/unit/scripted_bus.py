"""A bus whose actions are Python functions: it keeps the port's promises without an invoker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from sabayon.bus.base import ActivationMessage
from sabayon.delivery.decision import Ending
from sabayon.delivery.pending import PendingAction
from sabayon.delivery.settling import Settler
from sabayon.entity.activation import Activation, Outcome, Response, cancelled, cancelled_response
from sabayon.entity.parameters import parameter
from sabayon.errors import NotNow

Script = Callable[[Any], Any]
DURATION_MS = 7


class Hold:
    """An action that ends when it is told to."""

    def __init__(self, result: Any = None) -> None:
        self.result = {} if result is None else result
        self.release = asyncio.Event()


class ScriptedBus:
    """Runs `scripts[action id]`: a function from arguments to a result, a result, a `Response` or a `Hold`."""

    settler: Settler

    def __init__(self, start_ms: int) -> None:
        self.scripts: dict[str, Any] = {}
        self.messages: list[ActivationMessage] = []
        self.refusal: NotNow | None = None
        self.passes = 0
        """How often it may be asked before it refuses."""
        self._stops: dict[str, tuple[str, asyncio.Event]] = {}
        self._now_ms = start_ms
        self._dispatched = asyncio.Event()

    def now_ms(self) -> int:
        """A clock that moves on with every look at it."""
        self._now_ms += 1
        return self._now_ms

    def let_pass(self, ms: int) -> None:
        """Some time goes by."""
        self._now_ms += ms

    def dispatch(self, message: ActivationMessage) -> Awaitable[Activation]:
        self.check()
        self.messages.append(message)
        self._dispatched.set()
        stop = asyncio.Event()
        self._stops[message.activation_id] = message.identity.namespace, stop
        return asyncio.ensure_future(self._run(message, stop))

    def check(self) -> None:
        if self.refusal and not self.passes:
            raise self.refusal
        self.passes = max(0, self.passes - 1)

    async def cancel(self, namespace: str, activation_id: str) -> bool:
        owner, stop = self._stops.get(activation_id, ("", asyncio.Event()))
        if owner == namespace:
            stop.set()
        return stop.is_set()

    async def dispatches(self, count: int) -> None:
        """Wait until `count` actions have been dispatched."""
        while len(self.messages) < count:
            self._dispatched.clear()
            await self._dispatched.wait()

    def arguments(self, index: int = -1) -> Any:
        """What the action was run with."""
        return msgspec.json.decode(self.messages[index].arguments)

    def ran(self) -> list[str]:
        """Names of the actions that were dispatched, in order."""
        return [message.action.name for message in self.messages]

    async def _run(self, message: ActivationMessage, stop: asyncio.Event) -> Activation:
        script = self.scripts.get(message.action.entity_name.id, {"ran": message.action.name})
        outcome = script(msgspec.json.decode(message.arguments)) if callable(script) else script
        if isinstance(outcome, Hold):
            outcome = await _held(outcome, stop)
        del self._stops[message.activation_id]
        if stop.is_set():
            outcome = cancelled_response()
        activation = self._activation(message, outcome if isinstance(outcome, Response) else answer(outcome))
        if stop.is_set():
            activation = cancelled(activation)
        if message.is_journaled:
            ending = Ending(activation.response.outcome, has_begun=True, is_final=stop.is_set())
            await self.settler.after(PendingAction(message), activation, ending)
        elif message.is_stored:
            await self.settler.store(activation)
        return activation

    def _activation(self, message: ActivationMessage, response: Response) -> Activation:
        start_ms = self.now_ms()
        annotations = [
            parameter("limits", message.action.limits),
            parameter("path", message.action.entity_name.id),
            parameter("kind", message.action.exec.kind),
        ]
        if message.binding:
            annotations.append(parameter("binding", message.binding))
        return Activation(
            activation_id=message.activation_id,
            annotations=tuple(annotations),
            cause=message.cause,
            duration=DURATION_MS,
            end=start_ms + DURATION_MS,
            logs=(f"2026-01-01T00:00:01.123456789Z stdout: {message.action.name}",),
            name=message.action.name,
            namespace=message.identity.namespace,
            response=response,
            start=start_ms,
            subject=message.identity.subject,
            version=message.action.version,
        )


def answer(result: Any) -> Response:
    """How a container's answer is classified when it says 200."""
    text = msgspec.json.encode(result)
    if isinstance(result, dict) and "error" in result:
        return Response(Outcome.APPLICATION_ERROR, Raw(msgspec.json.encode({"error": result["error"]})), len(text))
    return Response(Outcome.SUCCESS, Raw(text), len(text))


async def _held(hold: Hold, stop: asyncio.Event) -> Any:
    """The result, once it is released; or nothing, once it is stopped."""
    waits = [asyncio.ensure_future(event.wait()) for event in (hold.release, stop)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return hold.result
