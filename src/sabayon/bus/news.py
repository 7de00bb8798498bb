"""News from one controller to all: that something has changed which they may remember."""

from __future__ import annotations

from collections.abc import Callable

from sabayon.bus.link import Envelope, Link
from sabayon.bus.subjects import Subjects


class News:
    """A channel for each topic. What is told is lost only with a connection, and then there is word of the gap."""

    def __init__(self, link: Link, subjects: Subjects) -> None:
        self._link = link
        self._subjects = subjects

    def tell(self, topic: str, what: str) -> None:
        """Tell all controllers, this one included, that `what` has changed. topic: one word."""
        self._link.post(self._subjects.news(topic), what.encode())

    def subscribe(self, topic: str, on_news: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Hear of `topic`. on_gap: there may have been news that nobody heard. To be called before the link starts."""

        def receive(envelope: Envelope) -> None:
            if not envelope.is_returned:
                on_news(envelope.payload.decode())

        self._link.subscribe(self._subjects.news(topic), receive)
        self._link.watch(on_gap)
