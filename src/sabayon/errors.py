"""The exception tree: whose fault, and whether trying again can help.

SabayonError
├── OperatorError            the operator's: a setting, a directory, a port; one line, exit non-zero
├── Rejection                the caller's: becomes a 4xx answer with a sentence of `messages`
├── Conflict                 two writers met; the caller may read again and retry
├── Corrupt                  a stored document cannot be read
├── StoreUnavailable         nothing can be stored or read now; later it may work
├── NotNow                   nothing more is taken on now; becomes a 503 that says when to come again
│   ├── BusUnavailable       the invokers cannot be reached
│   └── Overloaded           they have as much as may wait there
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


class NotNow(SabayonError):
    """Nothing was begun. retry_after_s: when it makes sense to ask again."""

    def __init__(self, text: str, retry_after_s: int = 1) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class BusUnavailable(NotNow):
    """The connection to the bus is lost, and is being made again."""


class Overloaded(NotNow):
    """No invoker may be given more, or none is up."""
