"""What controllers and invokers say to each other between machines, as text: JSON, so that a result goes in as it is.

A *number* names one sending of an activation by one controller, whose name is another after each of its starts. An
activation that is sent again has a new number.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sabayon.bus.base import ActivationMessage
from sabayon.bus.heartbeat import Heartbeat
from sabayon.entity.activation import Activation


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A list of its name and its fields; new fields come at the end, with defaults."""


class Run(_Frame, frozen=True, tag="run"):
    """Controller to invoker: run this."""

    controller: str
    number: int
    message: ActivationMessage


class Ask(_Frame, frozen=True, tag="ask"):
    """Controller to invoker: what of these? Each is answered: Held, Done, Barred or Forgotten."""

    controller: str
    numbers: list[int]


class Settled(_Frame, frozen=True, tag="settled"):
    """Controller to invoker: it knows how these ended, and will not ask again."""

    controller: str
    numbers: list[int]


class Cancel(_Frame, frozen=True, tag="cancel"):
    """Controller to invokers: stop this activation. Answered by Cancelled under the same token."""

    controller: str
    token: int
    namespace: str
    activation_id: str


class Test(_Frame, frozen=True, tag="test"):
    """Controller to invoker: show that you work. Answered by Tested."""

    __test__ = False  # no test of ours, though its name begins like one

    controller: str
    number: int


class Echo(_Frame, frozen=True, tag="echo"):
    """Invoker to itself: what came before it on the same subject was sent before it."""

    token: int


class Held(_Frame, frozen=True, tag="held"):
    """Invoker to controller: it has these, and will say how they end."""

    numbers: list[int]


class Done(_Frame, frozen=True, tag="done"):
    """Invoker to controller: it has ended, and its record is stored. Without logs."""

    number: int
    activation: Activation


class Back(_Frame, frozen=True, tag="back"):
    """Invoker to controller: these have not begun, and will not."""

    numbers: list[int]


class Barred(_Frame, frozen=True, tag="barred"):
    """Invoker to controller: these it has never seen, and will not take if they still come."""

    numbers: list[int]


class Forgotten(_Frame, frozen=True, tag="forgotten"):
    """Invoker to controller: these have ended, and it does not know any more how."""

    numbers: list[int]


class Cancelled(_Frame, frozen=True, tag="cancelled"):
    """Invoker to controller: whether it had the activation, which it has stopped then."""

    token: int
    is_found: bool


class Tested(_Frame, frozen=True, tag="tested"):
    """Invoker to controller: how the test went."""

    invoker: str
    number: int
    is_good: bool


class Beat(_Frame, frozen=True, tag="beat"):
    """Invoker to all controllers."""

    heartbeat: Heartbeat


class Announcement(_Frame, frozen=True, tag="controller"):
    """Controller to everybody, once a second: it is there, or it ends."""

    controller: str
    is_leaving: bool = False


ToInvoker = Run | Ask | Settled | Cancel | Test | Echo
ToController = Held | Done | Back | Barred | Forgotten | Cancelled | Tested
Frame = ToInvoker | ToController | Beat | Announcement

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Frame]] = msgspec.json.Decoder(Frame)

MALFORMED: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def encode(frame: Frame) -> bytes:
    """`frame` as it goes over the bus. A `Run` holds the caller's key: it must not be logged or shown."""
    return _encoder.encode(frame)


def decode(text: bytes) -> Frame:
    """The opposite. Raises ValueError, whose text shows nothing of what came."""
    try:
        return _decoder.decode(text)
    except MALFORMED:
        raise ValueError(f"{len(text)} bytes that are no frame") from None
