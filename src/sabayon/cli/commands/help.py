"""`wsk help`."""

from __future__ import annotations

from typing import Final

import click

from sabayon.cli.failures import CommandFailed
from sabayon.cli.grammar import Leaf
from sabayon.cli.style import say


def _help(*path: str) -> None:
    context = click.get_current_context().find_root()
    command: click.Command = context.command
    for name in path:
        found = command.get_command(context, name) if isinstance(command, click.Group) else None
        if found is None:
            raise CommandFailed(f'Unknown help topic "{" ".join(path)}"', is_hinted=True)
        context = click.Context(found, info_name=name, parent=context, obj=context.obj)
        command = found
    say(command.get_help(context))


COMMAND: Final = Leaf("help", _help, help="help about any command", arguments="[command]")
