"""From what the function did to a reply: a status and JSON. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sabayon.runtimes.python.output import trace

EXITED: Final = "command exited"
NO_RESULT: Final = "The action did not return a dictionary or array."
TOO_DEEP: Final = "The arguments of the action are nested too deeply."

Reply = tuple[int, bytes]

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decoder = json.JSONDecoder()

Tell = Callable[[str], None]
"""Puts a text into the log of the activation."""


def request_of(body: bytes) -> Any:
    """What the platform asks: JSON without white space around it. Raises RecursionError."""
    return _decoder.raw_decode(body.decode())[0]


def failure(status: int, text: str) -> Reply:
    return status, json.dumps({"error": text}).encode()


def raised(error: BaseException, tell: Tell) -> Reply:
    """The function has raised: that is a result, whose traceback is in the log."""
    tell(trace(error))
    return 200, _encode({"error": _message(error)})


def returned(result: Any, tell: Tell) -> Reply:
    """The function has returned, hopefully what JSON can express."""
    if not isinstance(result, dict | list | tuple):
        tell(f"The action returned {type(result).__name__}, not a dictionary or a list.")
        return failure(502, NO_RESULT)
    try:
        return 200, _encode(result)
    except Exception as error:  # the action's own classes take part in it
        tell(f"The result of the action is not JSON: {_message(error)}")
        return failure(502, NO_RESULT)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the action's own exception may fail to describe itself
        return type(error).__name__


def _encode(value: Any) -> bytes:
    """JSON in UTF-8. Lone surrogates, which UTF-8 cannot hold, are escaped."""
    text = _encoder.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def text_of(item: Any) -> str:
    """A value as the environment holds it."""
    return item if isinstance(item, str) else json.dumps(item)
