"""The exception tree: whose fault, and whether trying again can help.

SabayonError
├── OperatorError            the operator's: a setting, a directory, a port; one line, exit non-zero
├── Rejection                the caller's: becomes a 4xx answer with a sentence of `messages`
├── Conflict                 two writers met; the caller may read again and retry
├── Corrupt                  a stored document cannot be read
├── StoreUnavailable         nothing can be stored or read now; later it may work
└── sandbox.base             SandboxDied, SandboxTimeout, SandboxUnavailable
"""

from __future__ import annotations


class SabayonError(Exception):
    """Base of every error raised on purpose."""


class OperatorError(SabayonError):
    """Something on this machine must be changed by its operator. The text is one line and says what to do."""


class Rejection(SabayonError):
    """A request that is refused: HTTP status and the sentence for the client.

    retry_after_s: when the same request may be accepted; None where that is not known.
    """

    def __init__(self, status: int, text: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s


class Conflict(SabayonError):
    """The document changed since it was read."""


class Corrupt(SabayonError):
    """A stored document cannot be decoded."""


class StoreUnavailable(SabayonError):
    """The store does not work now, its disk is full for instance. Nothing was changed; later it may work."""
