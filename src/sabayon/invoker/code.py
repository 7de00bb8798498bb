"""The code of an action: read from the store when a container needs it, and only as it was when it was accepted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sabayon import messages
from sabayon.bus.base import ActivationMessage
from sabayon.entity.activation import Outcome, Response, error_response
from sabayon.errors import Corrupt, StoreUnavailable
from sabayon.sandbox.base import Code, Sandbox
from sabayon.store.base import Artifacts

logger = logging.getLogger("sabayon.invoker")


class CodeUnavailable(Exception):
    """The action has changed or gone since it was accepted; `response` says which."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


class CodeStore:
    """Where code comes from. Methods raise CodeUnavailable."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def read(self, message: ActivationMessage) -> str:
        """The code of a message's action."""
        with _fetching(message):
            code = await self._artifacts.read_code(message.action.entity_name.id, message.revision)
        if code is None:
            await self.check(message)
            raise _changed()
        return code

    async def check(self, message: ActivationMessage) -> None:
        """See that the action is as it was when the message was accepted."""
        with _fetching(message):
            document = await self._artifacts.read(message.action.entity_name.id)
        if document is None:
            raise CodeUnavailable(error_response(Outcome.APPLICATION_ERROR, messages.ACTION_REMOVED))
        if document.revision != message.revision:
            raise _changed()

    async def hand_over(self, message: ActivationMessage, sandbox: Sandbox) -> str | None:
        """What `init` has to carry; None when the sandbox has put the code in its place. Raises SandboxDied too."""
        if not message.action.exec.is_binary:
            return await self.read(message)
        await self.check(message)
        archive = _Archive(self, message)
        is_placed = await sandbox.place(Code(f"{message.action.entity_name.id}@{message.revision}", archive.read))
        return None if is_placed else await archive.read()


class _Archive:
    """Read once, whoever asks."""

    def __init__(self, store: CodeStore, message: ActivationMessage) -> None:
        self._store = store
        self._message = message
        self._text: str | None = None

    async def read(self) -> str:
        if self._text is None:
            self._text = await self._store.read(self._message)
        return self._text


@contextmanager
def _fetching(message: ActivationMessage) -> Iterator[None]:
    """What is the matter with the store is the platform's fault, and in its log."""
    try:
        yield
    except (Corrupt, StoreUnavailable) as error:
        logger.error("activation %s tx=%s: %s", message.activation_id, message.transaction_id, error)
        raise CodeUnavailable(error_response(Outcome.WHISK_ERROR, messages.ACTION_NOT_FETCHED)) from error


def _changed() -> CodeUnavailable:
    return CodeUnavailable(error_response(Outcome.WHISK_ERROR, messages.ACTION_CHANGED))
