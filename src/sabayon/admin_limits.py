"""`sabayon namespace limits …`: what holds for one namespace instead of the platform's settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click
import msgspec

from sabayon.admin import Place, changing, existing, on_identities, with_place
from sabayon.entity.identity import Identity
from sabayon.entity.limits import MB, EffectiveLimits, NamespaceLimits, effective_limits
from sabayon.errors import OperatorError
from sabayon.settings import load_settings

MAX_LIMIT: Final = 2**31 - 1
"""Above it some clients cannot read the number."""

_UNITS: Final = {"B": 1, "KB": 1024, "MB": MB, "GB": 1024 * MB}


def size(text: str) -> int:
    """Bytes, written `<n>` or `<n> <unit>`. Raises click.BadParameter."""
    match = re.fullmatch(r"(\d{1,10}) ?([KMG]?B)?", text, re.ASCII | re.IGNORECASE)
    if match is None or (size_bytes := int(match[1]) * _UNITS[(match[2] or "B").upper()]) > MAX_LIMIT:
        raise click.BadParameter(f"{text!r} is not a size such as 1048576, 512KB or 1MB")
    return size_bytes


def kinds(text: str) -> tuple[str, ...]:
    """Kinds of runtimes, separated by commas."""
    return tuple(kind for kind in text.replace(" ", "").split(",") if kind)


class Limit(NamedTuple):
    """One limit a namespace can have of its own.

    field: of NamespaceLimits. type: from text to its value. shown: its value in force, as text.
    """

    field: str
    type: Callable[[str], Any]
    help: str
    shown: Callable[[EffectiveLimits, NamespaceLimits], str]

    @property
    def option(self) -> str:
        return self.field.replace("_", "-")


_COUNT: Final = click.IntRange(0, MAX_LIMIT)

LIMITS: Final = (
    Limit("invocations_per_minute", _COUNT, "invocations a minute", lambda e, _: f"{e.invocations_per_minute}"),
    Limit("concurrent_invocations", _COUNT, "invocations in flight", lambda e, _: f"{e.concurrent_invocations}"),
    Limit("fires_per_minute", _COUNT, "trigger fires a minute", lambda e, _: f"{e.fires_per_minute}"),
    Limit("min_action_timeout", _COUNT, "least time limit of an action, ms", lambda e, _: f"{e.timeout_ms.minimum} ms"),
    Limit(
        "max_action_timeout", _COUNT, "greatest time limit of an action, ms", lambda e, _: f"{e.timeout_ms.maximum} ms"
    ),
    Limit("min_action_memory", _COUNT, "least memory limit of an action, MB", lambda e, _: f"{e.memory_mb.minimum} MB"),
    Limit(
        "max_action_memory", _COUNT, "greatest memory limit of an action, MB", lambda e, _: f"{e.memory_mb.maximum} MB"
    ),
    Limit("min_action_logs", _COUNT, "least log limit of an action, MB", lambda e, _: f"{e.logs_mb.minimum} MB"),
    Limit("max_action_logs", _COUNT, "greatest log limit of an action, MB", lambda e, _: f"{e.logs_mb.maximum} MB"),
    Limit(
        "min_action_concurrency",
        _COUNT,
        "least number of activations at once in one container",
        lambda e, _: f"{e.concurrency.minimum}",
    ),
    Limit(
        "max_action_concurrency",
        _COUNT,
        "greatest number of activations at once in one container",
        lambda e, _: f"{e.concurrency.maximum}",
    ),
    Limit("max_parameter_size", size, "greatest parameters of one entity", lambda e, _: f"{e.parameters_bytes} B"),
    Limit(
        "max_payload_size", size, "greatest argument and result of an activation", lambda e, _: f"{e.payload_bytes} B"
    ),
    Limit(
        "truncation_size",
        size,
        "how much of a result that is too long is kept",
        lambda e, _: f"{e.truncation_bytes} B",
    ),
    Limit("allowed_kinds", kinds, "the only kinds its actions may have", lambda _, own: _kinds(own)),
    Limit(
        "store_activations",
        click.BOOL,
        "whether records of its activations are kept",
        lambda e, _: "yes" if e.store_activations else "no",
    ),
    Limit(
        "warmed_container_keeping_count",
        _COUNT,
        "idle containers of an action that outlive the keep-alive time",
        lambda e, _: f"{e.kept_warm.count}",
    ),
    Limit(
        "warmed_container_keeping_timeout",
        _COUNT,
        "seconds by which they do",
        lambda e, _: f"{e.kept_warm.extra_s:g} s",
    ),
)


def _kinds(own: NamespaceLimits) -> str:
    return "all" if own.allowed_kinds is None else ",".join(own.allowed_kinds) or "none"


def with_limits(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each limit."""
    for limit in reversed(LIMITS):
        function = click.option(f"--{limit.option}", limit.field, type=limit.type, help=limit.help)(function)
    return function


@click.group()
def limits() -> None:
    """Limits of namespaces."""


@limits.command("get")
@click.argument("name")
@with_place
def limits_get(name: str, place: Place) -> None:
    """Print the limits in force for a namespace, those it overrides marked."""
    own = on_identities(place, lambda identities: existing(identities, name)).limits
    effective = effective_limits(load_settings({}, os.environ).system_limits(), own)
    for limit in LIMITS:
        note = "" if getattr(own, limit.field) is None else "\t(override)"
        click.echo(f"{limit.option}\t{limit.shown(effective, own)}{note}")


@limits.command("set")
@click.argument("name")
@with_limits
@with_place
def limits_set(name: str, place: Place, **given: Any) -> None:
    """Override limits of a namespace; those not given stay as they are.

    What exceeds the platform's own limit counts as that; only rates can be higher.
    """
    mentioned = {field: value for field, value in given.items() if value is not None}
    if not mentioned:
        raise OperatorError("no limit given; see: sabayon namespace limits set --help")
    _change(place, name, lambda own: msgspec.structs.replace(own, **mentioned))


@limits.command("reset")
@click.argument("name")
@click.argument("limit", nargs=-1, type=click.Choice([limit.option for limit in LIMITS]))
@with_place
def limits_reset(name: str, limit: tuple[str, ...], place: Place) -> None:
    """Take overrides back: those of each LIMIT, or all."""
    fields = [one.field for one in LIMITS if not limit or one.option in limit]
    _change(place, name, lambda own: msgspec.structs.replace(own, **dict.fromkeys(fields)))


def _change(place: Place, name: str, change: Callable[[NamespaceLimits], NamespaceLimits]) -> None:
    def changed(identity: Identity) -> Identity:
        return msgspec.structs.replace(identity, limits=change(identity.limits))

    changing(place, name, changed)
    click.echo(f"updated limits of {name}")
