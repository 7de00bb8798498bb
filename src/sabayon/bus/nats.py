"""The bus between machines, at the controller: NATS carries messages to invokers, and what they say of them back.

What is dispatched ends exactly once here, whatever is lost, killed or cut off on the way: `errands` keeps what is open,
and asks. What has certainly not begun is sent to another invoker and nobody notices. What may have begun when its
invoker went down is for `endings` to decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Final

from sabayon.bus.base import ActivationMessage
from sabayon.bus.chooser import Chooser, Endings, Fate, Orders
from sabayon.bus.codec import (
    Announcement,
    Ask,
    Back,
    Barred,
    Beat,
    Cancel,
    Cancelled,
    Done,
    Forgotten,
    Frame,
    Held,
    Run,
    Settled,
    Test,
    Tested,
    decode,
    encode,
)
from sabayon.bus.errands import Errand, Errands, State
from sabayon.bus.heartbeat import Heartbeat, Phase
from sabayon.bus.inquiry import Inquiries
from sabayon.bus.link import Envelope, Link
from sabayon.bus.subjects import Subjects
from sabayon.entity.activation import Activation, Outcome
from sabayon.errors import BusUnavailable, Overloaded

logger = logging.getLogger("sabayon.bus")

TICK_S: Final = 0.5
ANNOUNCE_EVERY: Final = 2
"""In ticks."""

DEAF_AFTER_S: Final = 2.0
"""Without one's own announcements: then it is not the others that are silent. Shorter than the silence after which an
invoker is taken for lost."""

MOST_WAITING: Final = 256
"""How many may wait for an invoker before nothing more is promised."""

GONE_AFTER_S: Final = 10.0
"""Silence of a controller."""

HEARD_ALL_S: Final = 3.0
"""After the start, and after a time without hearing: by then all that are there have said so."""

FAREWELL_S: Final = 1.0


class NatsBus:
    """See the port. controller: a name that no other controller has, nor this one after another start."""

    def __init__(self, link: Link, subjects: Subjects, controller: str, chooser: Chooser, endings: Endings) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = link
        self._subjects = subjects
        self._controller = controller
        self._chooser = chooser
        self._endings = endings
        self._errands = Errands()
        self._futures: dict[Errand, asyncio.Future[Activation]] = {}
        self._started_ms: dict[str, int] = {}
        self._peers: dict[str, float] = {}
        self._inquiries = Inquiries(self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._heard_at = self._loop.time()
        self._all_heard_at = self._heard_at + HEARD_ALL_S
        self._is_closing = False
        link.subscribe(subjects.controller(controller), self._on_frame)
        link.subscribe(subjects.heartbeats, self._on_frame)
        link.subscribe(subjects.announcements, self._on_frame)
        link.subscribe(subjects.returned(controller), self._on_returned)
        link.watch(self._on_up)

    def __repr__(self) -> str:
        return f"<NatsBus {len(self._errands)} under way, {self._errands.waiting} of them wait for an invoker>"

    async def start(self) -> None:
        """Begin to take part. The link may be up already, or come up later."""
        self._ticker = asyncio.create_task(self._tick(), name="bus ticker")

    @property
    def is_away(self) -> bool:
        """Whether nobody can be reached now."""
        return not self._link.is_up or self._loop.time() - self._heard_at > DEAF_AFTER_S

    @property
    def controllers(self) -> int:
        """How many controllers there are, this one included, by what they say."""
        return 1 + len(self._heard_lately())

    def others(self) -> frozenset[str] | None:
        """The other controllers that are there; None while that is not known, as just after the start."""
        if self.is_away or self._loop.time() < self._all_heard_at:
            return None
        return self._heard_lately()

    def _heard_lately(self) -> frozenset[str]:
        gone_at = self._loop.time() - GONE_AFTER_S
        return frozenset(name for name, at in self._peers.items() if at > gone_at) - {self._controller}

    def check(self) -> None:
        """Raises BusUnavailable, Overloaded: nothing more should be promised now."""
        if self.is_away:
            raise BusUnavailable("the connection to the bus is lost")
        if self._errands.waiting >= MOST_WAITING:
            raise Overloaded(f"{self._errands.waiting} activations wait for an invoker already")

    def dispatch(self, message: ActivationMessage) -> Awaitable[Activation]:
        """See the port. Raises BusUnavailable, Overloaded, at once, for what has not been promised to anybody."""
        errand = Errand(message, self._loop.time())
        if self.is_away:
            if not errand.is_promised:
                raise BusUnavailable("the connection to the bus is lost")
            self._errands.wait(errand, errand.since)
        else:
            try:
                self._send(errand)
            except Overloaded:
                if not errand.is_promised:
                    raise
                self._errands.wait(errand, errand.since)
        future = self._futures[errand] = self._loop.create_future()
        return future

    async def cancel(self, namespace: str, activation_id: str) -> bool:
        """See the port. Raises BusUnavailable. Invokers that do not answer in time count as not having it."""
        if errand := self._errands.find_waiting(namespace, activation_id):
            self._errands.end(errand)
            await self._end(errand, Fate.CANCELLED)
            return True
        if self.is_away:
            raise BusUnavailable("the connection to the bus is lost")
        token, answer = self._inquiries.begin(len(self._started_ms))
        self._post(self._subjects.invokers, Cancel(self._controller, token, namespace, activation_id))
        return await answer

    async def aclose(self) -> None:
        """Leave. What is still under way has no end here; what is journaled has one later. Idempotent."""
        self._is_closing = True
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
            self._ticker = None
            self._tell_settled()
            self._post(self._subjects.announcements, Announcement(self._controller, is_leaving=True))
            await self._link.flush(FAREWELL_S)
        for task in self._tasks:
            task.cancel()
        for errand in self._errands.all():
            self._errands.end(errand)
            self._futures.pop(errand).cancel()

    def _send(self, errand: Errand) -> None:
        """Send it to whom the chooser says. Raises Overloaded, having changed nothing but whom to avoid."""
        number = self._errands.next_number()
        avoid, errand.avoid = errand.avoid, frozenset()
        invoker = self._chooser.choose(errand.message, number, avoid)
        self._errands.sent(errand, number, invoker, self._loop.time())
        self._link.post(
            self._to(invoker),
            encode(Run(self._controller, number, errand.message)),
            self._subjects.returned(self._controller, number),
        )
        errand.avoid = avoid

    def _to(self, invoker: str) -> str:
        return self._subjects.invoker(invoker, self._started_ms[invoker])

    def _post(self, subject: str, frame: Frame) -> None:
        self._link.post(subject, encode(frame))

    def _on_frame(self, envelope: Envelope) -> None:
        """Raises ValueError for what is no frame, or none that a controller gets."""
        if envelope.is_returned:
            return
        match decode(envelope.payload):
            case Done(number, activation):
                self._on_done(number, activation)
            case Held(numbers):
                self._errands.held(numbers, self._loop.time())
            case Back(numbers):
                self._refused(numbers)
            case Barred(numbers):
                self._refused([number for number in numbers if not self._errands.is_held(number)])
                self._forgotten([number for number in numbers if self._errands.is_held(number)])
            case Forgotten(numbers):
                self._forgotten(numbers)
            case Beat(heartbeat):
                self._on_heartbeat(heartbeat)
            case Announcement(controller, is_leaving):
                self._on_announcement(controller, is_leaving=is_leaving)
            case Tested(invoker, number, is_good):
                self._carry_out(self._chooser.tested(invoker, number, is_good=is_good))
            case Cancelled(token, is_found):
                self._inquiries.answered(token, is_found=is_found)
            case frame:
                raise ValueError(f"{type(frame).__name__} is for invokers")

    def _on_returned(self, envelope: Envelope) -> None:
        """Nobody has subscribed: the invoker has gone, or is cut off from the bus. It has not got this."""
        number = envelope.subject.rpartition(".")[2]
        if envelope.is_returned and number.isdigit():
            self._refused([int(number)])

    def _on_done(self, number: int, activation: Activation) -> None:
        errand = self._errands.take(number, is_settled=True)
        if errand is None:  # it was given up, or this is the second time: the invoker need not keep it any longer
            self._post(self._subjects.invokers, Settled(self._controller, [number]))
            return
        outcome = activation.response.outcome
        orders = self._chooser.ended(
            number, is_fault=outcome is Outcome.WHISK_ERROR, is_usable=outcome <= Outcome.APPLICATION_ERROR
        )
        self._resolve(errand, activation)
        self._carry_out(orders)
        self._place_waiting()

    def _refused(self, numbers: list[int]) -> None:
        for number in numbers:
            if self._errands.refused(number, self._loop.time()):
                self._carry_out(self._chooser.ended(number, is_fault=False, is_usable=True))
        self._place_waiting()

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        """The last word of an invoker comes after all it had to say: what has not ended has not begun, and will not."""
        invoker, known_ms = heartbeat.invoker, self._started_ms.get(heartbeat.invoker, 0)
        self._started_ms[invoker] = max(known_ms, heartbeat.started_ms)
        if heartbeat.phase is Phase.LEFT and heartbeat.started_ms >= known_ms:
            self._refused(self._errands.at(invoker))
        self._carry_out(self._chooser.heard(heartbeat))
        self._place_waiting()

    def _forgotten(self, numbers: list[int]) -> None:
        """The invoker had them, and does not know how they ended."""
        for number in numbers:
            self._carry_out(self._chooser.ended(number, is_fault=True, is_usable=False))
            self._lose((number,))

    def _on_announcement(self, controller: str, *, is_leaving: bool) -> None:
        self._chooser.heard_controller(controller, is_leaving=is_leaving)
        now = self._loop.time()
        if is_leaving:
            self._peers.pop(controller, None)
        else:
            is_new = controller not in self._peers
            self._peers[controller] = now
            if is_new and controller != self._controller:  # so that it knows at once with whom it shares
                self._announce()
        if controller == self._controller:
            if (silence_s := now - self._heard_at) > DEAF_AFTER_S:
                self._all_heard_at = now + HEARD_ALL_S
                self._chooser.was_deaf(silence_s)
                self._ask(of_all=True)
            self._heard_at = now

    def _on_up(self) -> None:
        """Ask about all that was under way: messages and answers may be lost."""
        now = self._loop.time()
        self._chooser.was_deaf(now - self._heard_at)
        self._all_heard_at = now + HEARD_ALL_S
        self._heard_at = now
        self._announce()
        self._ask(of_all=True)
        self._place_waiting()

    def _carry_out(self, orders: Orders) -> None:
        for invoker, number in orders.tests:
            self._post(self._to(invoker), Test(self._controller, number))
        if orders.lost:
            self._lose(orders.lost)

    def _lose(self, numbers: tuple[int, ...]) -> None:
        """They may have begun at an invoker that is down."""
        lost = [errand for number in numbers if (errand := self._errands.take(number))]
        if lost:
            logger.warning("%d activations were lost with their invoker %s", len(lost), lost[0].invoker)
        for errand in lost:
            errand.avoid |= {errand.invoker}
            self._spawn(errand, Fate.LOST)

    def _spawn(self, errand: Errand, fate: Fate) -> None:
        task = self._loop.create_task(self._end(errand, fate))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, errand: Errand, fate: Fate) -> None:
        activation = await self._endings.end(errand.message, fate)
        if activation is not None:
            self._resolve(errand, activation)
        elif not self._is_closing:
            self._errands.wait(errand, self._loop.time())
            self._place_waiting()

    def _resolve(self, errand: Errand, activation: Activation) -> None:
        errand.state = State.OVER
        future = self._futures.pop(errand)
        if not future.done():
            future.set_result(activation)

    def _place_waiting(self) -> None:
        """Send what waits, in the order in which it came, until there is no room."""
        while not self.is_away and (errand := self._errands.first_waiting()):
            try:
                self._send(errand)
            except Overloaded:
                return

    async def _tick(self) -> None:
        ticks = 0
        while True:
            if ticks % ANNOUNCE_EVERY == 0:
                self._announce()
            ticks += 1
            try:
                self._look_around()
            except Exception:  # the supervisor: a defect of ours must not make the others believe that we are gone
                logger.exception("a tick of the bus failed")
            await asyncio.sleep(TICK_S)

    def _look_around(self) -> None:
        if not self.is_away:
            self._carry_out(self._chooser.tick())
            self._ask()
            self._tell_settled()
            self._place_waiting()
        for errand in self._errands.hopeless(self._loop.time()):
            self._errands.end(errand)
            self._spawn(errand, Fate.NOWHERE)

    def _announce(self) -> None:
        self._post(self._subjects.announcements, Announcement(self._controller))

    def _ask(self, *, of_all: bool = False) -> None:
        for invoker, numbers in self._errands.questions(self._loop.time(), of_all=of_all).items():
            self._post(self._to(invoker), Ask(self._controller, numbers))

    def _tell_settled(self) -> None:
        for invoker, numbers in self._errands.settled().items():
            self._post(self._to(invoker), Settled(self._controller, numbers))
