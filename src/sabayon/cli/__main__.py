"""Entry point of `wsk`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from sabayon.cli import prescan
from sabayon.cli.failures import GENERAL, HINT, CommandFailed
from sabayon.cli.grammar import Root
from sabayon.cli.style import complain, red

_MODULES = {
    "action": "work with actions",
    "activation": "work with activations",
    "completion": "print a shell's completion script",
    "help": "help about any command",
    "list": "list entities in the current namespace",
    "namespace": "work with namespaces",
    "package": "work with packages",
    "property": "work with whisk properties",
    "rule": "work with rules",
    "trigger": "work with triggers",
}


def root() -> Root:
    """The command tree; modules are imported when their command is used."""
    commands = {name: (f"sabayon.cli.commands.{name}", summary) for name, summary in _MODULES.items()}
    return Root(
        "wsk", help="Apache OpenWhisk command line, for Sabayon and every other OpenWhisk API.", commands=commands
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        pairs, rest = prescan.scan(arguments)
        state: dict[str, Any] = {"pairs": pairs}
        root().main(rest, prog_name="wsk", standalone_mode=False, obj=state)
    except CommandFailed as failure:
        _report(failure)
        return failure.exit_code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        complain(error.format_message())
        return GENERAL
    except RecursionError:
        _report(CommandFailed("JSON is nested too deeply"))
        return GENERAL
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return 0


def main() -> None:
    """Run the process's command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        code = 128 + signal.SIGPIPE
    except OSError as error:
        _forget_output()
        _report(CommandFailed(error.strerror or str(error)))
        code = GENERAL
    sys.exit(code)


def _forget_output() -> None:
    """Nobody reads it, or it has no room: what is still buffered must not fail once more when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(failure: CommandFailed) -> None:
    if failure.text:
        complain(failure.text if failure.is_plain else f"{red('error: ')}{failure.text}")
    if failure.is_hinted:
        complain(HINT)


if __name__ == "__main__":
    main()
