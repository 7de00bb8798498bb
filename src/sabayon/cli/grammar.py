"""Click, taught the command tree, the help layout and the errors that users of `wsk` know."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Final

import click

from sabayon.cli.failures import CommandFailed, usage
from sabayon.cli.flags import GLOBAL_NAMES, global_options
from sabayon.cli.style import complain

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
_CONTEXT: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 200}


class _Grammar(click.Command):
    """What leaves and groups have in common."""

    own: Sequence[click.Option] = ()
    usage_line = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, list(self._normalised(ctx, args)))
        except click.NoSuchOption as error:
            raise self._unknown_flag(error, args) from error
        except click.BadOptionUsage as error:
            raise CommandFailed(f"flag needs an argument: {_shown(error.option_name, args)}", is_plain=True) from error
        given = ctx.obj.setdefault("globals", {})
        own_names = {option.name for option in self.own}
        for name in GLOBAL_NAMES:
            if name not in own_names and (value := ctx.params.pop(name, None)):
                given[name] = value
        return rest

    def _normalised(self, ctx: click.Context, args: Sequence[str]) -> Iterator[str]:
        """`-f=value` and `--flag=false` in a form that Click reads."""
        takes_value = {name: not getattr(p, "is_flag", False) for p in self.get_params(ctx) for name in p.opts}
        remaining = iter(args)
        for token in remaining:
            if token == "--" or (not token.startswith("-") and isinstance(self, click.Group)):
                yield token
                yield from remaining
                return
            if token.startswith("--") and "=" in token:
                name, _, value = token.partition("=")
                if takes_value.get(name) is not False:
                    yield from (name, value)
                elif _boolean(value, name):
                    yield name
            elif len(token) > 1 and token[0] == "-" and token[1] != "-":
                yield from self._short(token, takes_value, remaining)
            else:
                yield token
                if takes_value.get(token) and (following := next(remaining, None)) is not None:
                    yield following

    def _short(self, token: str, takes_value: dict[str, bool], remaining: Iterator[str]) -> Iterator[str]:
        for index, letter in enumerate(token[1:], 1):
            rest = token[index + 1 :]
            if takes_value.get(f"-{letter}"):
                yield f"-{letter}"
                value = rest.removeprefix("=") if rest else next(remaining, None)
                if value is not None:
                    yield value
                return
            if rest.startswith("="):
                if _boolean(rest[1:], f"-{letter}"):
                    yield f"-{letter}"
                return
            yield f"-{letter}"

    def _unknown_flag(self, error: click.NoSuchOption, args: Sequence[str]) -> CommandFailed:
        name = error.option_name
        if name.startswith("--"):
            return CommandFailed(f"unknown flag: {name}", is_plain=True)
        return CommandFailed(f"unknown shorthand flag: {name[1]!r} in {_bundle(name, args)}", is_plain=True)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        help_option = self.get_help_option(ctx)
        own = [*self.own, *([help_option] if help_option else [])]
        inherited = [p for p in self.params if isinstance(p, click.Option) and p not in self.own]
        for title, options in (("Flags", own), ("Global Flags", inherited)):
            rows = [row for option in sorted(options, key=_long_name) if (row := _help_row(option, ctx))]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=40)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("Usage:\n")
        formatter.write(f"  {ctx.command_path} {self.usage_line}\n")


class Leaf(_Grammar):
    """A command. positionals: (least, most, what is said when it is otherwise)."""

    def __init__(
        self,
        name: str,
        run: Callable[..., None],
        *,
        help: str,
        arguments: str = "",
        positionals: tuple[int, int, str] = (0, 10_000, ""),
        options: Sequence[click.Option] = (),
    ) -> None:
        self.own = tuple(options)
        names = {option.name for option in options}
        inherited = [option for option in global_options() if option.name not in names]
        arguments_param = click.Argument(("arguments",), nargs=-1, type=click.UNPROCESSED)
        super().__init__(
            name,
            params=[*options, *inherited, arguments_param],
            help=help,
            context_settings=_CONTEXT,
            callback=self._checked,
        )
        self._run = run
        self._positionals = positionals
        self.usage_line = f"{arguments} [flags]".strip()

    def _checked(self, arguments: tuple[str, ...], **flags: Any) -> None:
        from sabayon.cli.context import check_connection

        least, most, requirement = self._positionals
        context = click.get_current_context()
        check_connection(context)
        if len(arguments) < least:
            raise usage(f"Invalid argument(s). {requirement}")
        if len(arguments) > most:
            raise usage(f"Invalid argument(s): {', '.join(arguments[most:])}. {requirement}")
        self._run(*arguments, **flags)


class Group(_Grammar, click.Group):
    """A group that loads its commands' modules on use. commands: name → (module, attribute, summary)."""

    usage_line = "[command]"

    def __init__(self, name: str, *, help: str, commands: dict[str, tuple[str, str]] | None = None) -> None:
        super().__init__(
            name,
            params=list(global_options()),
            help=help,
            context_settings=_CONTEXT,
            invoke_without_command=True,
            callback=_help_without_command,
        )
        self._lazy = commands or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._lazy})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self._lazy and name not in self.commands:
            self.add_command(import_module(self._lazy[name][0]).COMMAND, name)
        return self.commands.get(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is not None:
            return args[0], command, args[1:]
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=3, cutoff=0.6)
        self.unknown_command(ctx, args[0], near)
        click.echo(ctx.get_help())
        raise click.exceptions.Exit(0)

    def unknown_command(self, ctx: click.Context, name: str, near: list[str]) -> None:
        """A group shows its help and succeeds, as ever; what was meant is told besides."""
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        complain(f'unknown command "{name}" for "{ctx.command_path}".{meant}')

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Available Commands"):
            formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _Grammar.format_options(self, ctx, formatter)
        formatter.write_paragraph()
        formatter.write(f'Use "{ctx.command_path} [command] --help" for more information about a command.\n')

    def _summary(self, name: str) -> str:
        if name in self._lazy:
            return self._lazy[name][1]
        return self.commands[name].get_short_help_str(100)


