"""`exec`: the code of an action and the kind of runtime it needs."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from sabayon import messages
from sabayon.entity.manifest import BLACKBOX, SEQUENCE, Manifest
from sabayon.entity.names import EntityName, MalformedName, name_from_wire, parse_name

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_IMAGE = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+:\d+)/)?"  # registry
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"  # path and name
    r"(?::\w[\w.-]{0,127})?"  # tag
    r"(?:@[A-Za-z][\w.+-]*:[0-9a-fA-F]{32,})?",  # digest
    re.ASCII,
)


class MalformedExec(ValueError):
    """The `exec` object cannot be read; the text is the contract's detail."""


class Exec(msgspec.Struct, frozen=True, kw_only=True):
    """One action's code. Fields that its kind does not have are unset.

    code: source text, or base64 of an archive when `binary`. Unset also when read without code.
    components: absolute names, with the leading slash.
    """

    binary: bool | UnsetType = UNSET
    code: str | UnsetType = UNSET
    components: tuple[str, ...] | UnsetType = UNSET
    image: str | UnsetType = UNSET
    kind: str
    main: str | UnsetType = UNSET

    @property
    def is_sequence(self) -> bool:
        return self.kind == SEQUENCE

    @property
    def is_binary(self) -> bool:
        return self.binary is True

    def component_names(self) -> list[EntityName]:
        """The components of a sequence; empty for other kinds."""
        return [] if self.components is UNSET else [parse_name(text) for text in self.components]


def is_base64(text: str) -> bool:
    """The contract's test for archives: trimmed, not empty, strictly base64. Some source texts pass it too."""
    trimmed = text.strip()
    return bool(trimmed) and len(trimmed) % 4 == 0 and _BASE64.fullmatch(trimmed) is not None


def _archive(text: str) -> str:
    """Base64 in canonical form: unused bits at its end, where encoders differ, are zero."""
    trimmed = text.strip()
    return trimmed[:-4] + base64.b64encode(base64.b64decode(trimmed[-4:])).decode()


def parse_exec(body: Any, manifest: Manifest) -> Exec:
    """The `exec` object of a body, its kind resolved. Components may still start with `_`. Raises MalformedExec."""
    if not isinstance(body, dict):
        raise MalformedExec(messages.OBJECT_EXPECTED)
    kind = body.get("kind")
    if not isinstance(kind, str):
        raise MalformedExec(messages.KIND_NOT_STRING)
    kind = kind.strip().lower()
    if kind == SEQUENCE:
        return _parse_sequence(body)
    if kind == BLACKBOX:
        return _parse_blackbox(body)
    return _parse_managed(body, kind, manifest)


def _parse_managed(body: dict[str, Any], kind: str, manifest: Manifest) -> Exec:
    runtime = manifest.find(kind)
    if runtime is None:
        raise MalformedExec(messages.kind_unknown(kind, manifest.kinds()))
    code = body.get("code")
    if not isinstance(code, str):
        raise MalformedExec(messages.code_missing(kind))
    main = _main(body, kind)
    if runtime.require_main and main is UNSET:
        raise MalformedExec(messages.main_required(kind))
    binary = is_base64(code)
    return Exec(kind=runtime.kind, code=_archive(code) if binary else code, binary=binary, main=main)


def _parse_blackbox(body: dict[str, Any]) -> Exec:
    image = body.get("image")
    if not isinstance(image, str):
        raise MalformedExec(messages.IMAGE_NOT_STRING)
    code = body.get("code")
    has_code = isinstance(code, str) and bool(code.strip())
    binary = has_code and is_base64(str(code))
    text = (_archive(str(code)) if binary else str(code)) if has_code else UNSET
    return Exec(kind=BLACKBOX, image=_image(image), code=text, binary=binary, main=_main(body, BLACKBOX))


def _image(text: str) -> str:
    match = _IMAGE.fullmatch(text.strip())
    if match is None:
        raise MalformedExec(messages.IMAGE_MALFORMED)
    return text.strip().partition("@")[0]


def _parse_sequence(body: dict[str, Any]) -> Exec:
    components = body.get("components")
    if components is None:
        raise MalformedExec(messages.COMPONENTS_MISSING)
    if not isinstance(components, list):
        raise MalformedExec(messages.COMPONENTS_NOT_ARRAY)
    try:
        names = [name_from_wire(component) for component in components]
    except MalformedName as error:
        raise MalformedExec(str(error)) from error
    return Exec(kind=SEQUENCE, components=tuple(name.absolute for name in names))


def _main(body: dict[str, Any], kind: str) -> str | UnsetType:
    main = body.get("main")
    if main is None:
        return UNSET
    if not isinstance(main, str):
        raise MalformedExec(messages.main_not_string(kind))
    return main


def resolve_components(exec_: Exec, namespace: str) -> Exec:
    """The same exec with components under `_` moved to `namespace`."""
    if not exec_.is_sequence:
        return exec_
    names = tuple(name.resolve(namespace).absolute for name in exec_.component_names())
    return msgspec.structs.replace(exec_, components=names)


def sent_size_bytes(exec_: Exec, body: Any) -> int:
    """What the code limit counts of the `exec` object `body` that was read as `exec_`: text as the client sent it."""
    if exec_.is_sequence:
        return sum(len(name.id.encode()) for name in exec_.component_names())
    image = "" if exec_.image is UNSET else exec_.image
    texts = (image, body.get("code"), body.get("main"))
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if isinstance(text, str))
