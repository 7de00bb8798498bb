"""Packages, and bindings: packages that stand for another one with parameters of their own."""

from __future__ import annotations

from typing import Literal

import msgspec

from sabayon.entity.names import EntityName
from sabayon.entity.parameters import Parameters


class Binding(msgspec.Struct, frozen=True):
    """The package a binding stands for."""

    name: str
    namespace: str

    @property
    def target(self) -> EntityName:
        return EntityName(self.name, self.namespace)


class NoBinding(msgspec.Struct, frozen=True):
    """`{}`: how a plain package shows its binding."""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package as stored. `binding` is None for a plain package."""

    annotations: Parameters = ()
    binding: Binding | None = None
    name: str
    namespace: str
    parameters: Parameters = ()
    publish: bool = False
    updated: int
    version: str

    @property
    def entity_name(self) -> EntityName:
        return EntityName(self.name, self.namespace)


class PackageView(msgspec.Struct, frozen=True):
    """A package in the answer to PUT and DELETE."""

    annotations: Parameters
    binding: Binding | NoBinding
    name: str
    namespace: str
    parameters: Parameters
    publish: bool
    updated: int
    version: str


class PackagedAction(msgspec.Struct, frozen=True):
    """An action in the answer to GET package."""

    annotations: Parameters
    name: str
    version: str


class PackageContents(msgspec.Struct, frozen=True):
    """A package in the answer to GET: with what it contains."""

    actions: tuple[PackagedAction, ...]
    annotations: Parameters
    binding: Binding | NoBinding
    feeds: tuple[PackagedAction, ...]
    name: str
    namespace: str
    parameters: Parameters
    publish: bool
    updated: int
    version: str


class PackageSummary(msgspec.Struct, frozen=True):
    """A package in a list, where a plain package shows `false` as its binding."""

    annotations: Parameters
    binding: Binding | Literal[False]
    name: str
    namespace: str
    publish: bool
    updated: int
    version: str


def package_view(package: Package) -> PackageView:
    """What PUT and DELETE answer."""
    binding = package.binding or NoBinding()
    return PackageView(
        package.annotations,
        binding,
        package.name,
        package.namespace,
        package.parameters,
        package.publish,
        package.updated,
        package.version,
    )


def package_summary(package: Package) -> PackageSummary:
    """What a list shows."""
    return PackageSummary(
        package.annotations,
        package.binding or False,
        package.name,
        package.namespace,
        package.publish,
        package.updated,
        package.version,
    )
