"""The grammar of query parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_plus

from sabayon import messages
from sabayon.controller.http import FrameworkRejection, malformed_query
from sabayon.entity.limits import SystemLimits
from sabayon.entity.names import is_segment

_TRUE: Final = frozenset(("true", "yes", "on", "1"))
_FALSE: Final = frozenset(("false", "no", "off", "0"))
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_USUAL_CHARS: Final = 128
"""Longer queries are parsed each time, so that those remembered take little memory."""

_INT64: Final = 1 << 63

Query = Mapping[str, str]
_EMPTY: Final[Query] = MappingProxyType({})


def parse_query(text: str) -> Query:
    """First occurrence of each parameter. Raises FrameworkRejection 400 when it cannot be decoded."""
    if not text:
        return _EMPTY
    return _remembered(text) if len(text) <= _USUAL_CHARS else _parse(text)


def _parse(text: str) -> Query:
    if _BAD_ESCAPE.search(text):
        raise FrameworkRejection(400, messages.MALFORMED_QUERY_STRING)
    query: dict[str, str] = {}
    try:
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            query.setdefault(unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"))
    except UnicodeDecodeError as error:
        raise FrameworkRejection(400, messages.MALFORMED_QUERY_STRING) from error
    return MappingProxyType(query)


_remembered = lru_cache(256)(_parse)


def boolean(query: Query, name: str, default: bool) -> bool:
    """Absent or empty is the default. Raises FrameworkRejection 400."""
    text = query.get(name)
    if not text:
        return default
    lowered = text.lower()
    if lowered not in _TRUE and lowered not in _FALSE:
        raise malformed_query(name, messages.not_boolean(text))
    return lowered in _TRUE


def paging(query: Query, collection: str, limits: SystemLimits) -> tuple[int, int]:
    """(limit, skip); a limit of 0 is the maximum. Raises FrameworkRejection 400."""
    limit = _integer(query, "limit", limits.list_standard, collection)
    if not 0 <= limit <= limits.list_maximum:
        text = messages.limit_out_of_range(query["limit"], collection, limits.list_maximum)
        raise malformed_query("limit", text)
    skip = _integer(query, "skip", 0, collection)
    if skip < 0:
        raise malformed_query("skip", messages.skip_out_of_range(query["skip"], collection))
    return limit or limits.list_maximum, skip


def _integer(query: Query, name: str, default: int, collection: str) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise malformed_query(name, messages.not_integer(text, collection))
    return int(text)


def epoch_ms(query: Query, name: str) -> int | None:
    """A point in time, None when absent. Raises FrameworkRejection 400."""
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?\d{1,19}", text, re.ASCII) or not -_INT64 <= int(text) < _INT64:
        raise malformed_query(name, messages.not_epoch(text))
    return int(text)


def name_filter(query: Query) -> str | None:
    """`name` or `package/name`, None when absent or blank. Raises FrameworkRejection 400."""
    text = query.get("name", "").strip()
    if not text:
        return None
    segments = text.split("/")
    if len(segments) > 2 or not all(is_segment(segment) for segment in segments):
        raise malformed_query("name", messages.not_name_filter(query["name"]))
    return text
