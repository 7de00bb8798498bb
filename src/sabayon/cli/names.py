"""Qualified names: `/namespace/package/entity` and its shorter forms."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

from sabayon.cli.failures import CommandFailed, usage

DEFAULT: Final = "_"
_SAFE: Final = "/@:$&+,;=!*'()"


class QualifiedName(NamedTuple):
    """path: `entity` or `package/entity`; empty when only a namespace was named."""

    namespace: str
    path: str

    @property
    def full(self) -> str:
        """`/namespace/path`."""
        return f"/{self.namespace}/{self.path}"

    @property
    def leaf(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def quoted(self) -> str:
        """The path as it stands in a URL."""
        return quote(self.path, safe=_SAFE, errors="surrogateescape")


def qualified_name(text: str) -> QualifiedName:
    """Raises CommandFailed when `text` is none."""
    parts = text.split("/")
    if text.startswith("/"):
        parts = parts[1:]
        if not 1 <= len(parts) <= 3 or any(part in ("", ".") for part in parts):
            raise _not_qualified(text)
        return QualifiedName(parts[0], "/".join(parts[1:]))
    if text in ("", "."):
        raise _not_qualified(text)
    if len(parts) == 3:
        return QualifiedName(parts[0], "/".join(parts[1:]))
    return QualifiedName(DEFAULT, text)


def reference(text: str) -> str:
    """How an entity is written inside of another: with a leading slash it stays as it is. Raises CommandFailed."""
    return text if text.startswith("/") else qualified_name(text).full


def namespace_only(text: str | None) -> str:
    """The namespace of an optional argument. Raises CommandFailed when an entity was named instead."""
    if text is None:
        return DEFAULT
    name = qualified_name(text)
    if name.path:
        raise usage(
            f"An entity name, '{name.path}', was provided instead of a namespace. "
            "Valid namespaces are of the following format: /NAMESPACE."
        )
    return name.namespace


def shown_namespace(namespace: str) -> str:
    """As texts about lists call it."""
    return "default" if namespace == DEFAULT else namespace


def _not_qualified(text: str) -> CommandFailed:
    return usage(f"'{text}' is not a valid qualified name: A valid qualified name must be specified.")
