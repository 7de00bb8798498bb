"""How activations are listed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sabayon.cli.models import annotation
from sabayon.cli.style import bold
from sabayon.cli.values import integer

_LAST_MS: Final = 253_402_000_000_000
"""Late in the year 9999."""
_STATUSES: Final = ("success", "application error", "developer error", "internal error")


def activation_table(items: Sequence[Any]) -> Iterator[str]:
    """Header and rows; two columns are as wide as what they hold."""
    kinds = [str(annotation(item, "kind", "unknown")) for item in items]
    statuses = [_status(item) for item in items]
    kind_width = max(4, *(len(kind) for kind in kinds))
    status_width = max(7, *(len(status) for status in statuses))
    yield bold(
        f"{'Datetime':<19} {'Activation ID':<32} {'Kind':<{kind_width}} {'Start':<6}{'Duration':<10} "
        f"{'Status':<{status_width}} {'Entity':<6}"
    )
    for item, kind, status in zip(items, kinds, statuses, strict=True):
        started = local_time(integer(item.get("start")))
        begin = "warm" if annotation(item, "initTime") is None else "cold"
        activation_id = f"{item.get('activationId', '')!s:<32}"
        yield (
            f"{started:%Y-%m-%d %H:%M:%S} {bold(activation_id)} {kind:<{kind_width}} "
            f"{begin:<5} {_duration(item):<10} {status:<{status_width}} {_entity(item)}"
        )


def go_duration(ms: int) -> str:
    """`137ms`, `2.5s`, `1h0m2.5s`."""
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 1000}.{rest % 1000:03d}".rstrip("0").rstrip(".")
    prefix = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{prefix}{seconds}s"


def local_time(ms: int) -> datetime:
    """Milliseconds since 1970 in the zone of the user; what no calendar holds becomes the nearest day that it does."""
    return datetime.fromtimestamp(min(max(ms, 0), _LAST_MS) / 1000).astimezone()


def go_time(moment: datetime) -> str:
    """`2023-11-14 22:13:21 +0000 UTC`."""
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def shortened(text: str, width: int) -> str:
    """The middle left out of what is longer than `width`."""
    if len(text) <= width:
        return text
    head = width // 2
    tail = len(text) - head + 3
    return f"{text[: head + width % 2]}...{text[tail:]}"


def _status(item: Any) -> str:
    code = integer(item.get("statusCode"))
    return _STATUSES[code] if 0 <= code < len(_STATUSES) else _STATUSES[0]


def _duration(item: Any) -> str:
    if not integer(item.get("duration")):
        return "0s"
    return go_duration(max(0, integer(item.get("end")) - integer(item.get("start"))))


def _entity(item: Any) -> str:
    namespace, name = str(item.get("namespace", "")), str(item.get("name", ""))
    return f"{shortened(namespace, 20)}/{shortened(name, 30)}:{shortened(str(item.get('version', '')), 20)}"
