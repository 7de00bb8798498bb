"""Key/value arguments, taken out of the command line before flags are parsed.

`-p KEY VALUE` consumes two arguments whatever they look like, at any position and for every
command; the flag parser sees only what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sabayon.cli.failures import GENERAL, USAGE, CommandFailed, usage
from sabayon.cli.values import parse_first, typed_value

_FAILED: Final = "Failed to parse arguments: "
_SINGLE: Final = {
    "-p": "parameters",
    "--param": "parameters",
    "-a": "annotations",
    "--annotation": "annotations",
    "-F": "feed_parameters",
    "--feed-param": "feed_parameters",
    "-T": "trigger_parameters",
    "--trigger-param": "trigger_parameters",
}
_FILES: Final = {
    "-P": "parameters",
    "--param-file": "parameters",
    "-A": "annotations",
    "--annotation-file": "annotations",
}
_CLAUSES: Final = {
    "parameters": "The parameter arguments are invalid: ",
    "annotations": "The annotation arguments are invalid: ",
}

ReadFile = Callable[[str], str]


class KeyValues:
    """Pairs and documents in the order they were given. Documents are read at once and understood on use."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._given: list[tuple[str, str] | str] = []

    def __bool__(self) -> bool:
        return bool(self._given)

    def add_pair(self, key: str, value: str) -> None:
        self._given.append((key, value))

    def add_document(self, text: str) -> None:
        self._given.append(text)

    def values(self, prefix: str = "") -> dict[str, Any]:
        """All of them, the later of two with the same key. Raises CommandFailed, its text after `prefix`."""
        merged: dict[str, Any] = {}
        for given in self._given:
            if isinstance(given, tuple):
                merged[given[0]] = typed_value(given[1])
            else:
                merged.update(self._document(given, prefix))
        return merged

    def entries(self, prefix: str = "") -> list[dict[str, Any]]:
        """The same as key/value objects, as entities hold them."""
        return [{"key": key, "value": value} for key, value in self.values(prefix).items()]

    def _document(self, text: str, prefix: str) -> dict[str, Any]:
        try:
            document = parse_first(text)
            if document is None:
                return {}
            if not isinstance(document, dict):
                raise ValueError("the document must be a JSON object")
        except ValueError as error:
            shown = text.strip().replace('"', '\\"')[:200]
            message = f"{prefix}Invalid {self._noun} argument '[]string{{\"{shown}\"}}': {error}"
            raise usage(message) from error
        return document


@dataclass
class Pairs:
    """What the scan found."""

    parameters: KeyValues = field(default_factory=lambda: KeyValues("parameter"))
    annotations: KeyValues = field(default_factory=lambda: KeyValues("annotation"))
    feed_parameters: KeyValues = field(default_factory=lambda: KeyValues("parameter"))
    trigger_parameters: KeyValues = field(default_factory=lambda: KeyValues("parameter"))


def scan(arguments: Sequence[str], read_file: ReadFile | None = None) -> tuple[Pairs, list[str]]:
    """The pairs, and the arguments that are left. Raises CommandFailed."""
    pairs, rest = Pairs(), []
    remaining = iter(arguments)
    for argument in remaining:
        if argument in _SINGLE:
            name = _SINGLE[argument]
            key, value = next(remaining, None), next(remaining, None)
            if key is None or value is None:
                text = f"{_CLAUSES.get(name, '')}Arguments for '{argument}' must be a key/value pair"
                raise usage(_FAILED + text)
            getattr(pairs, name).add_pair(key, value)
        elif argument in _FILES:
            name = _FILES[argument]
            path = next(remaining, None)
            if path is None:
                raise usage(f"{_FAILED}{_CLAUSES[name]}An argument must be provided for '{argument}'")
            getattr(pairs, name).add_document((read_file or _read_file)(path))
        else:
            rest.append(argument)
    return pairs, rest


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError as error:
        text = f"{_FAILED}File '{path}' is not a valid file or it does not exist"
        raise CommandFailed(text, USAGE, is_hinted=True) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"{_FAILED}Unable to read the file '{path}': read {path}: {reason}"
        raise CommandFailed(text, GENERAL, is_hinted=True) from error
