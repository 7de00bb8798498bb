"""`wsk completion`: scripts by Click's own completion."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from sabayon.cli.failures import usage
from sabayon.cli.grammar import Leaf
from sabayon.cli.style import say

_SHELLS: Final = ("bash", "fish", "zsh")


def _completion(shell: str) -> None:
    found = get_completion_class(shell)
    if found is None or shell not in _SHELLS:
        raise usage(f"There is no completion for '{shell}'. Valid values are: {', '.join(_SHELLS)}.")
    root = click.get_current_context().find_root().command
    say(found(root, {}, "wsk", "_WSK_COMPLETE").source())


COMMAND: Final = Leaf(
    "completion",
    _completion,
    help="print the completion script of a shell: wsk completion bash >> ~/.bashrc",
    arguments="SHELL",
    positionals=(1, 1, f"A shell is required: {', '.join(_SHELLS)}."),
)
