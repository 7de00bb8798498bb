"""Puts the catalog into `/whisk.system`. What is there already and the same is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from sabayon.catalog import alarms
from sabayon.client import ConnectionFailed, Response

logger = logging.getLogger("sabayon.catalog")

_CONFLICT: Final = 409
_TURNS: Final = 5

ANY_VERSION: Final = ":default"
"""Ends a kind whose version the platform chooses."""


class RestClient(Protocol):
    """What is asked of `sabayon.client.Client`."""

    def request(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None
    ) -> Response:
        """Raises ConnectionFailed."""
        ...


def install_catalog(client: RestClient) -> bool:
    """Create or update what differs; whether all is there now. client: acts as `whisk.system`.

    A failure is logged: the platform is of use without its catalog. Any number may install at once.
    """
    is_whole = True
    for route, body in _entities():
        try:
            status = _install(client, f"namespaces/_/{route}", body)
        except ConnectionFailed as error:
            logger.error("the catalog's %s cannot be installed: %s", route, error)
            is_whole = False
            continue
        if status >= 400:
            logger.error("the catalog's %s cannot be installed: HTTP %d", route, status)
            is_whole = False
    return is_whole


def _entities() -> Iterator[tuple[str, dict[str, Any]]]:
    """Route and content of each entity, packages before what is in them."""
    yield from alarms.entities()


def _install(client: RestClient, route: str, wanted: dict[str, Any]) -> int:
    """The HTTP status that settled it."""
    status = _CONFLICT
    for _ in range(_TURNS):
        current = client.request("GET", route)
        if current.is_success and _holds(current.json(), wanted):
            return current.status
        status = client.request("PUT", route, query={"overwrite": True}, body=wanted).status
        if status != _CONFLICT:  # else somebody writes it at the same moment, most likely the same
            break
    return status


def _holds(current: Any, wanted: Any) -> bool:
    """Whether `current` says all that is wanted; it may say more, in objects and in lists."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(key in current and _holds(current[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(current, list) and all(any(_holds(one, each) for one in current) for each in wanted)
    if isinstance(wanted, str) and wanted.endswith(ANY_VERSION):
        return isinstance(current, str) and current.startswith(wanted.removesuffix(ANY_VERSION) + ":")
    return type(current) is type(wanted) and bool(current == wanted)