class Root(Group):
    """`wsk` itself: here an unknown command is an error."""

    def unknown_command(self, ctx: click.Context, name: str, near: list[str]) -> None:
        complain(f'Error: unknown command "{name}" for "wsk"')
        if near:
            complain("\nDid you mean this?\n" + "".join(f"\t{command}\n" for command in near))
        raise CommandFailed(f'Run \'wsk --help\' for usage.\nunknown command "{name}" for "wsk"', is_plain=True)

    def _unknown_flag(self, error: click.NoSuchOption, args: Sequence[str]) -> CommandFailed:
        failure = super()._unknown_flag(error, args)
        return CommandFailed(f"Error: {failure.text}\n{failure.text}", is_plain=True)


def group_of(name: str, help: str, *commands: Leaf) -> Group:
    """A group with all its commands."""
    group = Group(name, help=help)
    for command in commands:
        group.add_command(command)
    return group


def _help_without_command() -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _boolean(value: str, name: str) -> bool:
    if value not in _TRUE and value not in _FALSE:
        text = f'strconv.ParseBool: parsing "{value}": invalid syntax'
        raise CommandFailed(f'invalid argument "{value}" for "{name}" flag: {text}', is_plain=True)
    return value in _TRUE


def _shown(name: str, args: Sequence[str]) -> str:
    """A flag as the complaint about its missing value names it."""
    return name if name.startswith("--") else f"{name[1]!r} in {_bundle(name, args)}"


def _bundle(name: str, args: Sequence[str]) -> str:
    """The token in which a short flag stood, without the flags that were read before it."""
    bundle = next((arg for arg in args if arg[:1] == "-" and arg[1:2] != "-" and name[1] in arg[1:]), name)
    return f"-{bundle[bundle.index(name[1]) :]}"


def _long_name(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-")


def _help_row(option: click.Option, ctx: click.Context) -> tuple[str, str] | None:
    if option.hidden:
        return None
    names = sorted(option.opts, key=len)
    shown = ", ".join(names) if len(names) > 1 or len(names[0]) == 2 else f"    {names[0]}"
    if not option.is_flag and option.metavar:
        shown += f" {option.metavar}"
    default = option.default
    has_default = not option.is_flag and isinstance(default, int | str) and default not in ("", 0)
    return shown, (option.help or "") + (f" (default {default})" if has_default else "")
