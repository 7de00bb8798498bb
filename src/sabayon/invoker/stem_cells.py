"""Which stem cells an operator wants: the classes of the setting `stem_cell_classes`, or the stock one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from sabayon.entity.limits import Bounds
from sabayon.entity.manifest import Manifest, manifest_of
from sabayon.errors import OperatorError
from sabayon.invoker.instructions import Cell
from sabayon.sandbox.base import Egress

STOCK_KIND: Final = "nodejs:default"
"""Python containers are forked faster than a stem cell is found."""

STOCK_MAXIMUM: Final = 4


class StemCells(NamedTuple):
    """One class of stem cells: how many at the start, and the values by which their number follows what is asked for.

    ttl_s: time between two checks, and how long one that is too many is left. The others are explained in `prewarm`.
    """

    cell: Cell
    initial: int
    minimum: int = 1
    maximum: int = STOCK_MAXIMUM
    ttl_s: float = 120.0
    threshold: int = 1
    increment: int = 1


_NAMES: Final = {"min": "minimum", "max": "maximum"}
_LEAST: Final = {"memory": 1, "initial": 0, "min": 0, "max": 0, "ttl_s": 1, "threshold": 1, "increment": 1}


def stem_cells_of(text: str, initial: int, kinds: Iterable[str], memory: Bounds, egress: Egress) -> list[StemCells]:
    """The classes of `text`, or the newest Node.js if it is empty; none if `initial` is 0.

    text: `KIND [memory=MB] [initial=N] [min=N] [max=N] [ttl_s=S] [threshold=N] [increment=N]`, the next after a `;`.
    initial, and the standard of memory: what holds where a class says nothing. Raises OperatorError.
    """
    if not initial:
        return []
    manifest = manifest_of(kinds)
    if not text.strip():
        stock = manifest.find(STOCK_KIND)
        return [_standard(Cell(stock.kind, memory.standard, egress), initial)] if stock else []
    classes = [
        _class_of(words, _standard(Cell("", memory.standard, egress), initial), manifest, memory)
        for words in map(str.split, text.split(";"))
        if words
    ]
    if len({each.cell for each in classes}) < len(classes):
        raise _wrong(f"there are two classes of one kind and memory in {text!r}")
    return classes


def _standard(cell: Cell, initial: int) -> StemCells:
    return StemCells(cell, initial, maximum=max(initial, STOCK_MAXIMUM))


def _class_of(words: list[str], standard: StemCells, manifest: Manifest, memory: Bounds) -> StemCells:
    kind, *pairs = words
    runtime = manifest.find(kind)
    if runtime is None:
        known = ", ".join(runtime.kind for runtime in manifest) or "none"
        raise _wrong(f"there is no kind {kind!r} on this machine; there is {known}")
    numbers = dict(map(_number, pairs))
    if "max" not in numbers:
        numbers["max"] = max(standard.maximum, numbers.get("initial", 0))
    cell = standard.cell._replace(kind=runtime.kind, memory_mb=numbers.pop("memory", standard.cell.memory_mb))
    values = standard._asdict() | {_NAMES.get(name, name): number for name, number in numbers.items()}
    wanted = StemCells(**values | {"cell": cell})
    if "initial" not in numbers:
        wanted = wanted._replace(initial=min(max(wanted.initial, wanted.minimum), wanted.maximum))
    if not memory.minimum <= cell.memory_mb <= memory.maximum:
        raise _wrong(f"memory must be from {memory.minimum} to {memory.maximum}, as for actions, not {cell.memory_mb}")
    if wanted.minimum > wanted.maximum:
        raise _wrong(f"min must not exceed max, as it does in {' '.join(words)!r}")
    if not wanted.minimum <= wanted.initial <= wanted.maximum:
        bounds = f"from min ({wanted.minimum}) to max ({wanted.maximum})"
        raise _wrong(f"initial must be {bounds}, not {wanted.initial} as in {' '.join(words)!r}")
    return wanted


def _number(pair: str) -> tuple[str, int]:
    name, _, text = pair.partition("=")
    least = _LEAST.get(name)
    if least is None:
        raise _wrong(f"{name!r} is not known; known are {', '.join(_LEAST)}")
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise _wrong(f"{name} must be a whole number from {least}, not {text!r}")
    return name, int(text)


def _wrong(text: str) -> OperatorError:
    return OperatorError(f"the setting stem_cell_classes: {text}")
