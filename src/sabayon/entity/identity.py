"""Who calls: a namespace with its key, its subject and its limits."""

from __future__ import annotations

import secrets
import string
import uuid

import msgspec

from sabayon.entity.limits import NamespaceLimits

SECRET_CHARS = 64
MIN_SUBJECT_CHARS = 5
_ALPHABET = string.ascii_letters + string.digits


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One namespace and the one key that selects it. A blocked one behaves like an unknown key."""

    blocked: bool = False
    limits: NamespaceLimits = NamespaceLimits()
    namespace: str
    secret: str
    subject: str
    uuid: str

    @property
    def auth_key(self) -> str:
        """`uuid:secret`, the user name and password of HTTP Basic."""
        return f"{self.uuid}:{self.secret}"

    def __repr__(self) -> str:
        """Without the secret: identities end up in logs and tracebacks."""
        return f"Identity(namespace={self.namespace!r}, subject={self.subject!r})"


def new_identity(namespace: str, subject: str | None = None) -> Identity:
    """A namespace with a random key."""
    return Identity(
        namespace=namespace,
        subject=subject or namespace.ljust(MIN_SUBJECT_CHARS, "_"),
        uuid=str(uuid.uuid4()),
        secret=new_secret(),
    )


def new_secret() -> str:
    """64 random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARS))
