"""The package `/whisk.system/alarms`: three feeds that share one source, which runs in sandboxes, not here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

_FEED_MEMORY_MB: Final = 128
_TRIGGER_PAYLOAD: Final = {
    "name": "trigger_payload",
    "required": False,
    "description": "What the trigger is fired with",
}
_START_AND_STOP: Final = (
    {"name": "startDate", "required": False, "description": "When to begin: epoch ms or ISO 8601"},
    {"name": "stopDate", "required": False, "description": "When to end: epoch ms or ISO 8601"},
)
_FEEDS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "alarm",
        "description": "Fire trigger when alarm occurs",
        "bound": {},
        "parameters": (
            {"name": "cron", "required": True, "description": "Five fields, or six with seconds first"},
            {"name": "timezone", "required": False, "description": "IANA name of the zone that cron is read in"},
            _TRIGGER_PAYLOAD,
            *_START_AND_STOP,
            {"name": "strict", "required": False, "description": "Whether to fire at the start of the minute"},
            {"name": "maxTriggers", "required": False, "description": "How often to fire, -1 for ever"},
        ),
        "sample": {"cron": "0 9 * * 1-5", "timezone": "Europe/Rome", "trigger_payload": {"to": "wake up"}},
    },
    {
        "name": "once",
        "description": "Fire trigger once when alarm occurs",
        "bound": {"fireOnce": True},
        "parameters": (
            {"name": "date", "required": True, "description": "When to fire: epoch ms or ISO 8601"},
            {
                "name": "deleteAfterFire",
                "required": False,
                "description": "What to delete afterwards: nothing (false), the trigger (true), its rules too (rules)",
            },
            _TRIGGER_PAYLOAD,
        ),
        "sample": {"date": "2040-01-01T00:00:00Z", "deleteAfterFire": "rules"},
    },
    {
        "name": "interval",
        "description": "Fire trigger at specified interval",
        "bound": {"isInterval": True},
        "parameters": (
            {"name": "minutes", "required": True, "description": "Time between two fires, a whole number"},
            _TRIGGER_PAYLOAD,
            *_START_AND_STOP,
        ),
        "sample": {"minutes": 5},
    },
)


def entities() -> Iterator[tuple[str, dict[str, Any]]]:
    """Route below the namespace and content of each entity, the package first."""
    description = {"key": "description", "value": "Alarms and periodic utility"}
    parameters = [{"key": "trigger_payload", "value": ""}]
    yield "packages/alarms", {"publish": True, "annotations": [description], "parameters": parameters}
    code = files(__name__).joinpath("feed.py").read_text(encoding="utf-8")
    for feed in _FEEDS:
        yield f"actions/alarms/{feed['name']}", _action(feed, code)


def _action(feed: dict[str, Any], code: str) -> dict[str, Any]:
    annotations = {
        "description": feed["description"],
        "parameters": feed["parameters"],
        "sampleInput": feed["sample"],
        "sampleOutput": {"status": "success"},
        "feed": True,
    }
    return {
        "exec": {"kind": "python:default", "code": code},
        "annotations": _entries(annotations),
        "parameters": _entries(feed["bound"]),
        "limits": {"memory": _FEED_MEMORY_MB},
    }


def _entries(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": list(value) if isinstance(value, tuple) else value} for key, value in values.items()]
