"""PUT bodies, decoded in the contract's order whatever the collection.

Content type, then syntax, then `exec`, `parameters` and `annotations`, then their sizes,
then the query, then reserved names, then the other fields. An explicit `null` is the same as an absent field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.http import check_content_type, check_json_text, malformed
from sabayon.controller.query import boolean
from sabayon.entity.exec import Exec, MalformedExec, parse_exec, sent_size_bytes
from sabayon.entity.names import EntityName, MalformedName, name_from_wire
from sabayon.entity.parameters import MalformedParameters, Parameters, parse_parameters, size_bytes
from sabayon.entity.version import FIRST, MalformedVersion, bump, parse_version
from sabayon.errors import Rejection

T = TypeVar("T")

_fields = msgspec.json.Decoder(dict[str, Raw])
_NULL: Final = b"null"


class PutBody(NamedTuple):
    """What all collections share, and the raw fields for the rest. None for what is absent.

    null_fields: names that were given as `null`, for the one place where that differs from being absent.
    """

    fields: Mapping[str, Raw]
    null_fields: frozenset[str]
    exec: Exec | None
    parameters: Parameters | None
    annotations: Parameters | None
    publish: bool | None
    version: str | None
    overwrite: bool

    def next_version(self, previous: str | None) -> str:
        """The version after this PUT: the body's, else the first, or the previous one bumped."""
        return self.version or (FIRST if previous is None else bump(previous))


def read_put_body(call: Call, *, reserved: str | None = None) -> PutBody:
    """Decode the body of a PUT. Raises Rejection 415, 400, 413. reserved: the name that no package may have."""
    check_content_type(call.request)
    given = decode_object(call.request.body, "Object expected in field 'exec'")
    fields = {name: raw for name, raw in given.items() if bytes(raw) != _NULL}
    exec_, code_bytes = _exec(fields.get("exec"), call)
    parameters, annotations = _entries(fields.get("parameters")), _entries(fields.get("annotations"))
    _check_sizes(call, code_bytes, parameters, annotations)
    overwrite = boolean(call.request.query, "overwrite", False)
    if call.parts[-1] == reserved:
        raise Rejection(400, messages.PACKAGE_RESERVED)
    return PutBody(
        fields=fields,
        null_fields=frozenset(given) - frozenset(fields),
        exec=exec_,
        parameters=parameters,
        annotations=annotations,
        publish=_publish(fields.get("publish")),
        version=_version(fields.get("version")),
        overwrite=overwrite,
    )


def decode_object(body: bytes, not_object: str = messages.OBJECT_EXPECTED) -> dict[str, Raw]:
    """The members of a JSON object. Raises FrameworkRejection 400; `not_object` is the detail for other JSON."""
    if not body:
        raise malformed("Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n")
    check_json_text(body)
    try:
        return _fields.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(not_object) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(str(error)) from error


def decode_value(raw: Raw) -> Any:
    """Any JSON value. Raises FrameworkRejection 400."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(str(error)) from error


def decode_name(raw: Raw) -> EntityName:
    """A fully qualified name. Raises FrameworkRejection 400."""
    try:
        return name_from_wire(decode_value(raw))
    except MalformedName as error:
        raise malformed(str(error)) from error


def _exec(raw: Raw | None, call: Call) -> tuple[Exec | None, int]:
    """The `exec` object and its size in bytes."""
    if raw is None:
        return None, 0
    value = decode_value(raw)
    try:
        exec_ = parse_exec(value, call.services.manifest)
    except MalformedExec as error:
        raise malformed(str(error)) from error
    return exec_, sent_size_bytes(exec_, value)


def _entries(raw: Raw | None) -> Parameters | None:
    if raw is None:
        return None
    try:
        return parse_parameters(raw)
    except (MalformedParameters, RecursionError) as error:
        raise malformed(messages.PARAMETERS_MALFORMED) from error


def _check_sizes(call: Call, code_bytes: int, parameters: Parameters | None, annotations: Parameters | None) -> None:
    allowed = call.limits.parameters_bytes
    for what, size, limit in (
        ("exec", code_bytes, call.services.limits.code_bytes),
        ("parameters", size_bytes(parameters or ()), allowed),
        ("annotations", size_bytes(annotations or ()), allowed),
    ):
        if size > limit:
            raise Rejection(413, messages.too_large(what, size, limit))


def _publish(raw: Raw | None) -> bool | None:
    if raw is None:
        return None
    value = decode_value(raw)
    if not isinstance(value, bool):
        raise malformed(f"Expected JsBoolean, but got {bytes(raw).decode(errors='replace')}")
    return value


def _version(raw: Raw | None) -> str | None:
    if raw is None:
        return None
    value = decode_value(raw)
    if not isinstance(value, str):
        raise malformed(messages.VERSION_MALFORMED)
    try:
        return parse_version(value)
    except MalformedVersion as error:
        raise malformed(str(error)) from error
