"""Questions to all invokers, of whom one may know: the first yes counts, or that all have said no, or silence."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

PATIENCE_S: Final = 1.0


class _Inquiry(NamedTuple):
    future: asyncio.Future[bool]
    noes: list[None]
    asked: int


class Inquiries:
    """Those that are open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: dict[int, _Inquiry] = {}
        self._tokens = 0

    def begin(self, asked: int) -> tuple[int, asyncio.Future[bool]]:
        """Its token, and what comes of it. asked: how many can answer at most; those that are gone do not."""
        self._tokens += 1
        token = self._tokens
        inquiry = self._open[token] = _Inquiry(self._loop.create_future(), [], asked)
        timer = self._loop.call_later(PATIENCE_S, self._close, token, False)

        def ended(_: object) -> None:
            timer.cancel()
            self._open.pop(token, None)

        inquiry.future.add_done_callback(ended)
        return token, inquiry.future

    def answered(self, token: int, *, is_found: bool) -> None:
        """One of them has said yes or no. Too late is nothing."""
        inquiry = self._open.get(token)
        if inquiry is None:
            return
        if not is_found:
            inquiry.noes.append(None)
        if is_found or len(inquiry.noes) >= inquiry.asked:
            self._close(token, is_found)

    def _close(self, token: int, is_found: bool) -> None:
        inquiry = self._open.pop(token, None)
        if inquiry is not None and not inquiry.future.done():
            inquiry.future.set_result(is_found)
