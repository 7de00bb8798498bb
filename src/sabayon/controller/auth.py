"""HTTP Basic: from a header to an identity."""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import lru_cache

from sabayon import messages
from sabayon.controller.http import FrameworkRejection
from sabayon.entity.identity import SECRET_CHARS, Identity
from sabayon.store.base import Identities

CHALLENGE = 'Basic realm="OpenWhisk secure realm",charset=UTF-8'
_MAX_CHARS = 512
"""A header with a key is shorter."""

_NOBODY = b"\0" * SECRET_CHARS
"""Compared with when the key is unknown, so that it takes as long as a wrong one. Equal to no secret."""


class NotAuthenticated(FrameworkRejection):
    """401, which carries the challenge."""

    def __init__(self, text: str) -> None:
        super().__init__(401, text)


async def authenticate(identities: Identities, header: str | None) -> Identity:
    """Whose key the `Authorization` header holds. Raises NotAuthenticated."""
    if header is None or header[:6].lower() != "basic ":
        raise NotAuthenticated(messages.AUTHENTICATION_REQUIRED)
    uuid, secret = _credentials(header) if len(header) <= _MAX_CHARS else ("", b"")
    identity = await identities.by_uuid(uuid)
    expected = _NOBODY if identity is None else identity.secret.encode()
    is_right = hmac.compare_digest(secret, expected)
    if identity is None or not is_right or len(secret) != SECRET_CHARS or identity.blocked:
        raise NotAuthenticated(messages.AUTHENTICATION_INVALID)
    return identity


@lru_cache(1024)
def _credentials(header: str) -> tuple[str, bytes]:
    try:
        uuid, _, secret = base64.b64decode(header[6:].strip(), validate=True).partition(b":")
        return uuid.decode(), secret
    except (binascii.Error, UnicodeError, ValueError):
        return "", b""
