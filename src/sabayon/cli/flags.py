"""The kinds of flags that commands have, and those that all of them accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from sabayon.cli.failures import CommandFailed, usage

_MAX_INT64: Final = 2**63 - 1


class Integer(click.ParamType[int]):
    """A 64 bit number, with the complaint scripts know."""

    name = "int"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value, 0) if isinstance(value, str) else int(value)
            if abs(number) <= _MAX_INT64:
                return number
        except ValueError:
            pass
        flags = ", ".join(param.opts) if param else ""
        text = f'strconv.ParseInt: parsing "{value}": invalid syntax'
        raise CommandFailed(f'invalid argument "{value}" for "{flags}" flag: {text}', is_plain=True)


INTEGER: Final = Integer()


def flag(*names: str, help: str) -> click.Option:
    """A boolean flag."""
    return click.Option(names, is_flag=True, help=help)


def text_flag(*names: str, metavar: str, help: str, default: str | None = None) -> click.Option:
    """A flag with a text. Given twice, the last counts."""
    return click.Option(names, metavar=metavar, help=help, default=default)


def integer_flag(*names: str, metavar: str, help: str, default: int | None = None) -> click.Option:
    """A flag with a number."""
    return click.Option(names, type=INTEGER, metavar=metavar, help=help, default=default)


def pair_flags(*names: str) -> list[click.Option]:
    """The key/value flags that the pre-scan consumes, declared for the help and for what it leaves over."""
    return [option for name in names for option in _PAIR_FLAGS[name]()]


_PAIR_FLAGS: Final[dict[str, Callable[[], list[click.Option]]]] = {
    "param": lambda: [
        _pair("-p", "--param", metavar="KEY VALUE", help="parameter value"),
        _pair("-P", "--param-file", metavar="FILE", help="file with parameter values as a JSON object"),
    ],
    "annotation": lambda: [
        _pair("-a", "--annotation", metavar="KEY VALUE", help="annotation value"),
        _pair("-A", "--annotation-file", metavar="FILE", help="file with annotation values as a JSON object"),
    ],
    "feed": lambda: [
        _pair("-F", "--feed-param", metavar="KEY VALUE", help="parameter value for the feed only"),
        _pair("-T", "--trigger-param", metavar="KEY VALUE", help="parameter value for the trigger only"),
    ],
}


def _pair(short: str, long: str, *, metavar: str, help: str) -> click.Option:
    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            what = "a key/value pair" if "VALUE" in metavar else "a file"
            raise usage(
                f"Failed to parse arguments: Arguments for '{long}' must be {what}, each an argument of its own"
            )

    return click.Option((short, long), metavar=metavar, help=help, callback=refuse, expose_value=False)


GLOBAL_NAMES: Final = ("apihost", "apiversion", "auth", "cert", "key", "insecure", "verbose", "debug", "show_secrets")


def global_options() -> list[click.Option]:
    """Accepted before and after every command."""
    return [
        text_flag("--apihost", metavar="HOST", help="whisk API HOST"),
        text_flag("--apiversion", metavar="VERSION", help="whisk API VERSION"),
        text_flag("-u", "--auth", metavar="KEY", help="authorization KEY"),
        text_flag("--cert", metavar="FILE", help="client cert"),
        text_flag("--key", metavar="FILE", help="client key"),
        flag("-i", "--insecure", help="bypass certificate checking"),
        flag("-v", "--verbose", help="verbose output"),
        flag("-d", "--debug", help="debug level output"),
        flag("--show-secrets", help="show keys and passwords in verbose output"),
    ]
