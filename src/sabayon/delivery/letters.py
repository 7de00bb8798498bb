"""A dead letter as it is shown, and as it is kept."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from sabayon.delivery.pending import PendingActivation, decode_activation, encode_pending
from sabayon.errors import Corrupt
from sabayon.store.base import Letter


class LetterSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A dead letter in a list.

    action: as it was addressed, `ns/[pkg/]name`. activation_id: of the record that tells how the last attempt ended.
    buried: epoch ms when it was given up. reason: why it was.
    """

    action: str
    activation_id: str
    attempts: int
    buried: int
    namespace: str
    reason: str


class _LetterView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    action: str
    activation_id: str
    attempts: int
    buried: int
    namespace: str
    payload: Raw
    reason: str


_encoder = msgspec.json.Encoder()
_summary_decoder = msgspec.json.Decoder(LetterSummary)


def letter_of(work: PendingActivation, reason: str, now_ms: int) -> Letter:
    """The dead letter that `work` becomes."""
    summary = LetterSummary(
        action=work.addressed.id,
        activation_id=work.activation_id,
        attempts=work.history.attempt,
        buried=now_ms,
        namespace=work.identity.namespace,
        reason=reason,
    )
    return Letter(work.activation_id, work.identity.namespace, _encoder.encode(summary), encode_pending(work))


def letter_view(letter: Letter) -> bytes:
    """All that may be shown of a dead letter, as JSON: its summary, and the payload of the call. Raises Corrupt."""
    try:
        summary = _summary_decoder.decode(letter.summary)
    except msgspec.DecodeError as error:
        raise Corrupt("a dead letter cannot be read") from error
    work = decode_activation(letter.message)
    return _encoder.encode(_LetterView(payload=work.payload, **msgspec.structs.asdict(summary)))
