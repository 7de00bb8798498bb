"""`wsk activation poll`: new activations with their logs, as they are recorded."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from sabayon.cli.context import session
from sabayon.cli.failures import CommandFailed, RequestFailed
from sabayon.cli.names import qualified_name
from sabayon.cli.style import bold, complain, say
from sabayon.cli.values import integer, pretty

PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 30.0
PAGE: Final = 200
"""The most that a server returns at once."""
OVERLAP_MS: Final = 300_000
"""How far each look goes back: a record appears when its activation ends, and is filed under its start.

As long as an activation may take unless its server allows more."""
_UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}


class _Terminated(Exception):
    pass


def poll(target: str | None = None, *, exit: int, **since: int) -> None:
    """Print until `exit` seconds are over (0: for ever) or a signal comes, which is exit code 1."""
    say("Enter Ctrl-c to exit.")
    name = qualified_name(target).path if target else ""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminate)
    try:
        watch = _Watch(name, _start_ms(since))
        say("Polling for activation logs")
        sys.stdout.flush()
        _watch_for(watch, exit)
    except _Terminated as end:
        say("Poll terminated")
        raise CommandFailed("") from end


def _watch_for(watch: _Watch, seconds: int) -> None:
    began, pause = time.monotonic(), PAUSE_S
    while not seconds or time.monotonic() - began <= seconds:
        try:
            for record in watch.unseen():
                say(f"\nActivation: '{bold(record.get('name', ''))}' ({bold(record.get('activationId', ''))})")
                say(pretty(record.get("logs") or []))
            pause = PAUSE_S
        except RequestFailed as failure:
            complain(f"warning: {failure.text}")
            pause = min(pause * 2, MAX_PAUSE_S)
        sys.stdout.flush()
        time.sleep(pause)


class _Watch:
    """What was seen, and since when there is more to see."""

    def __init__(self, name: str, since_ms: int) -> None:
        self._name = name
        self._first_ms = since_ms
        self._newest_ms = since_ms
        self._seen: dict[str, int] = {}

    def unseen(self) -> Iterator[Any]:
        """Records not returned before, the oldest first."""
        fresh = self._fresh()
        for record in fresh:
            start = integer(record.get("start"))
            self._seen[str(record.get("activationId"))] = start
            self._newest_ms = max(self._newest_ms, start)
        self._seen = {id: start for id, start in self._seen.items() if start >= self._since_ms}
        yield from reversed(fresh)

    @property
    def _since_ms(self) -> int:
        return max(self._first_ms, self._newest_ms - OVERLAP_MS)

    def _fresh(self) -> list[Any]:
        """Pages, until one of them holds what is known already or is not full."""
        found: list[Any] = []
        while True:
            query: dict[str, object] = {"docs": True, "limit": 0, "skip": len(found)}
            if self._name:
                query["name"] = self._name
            if self._since_ms:
                query["since"] = self._since_ms
            page = _list(query)
            known = {*self._seen, *(str(record.get("activationId")) for record in found)}
            fresh = [record for record in page if str(record.get("activationId")) not in known]
            found += fresh
            if len(page) < PAGE or len(fresh) < len(page):
                return found


def _start_ms(since: dict[str, int]) -> int:
    """Where to begin: a time ago, or right after the latest record; 0 when there is none."""
    now = int(time.time())
    ago = sum(_UNITS[name.removeprefix("since_")] * count for name, count in since.items())
    if ago:
        return (now - ago) * 1000
    try:
        latest = _list({"docs": True, "limit": 1, "skip": 0})
    except RequestFailed:
        return now * 1000
    return integer(latest[0].get("start")) + 1 if latest else 0


def _list(query: dict[str, object]) -> list[Any]:
    prefix = "Unable to obtain the list of activations for namespace 'default': "
    return session().documents("GET", "activations", query=query, prefix=prefix)


def _terminate(number: int, frame: object) -> None:
    raise _Terminated
