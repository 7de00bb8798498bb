"""The bus of a single process: a function call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sabayon.bus.base import ActivationMessage
from sabayon.entity.activation import Activation


class MemoryBus:
    """Hands each message to the one invoker of this process."""

    def __init__(
        self,
        accept: Callable[[ActivationMessage], Awaitable[Activation]],
        cancel: Callable[[str, str], bool],
    ) -> None:
        self._accept = accept
        self._cancel = cancel

    def dispatch(self, message: ActivationMessage) -> Awaitable[Activation]:
        return self._accept(message)

    def check(self) -> None:
        """One process has no bus that could be away."""

    async def cancel(self, namespace: str, activation_id: str) -> bool:
        return self._cancel(namespace, activation_id)
