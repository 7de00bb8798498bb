"""Names: the grammar of one segment, and fully qualified names.

A document's id is its fully qualified name without the leading slash: `ns/name` or
`ns/pkg/name`. All kinds of entities of a namespace share this one key space.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from sabayon import messages
from sabayon.errors import Rejection

MAX_SEGMENT_CHARS: Final = 256
DEFAULT_NAMESPACE: Final = "_"
"""In a path or a body: the namespace of the key that was presented."""

_SEGMENT = re.compile(r"\w(?:[\w@ .&-]{0,254}[\w@.&-])?", re.ASCII)
_ACTIVATION_ID = re.compile(r"[0-9a-f]{32}")


class MalformedName(ValueError):
    """A fully qualified name in a body is not one; the text is the contract's detail."""


def is_segment(text: str) -> bool:
    """Whether `text` may name a namespace, a package or an entity."""
    return _SEGMENT.fullmatch(text) is not None


def check_namespace(text: str) -> str:
    """`text` if it may name a namespace; raises Rejection 400."""
    if len(text) > MAX_SEGMENT_CHARS:
        raise Rejection(400, messages.namespace_too_long(len(text)))
    if not is_segment(text):
        raise Rejection(400, messages.NAMESPACE_ILLEGAL)
    return text


def check_name(text: str) -> str:
    """`text` if it may name a package or an entity; raises Rejection 400."""
    if len(text) > MAX_SEGMENT_CHARS:
        raise Rejection(400, messages.name_too_long(len(text)))
    if not is_segment(text):
        raise Rejection(400, messages.NAME_ILLEGAL)
    return text


def check_activation_id(text: str) -> str:
    """`text` if it is 32 lower-case hexadecimal digits; raises Rejection 400."""
    if len(text) != 32:
        raise Rejection(400, messages.activation_id_length(len(text)))
    if not _ACTIVATION_ID.fullmatch(text):
        raise Rejection(400, messages.ACTIVATION_ID_ILLEGAL)
    return text


class EntityName(msgspec.Struct, frozen=True, order=True):
    """A fully qualified name. `path` is `ns` or `ns/pkg`, `name` the simple name; both as on the wire."""

    name: str
    path: str

    @property
    def namespace(self) -> str:
        return self.path.partition("/")[0]

    @property
    def package(self) -> str | None:
        return self.path.partition("/")[2] or None

    @property
    def id(self) -> str:
        """The document id: no leading slash."""
        return f"{self.path}/{self.name}"

    @property
    def absolute(self) -> str:
        """With the leading slash, as sequence components and `__OW_ACTION_NAME` are written."""
        return f"/{self.path}/{self.name}"

    def __str__(self) -> str:
        return self.id

    def resolve(self, namespace: str) -> EntityName:
        """The same name with a leading `_` replaced by `namespace`."""
        if self.namespace != DEFAULT_NAMESPACE:
            return self
        return EntityName(self.name, namespace + self.path[len(DEFAULT_NAMESPACE) :])


def package_name(namespace: str, package: str) -> EntityName:
    """The name of a package, which is an entity of its namespace."""
    return EntityName(package, namespace)


def parse_name(text: str) -> EntityName:
    """`[/]ns/[pkg/]name`; empty segments are dropped. Raises MalformedName."""
    segments = [s for s in text.split("/") if s]
    if len(segments) < 2:
        raise MalformedName(messages.NAME_NOT_QUALIFIED)
    if len(segments) > 3 or not all(len(s) <= MAX_SEGMENT_CHARS and is_segment(s) for s in segments):
        raise MalformedName(messages.NAME_MALFORMED)
    return EntityName(segments[-1], "/".join(segments[:-1]))


def name_from_wire(value: Any) -> EntityName:
    """A name in a body: a string, or an object with `path` and `name`. Raises MalformedName."""
    if isinstance(value, str):
        return parse_name(value)
    if isinstance(value, dict) and isinstance(value.get("path"), str) and isinstance(value.get("name"), str):
        return parse_name(f"{value['path']}/{value['name']}")
    raise MalformedName(messages.NAME_MALFORMED)
