"""What goes to the terminal: colours when it is one, plain text when it is not."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from sabayon.cli.values import pretty


@cache
def has_colour() -> bool:
    """Whether standard output is a terminal that shows colours, and its user wants them."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def bold(text: object) -> str:
    return f"\x1b[1m{text}\x1b[0m" if has_colour() else str(text)


def green(text: str) -> str:
    return f"\x1b[32m{text}\x1b[0m" if has_colour() else text


def red(text: str) -> str:
    return f"\x1b[31m{text}\x1b[0m" if has_colour() else text


def say(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """A line on standard error."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


def ok(text: str) -> str:
    """The line of a success."""
    return f"{green('ok:')} {text}"


def say_ok(text: str) -> None:
    say(ok(text))


def say_json(value: Any, *, sort: bool = False) -> None:
    """Indented JSON on standard output."""
    say(pretty(value, sort=sort))


def heading(text: str) -> None:
    """The first line of a table; its line break is part of what is bold."""
    sys.stdout.write(bold(f"{text}\n"))
