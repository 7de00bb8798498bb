"""The header `Idempotency-Key`: requests that mean the same one activation, whenever and wherever they come.

Which request is the first is decided in the store, in the transaction that writes its journal entry. So a key never
stands for what a kill could lose: also what was blocking is run at the next start, and has its record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from sabayon import messages
from sabayon.controller.call import Call
from sabayon.controller.payload import Payload
from sabayon.errors import Rejection
from sabayon.store.base import Claim

HEADER: Final = "idempotency-key"
MAX_BYTES: Final = 255
_OF_THE_WAY_BACK: Final = frozenset(("blocking", "result", "timeout"))
"""Query parameters that change what is answered and not what is run: a retry may differ in them."""


class Keyed(NamedTuple):
    """A request with a key. target: collection and name of what is invoked or fired."""

    namespace: str
    target: str
    key: str
    fingerprint: bytes

    def claim(self, activation_id: str, now_ms: int) -> Claim:
        """What it wants to be true: that this activation is the one for its key."""
        return Claim(self.namespace, self.target, self.key, self.fingerprint, activation_id, now_ms)

    def same(self, claim: Claim) -> str:
        """The activation of an earlier claim. Raises Rejection 409 when that was made for something else."""
        if claim.fingerprint != self.fingerprint:
            raise Rejection(409, messages.KEY_OF_ANOTHER_REQUEST)
        return claim.activation_id


def keyed(call: Call, collection: str, payload: Payload) -> Keyed | None:
    """The request with its key; None when it has none. Raises Rejection 400."""
    key = call.request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_BYTES or any(character < " " or character == "\x7f" for character in key):
        raise Rejection(400, messages.KEY_MALFORMED)
    if not call.limits.store_activations:
        raise Rejection(400, messages.KEY_WITHOUT_RECORDS)
    target = "/".join((collection, call.namespace, *call.parts))
    return Keyed(call.identity.namespace, target, key, _fingerprint(call.request.query, payload))


async def once(call: Call, request: Keyed, begin: Callable[[], Awaitable[str | None]]) -> str | None:
    """The id of the one activation for the key of `request`, or None when `begin` gives none.

    begin: has it accepted, or finds that somebody else was faster. Only one of this controller's requests is there at a
    time, so that a thousand at once take one place among those in flight. Raises Rejection 409.
    """
    services = call.services
    async with services.key_turns.of("/".join(request[:3])):
        found = await services.keys.find(request.namespace, request.target, request.key, services.now_ms())
        if found is None:
            return await begin()
    return request.same(found)


def _fingerprint(query: Mapping[str, str], payload: Payload) -> bytes:
    digest = hashlib.sha256(bytes(payload.text))
    for name in sorted(query.keys() - _OF_THE_WAY_BACK):
        digest.update(f"\0{name}={query[name]}".encode())
    return digest.digest()
