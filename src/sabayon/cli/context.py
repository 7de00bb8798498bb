"""What commands share during one run."""

from __future__ import annotations

import os
from typing import Any, cast

import click

from sabayon.cli.prescan import Pairs
from sabayon.cli.properties import Config, properties_path, read_properties, resolve
from sabayon.cli.session import Session, check_host


def session() -> Session:
    """The run's session."""
    state = _state()
    if "session" not in state:
        state["session"] = Session(config())
    return cast(Session, state["session"])


def config() -> Config:
    """The run's settings, from flags, environment and file."""
    return resolve(_state().get("globals", {}), os.environ, read_properties(properties_path(os.environ)))


def pairs() -> Pairs:
    """The run's key/value arguments."""
    return cast(Pairs, _state()["pairs"])


def check_connection(context: click.Context) -> None:
    """Raises CommandFailed unless the command can reach a server, or needs none."""
    if context.command_path.split()[1:2] not in (["property"], ["completion"], ["help"]):
        check_host(config())


def _state() -> dict[str, Any]:
    return cast(dict[str, Any], click.get_current_context().find_root().obj)
