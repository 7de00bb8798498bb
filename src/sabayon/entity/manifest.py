"""The runtimes manifest: which kinds exist, and what a family's default is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

SEQUENCE: Final = "sequence"
BLACKBOX: Final = "blackbox"


class Runtime(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One kind, as `GET /` lists it. `image` names the interpreter where no container image is involved."""

    attached: bool = True
    default: bool = False
    deprecated: bool = False
    image: str
    kind: str
    require_main: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """Families of runtimes, each with exactly one default."""

    families: dict[str, tuple[Runtime, ...]]

    def __iter__(self) -> Iterator[Runtime]:
        return (runtime for family in self.families.values() for runtime in family)

    def learn(self, kinds: Iterable[str]) -> None:
        """Be the manifest of what can run `kinds`: hosts have come or gone."""
        self.families.clear()
        self.families.update(manifest_of(kinds).families)

    def find(self, kind: str) -> Runtime | None:
        """The runtime of a concrete kind or of `<family>:default`; a bare family is no kind."""
        family, _, version = kind.partition(":")
        for runtime in self.families.get(family, ()):
            if runtime.kind == kind or (version == "default" and runtime.default):
                return runtime
        return None

    def kinds(self) -> list[str]:
        """Every kind an action may have, intrinsic ones included, aliases not."""
        return [*(runtime.kind for runtime in self), SEQUENCE, BLACKBOX]


def manifest_of(kinds: Iterable[str]) -> Manifest:
    """The manifest of a host that can run `kinds`; the highest version of a family is its default."""
    families: dict[str, list[str]] = {}
    for kind in sorted(kinds, key=_version_key):
        families.setdefault(kind.partition(":")[0], []).append(kind)
    return Manifest({family: _runtimes(family, versions) for family, versions in sorted(families.items())})


def _runtimes(family: str, kinds: list[str]) -> tuple[Runtime, ...]:
    return tuple(Runtime(kind=kind, default=kind == kinds[-1], image=f"sabayon/{family}") for kind in kinds)


def _version_key(kind: str) -> list[int]:
    return [int(part) for part in kind.partition(":")[2].split(".") if part.isdigit()]
