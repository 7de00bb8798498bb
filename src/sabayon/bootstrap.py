"""What a data directory must hold before the platform can serve: the namespaces `guest` and `whisk.system`."""

from __future__ import annotations

from typing import Final

import msgspec

from sabayon.entity.identity import SECRET_CHARS, Identity, new_identity
from sabayon.errors import OperatorError
from sabayon.store.base import Identities

GUEST: Final = "guest"
SYSTEM: Final = "whisk.system"


async def ensure_namespaces(identities: Identities, guest_key: str) -> tuple[Identity, Identity]:
    """The identities of `guest` and `whisk.system`, made with random keys if they are not there yet.

    guest_key: `UUID:KEY` that guest is to have, or empty to leave it alone.
    """
    guest = await identities.by_namespace(GUEST) or new_identity(GUEST)
    system = await identities.by_namespace(SYSTEM) or new_identity(SYSTEM)
    guest = with_key(guest, guest_key)
    for identity in (guest, system):
        if await identities.by_namespace(identity.namespace) != identity:
            await put_alone(identities, identity)
    return guest, system


async def put_alone(identities: Identities, identity: Identity) -> None:
    """Create or replace an identity. Raises OperatorError when its key would select two namespaces."""
    other = await identities.by_uuid(identity.uuid)
    if other is not None and other.namespace != identity.namespace:
        raise OperatorError(f"the namespace {other.namespace!r} has a key with this UUID already")
    await identities.put(identity)


def with_key(identity: Identity, auth_key: str | None) -> Identity:
    """`identity` with the key `UUID:KEY`, or as it is. Raises OperatorError when the key has not that form."""
    if not auth_key:
        return identity
    uuid, _, secret = auth_key.partition(":")
    if not uuid or len(secret) != SECRET_CHARS or not auth_key.isascii():
        raise OperatorError(f"a key has the form UUID:KEY, where KEY has {SECRET_CHARS} characters")
    return msgspec.structs.replace(identity, uuid=uuid, secret=secret)
