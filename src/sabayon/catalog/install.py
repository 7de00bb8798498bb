"""Puts the catalog into `/whisk.system`. What is there already and the same is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from sabayon.client import Client
from sabayon.client.http import segment

logger = logging.getLogger("sabayon.catalog")

_FEEDS: Final = {
    "alarm": ("Fire trigger when alarm occurs", {}),
    "once": ("Fire trigger once when alarm occurs", {"fireOnce": True}),
    "interval": ("Fire trigger at specified interval", {"isInterval": True}),
}
_MEMORY_MB: Final = 128


def install_catalog(client: Client) -> None:
    """Create or update what differs. client: acts as `whisk.system`.

    A failure is logged: the platform is of use without its catalog.
    """
    for route, body in _entities():
        current = client.request("GET", f"namespaces/_/{route}")
        if current.is_success and _holds(current.json(), body):
            continue
        answer = client.request("PUT", f"namespaces/_/{route}", query={"overwrite": True}, body=body)
        if not answer.is_success:
            logger.error("the catalog's %s cannot be installed: HTTP %d", route, answer.status)


def _entities() -> Iterator[tuple[str, dict[str, Any]]]:
    """Route and content of each entity, packages before what is in them."""
    yield (
        "packages/alarms",
        {
            "publish": True,
            "annotations": [{"key": "description", "value": "Alarms and periodic utility"}],
            "parameters": [{"key": "trigger_payload", "value": ""}],
        },
    )
    code = files("sabayon.catalog").joinpath("alarms/feed.py").read_text()
    for name, (description, bound) in _FEEDS.items():
        yield (
            f"actions/alarms/{segment(name)}",
            {
                "exec": {"kind": "python:default", "code": code},
                "annotations": [{"key": "description", "value": description}, {"key": "feed", "value": True}],
                "parameters": [{"key": key, "value": value} for key, value in bound.items()],
                "limits": {"memory": _MEMORY_MB},
            },
        )


def _holds(current: Any, wanted: dict[str, Any]) -> bool:
    """Whether an entity says all that is wanted of it; it may say more."""
    for key, value in wanted.items():
        if key == "exec":
            if current.get("exec", {}).get("code") != value["code"]:
                return False
        elif key == "limits":
            if current.get("limits", {}).get("memory") != value["memory"]:
                return False
        elif isinstance(value, list):
            if any({"key": e["key"], "value": e["value"]} not in _pairs(current.get(key)) for e in value):
                return False
        elif current.get(key) != value:
            return False
    return True


def _pairs(entries: Any) -> list[dict[str, Any]]:
    return [{"key": entry.get("key"), "value": entry.get("value")} for entry in entries or []]
