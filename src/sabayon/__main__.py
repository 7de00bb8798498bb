"""`sabayon`: start the platform, and administer it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sabayon import __version__
from sabayon.admin import namespace
from sabayon.admin_letters import dead_letters
from sabayon.admin_limits import limits
from sabayon.admin_transfer import backup, export_, import_
from sabayon.errors import OperatorError
from sabayon.settings import load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sabayon")
def cli() -> None:
    """A self-hosted serverless platform that speaks Apache OpenWhisk."""


@cli.command()
@click.option("--host", help="address to listen on  [default: 127.0.0.1]")
@click.option("--port", type=int, help="port to listen on, 0 for a free one  [default: 3233]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="where everything that lasts is kept")
@click.option("--store", metavar="URL", help="postgresql://… of a database; without, all is in the data directory")
@click.option("--activation-retention", type=int, metavar="DAYS", help="how long records are kept  [default: 7]")
@click.option("--guest-key", metavar="UUID:KEY", help="key of the namespace guest, instead of a random one")
@click.option("--sandbox", help="isolation driver  [default: native]")
@click.option("--log-level", help="debug, info, warning or error  [default: info]")
@click.option("--config", type=click.Path(path_type=Path), help="settings file (TOML)")
def up(config: Path | None, **flags: Any) -> None:
    """Start the whole platform in one process; Ctrl-C stops it.

    Every setting, also those without a flag, can be given as the variable SABAYON_ and its name in upper case, such as
    SABAYON_DRAIN_S=30, or in a settings file, such as drain_s = 30. docs/operations.md lists them all.
    """
    from sabayon.standalone import serve

    settings = load_settings(flags, os.environ, config)
    sys.exit(serve(settings))


def on_bus(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every component that other hosts have as well."""
    for option in (
        click.option("--config", type=click.Path(path_type=Path), help="settings file (TOML)"),
        click.option("--log-level", help="debug, info, warning or error  [default: info]"),
        click.option("--data-dir", type=click.Path(path_type=Path), help="where this process keeps what is its own"),
        click.option("--store", metavar="URL", help="postgresql://… of the database that all processes share"),
        click.option("--installation", metavar="NAME", help="which installation on the bus  [default: main]"),
        click.option("--bus", metavar="URL", help="nats://HOST:PORT of the bus, several with commas"),
    ):
        function = option(function)
    return function


@cli.command()
@click.option("--host", help="address to listen on  [default: 127.0.0.1]")
@click.option("--port", type=int, help="port to listen on, 0 for a free one  [default: 3233]")
@click.option("--guest-key", metavar="UUID:KEY", help="key of the namespace guest, instead of a random one")
@on_bus
def controller(config: Path | None, **flags: Any) -> None:
    """Start a controller: the API, for actions that run on invokers; Ctrl-C stops it."""
    from sabayon.assembly import run
    from sabayon.controller_app import Controller

    sys.exit(run(load_settings(flags, os.environ, config), Controller))


@cli.command()
@click.option("--name", help="name of this invoker, the same after each start  [default: the host's]")
@click.option("--api", metavar="URL", help="http://HOST:PORT where actions reach the API  [default: nowhere]")
@click.option("--pool-memory-mb", type=int, help="memory limits of all containers  [default: half the machine's]")
@on_bus
def invoker(config: Path | None, **flags: Any) -> None:
    """Start an invoker, which runs actions for controllers; Ctrl-C drains it."""
    from sabayon.assembly import run
    from sabayon.invoker_app import InvokerHost

    sys.exit(run(load_settings(flags, os.environ, config), InvokerHost))


@cli.command()
@click.option("--host", help="address the platform would listen on  [default: 127.0.0.1]")
@click.option("--port", type=int, help="port it would listen on  [default: 3233]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="where it would keep everything that lasts")
@click.option("--store", metavar="URL", help="the database it would use, if not one in the data directory")
@click.option("--config", type=click.Path(path_type=Path), help="settings file (TOML)")
@click.option("--json", "is_json", is_flag=True, help="print JSON")
def doctor(config: Path | None, is_json: bool, **flags: Any) -> None:
    """Say what this machine lacks, and what follows.

    Exit code 0: the platform can start with full isolation; 1: with less; 2: it cannot start.
    """
    from sabayon.doctor import findings, probes, report

    found = findings.diagnose(probes.examine(load_settings(flags, os.environ, config)))
    click.echo(report.as_json(found) if is_json else report.as_text(found))
    sys.exit(findings.exit_code(findings.worst(found)))


namespace.add_command(limits)
for command in (namespace, dead_letters, export_, import_, backup):
    cli.add_command(command)


def main() -> None:
    """Entry point: an operator's mistake is one line on standard error and exit code 1."""
    try:
        cli(prog_name="sabayon")
    except OperatorError as error:
        click.echo(f"sabayon: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
