"""The annotations behind `--web` and `--web-secure`. Pure."""

from __future__ import annotations

import secrets
from typing import Any, Final

from sabayon.cli.artifact import WRONG
from sabayon.cli.failures import USAGE, CommandFailed
from sabayon.cli.models import annotation
from sabayon.cli.values import Number

SECURE: Final = "require-whisk-auth"
_MODES: Final = {
    "true": (True, False, True),
    "yes": (True, False, True),
    "raw": (True, True, True),
    "false": (False, False, False),
    "no": (False, False, False),
}
_KEYS: Final = ("web-export", "raw-http", "final")
_MAX_SECRET: Final = 2**53 - 1

Entries = list[dict[str, Any]]


def annotations_for(
    given: Entries, *, web: str | None, web_secure: str | None, existing: Any
) -> tuple[Entries | None, list[str]]:
    """The annotations to send, None for none, and the keys to delete.

    given: from the command line. existing: the action that is updated, or None. Raises CommandFailed.
    """
    if web is None and web_secure is None:
        return given or None, []
    mode = _mode(web)
    kept = given or [dict(entry) for entry in (existing or {}).get("annotations") or []]
    if web is not None:
        secret = annotation(existing, SECURE)
        if given and secret is not None and not any(entry["key"] == SECURE for entry in kept):
            kept.append({"key": SECURE, "value": secret})
        kept = [entry for entry in kept if entry["key"] not in _KEYS]
        kept += [{"key": key, "value": value} for key, value in zip(_KEYS, mode or (), strict=True)]
    if web_secure is None:
        return kept, []
    is_web = mode[0] if mode else annotation(existing, "web-export") is True
    if not is_web:
        raise _misuse("The --web-secure option is only valid when the --web option is enabled.")
    return _secured(kept, web_secure, existing)


def _secured(entries: Entries, wish: str, existing: Any) -> tuple[Entries, list[str]]:
    old = annotation(existing, SECURE)
    others = [entry for entry in entries if entry["key"] != SECURE]
    if wish.lower() == "false":
        return (others, [SECURE]) if existing else ([*others, {"key": SECURE, "value": False}], [])
    value: object = wish
    if wish.lower() == "true":
        value = (
            old if isinstance(old, Number | int) and not isinstance(old, bool) else secrets.randbelow(_MAX_SECRET + 1)
        )
    return [*others, {"key": SECURE, "value": value}], []


def check_mode(web: str | None) -> None:
    """Raises CommandFailed when `--web` has none of the words it may have."""
    _mode(web)


def _mode(web: str | None) -> tuple[bool, bool, bool] | None:
    if web is None:
        return None
    mode = _MODES.get(web.lower())
    if mode is None:
        raise _misuse(
            f"Invalid argument '{web}' for --web flag. Valid input consist of 'yes', 'true', 'raw', 'false', or 'no'."
        )
    return mode


def _misuse(text: str) -> CommandFailed:
    return CommandFailed(WRONG + text, USAGE, is_hinted=True)
