"""The bus between machines, at an invoker: takes what controllers send, and tells them how it ended.

Whatever comes twice is run once, and how it ended is said until the controller has heard it. An invoker that was held
up for so long that it may have been taken for lost begins nothing that was sent to it before: it gives that back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, Final, Protocol

import msgspec

from sabayon.bus.base import ActivationMessage
from sabayon.bus.census import Census, Group, Report
from sabayon.bus.codec import (
    Announcement,
    Ask,
    Back,
    Barred,
    Beat,
    Cancel,
    Cancelled,
    Done,
    Echo,
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
from sabayon.bus.custody import Custody, Key, Standing
from sabayon.bus.heartbeat import Heartbeat, Phase
from sabayon.bus.link import Envelope, Link
from sabayon.bus.subjects import Subjects
from sabayon.entity.activation import Activation

logger = logging.getLogger("sabayon.bus")

BEAT_S: Final = 1.0

LOOK_S: Final = 0.25
STALL_S: Final = 1.5
"""How often this process looks at the clock, and how late it is when it was held up for too long."""

ACK_DELAY_S: Final = 0.05
"""What has ended by then need not be acknowledged besides; a controller waits far longer for it."""

GONE_AFTER_S: Final = 60.0
"""Silence of a controller after which nothing is kept for it."""

LATE_S: Final = 0.5
"""While it drains, for what was sent to it by controllers that had not heard so yet: that must be given back."""

FAREWELL_S: Final = 1.0


class Host(Protocol):
    """The invoker, as its end of the bus needs it."""

    @property
    def kinds(self) -> frozenset[str]:
        """What it can run."""
        ...

    @property
    def memory_mb(self) -> int:
        """Its pool's."""
        ...

    def accept(self, message: ActivationMessage) -> asyncio.Future[Activation]:
        """Run it. The future is cancelled when it is released."""
        ...

    def cancel(self, namespace: str, activation_id: str) -> bool:
        """Stop an activation; whether it had not ended."""
        ...

    def release(self, activation_id: str) -> bool:
        """Give up an activation that waits for a container, without a record; False if it may have begun."""
        ...

    def containers(self) -> Mapping[Group, frozenset[int]]:
        """The ids of its containers, by whose they are."""
        ...

    def test(self) -> Awaitable[bool]:
        """Whether it can run something. Raises nothing."""
        ...


class Intake:
    """One start of one invoker, at `started_ms`, epoch ms."""

    def __init__(self, link: Link, subjects: Subjects, invoker: str, host: Host, *, started_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = link
        self._subjects = subjects
        self._invoker = invoker
        self._started_ms = started_ms
        self._host = host
        self._custody = Custody()
        self._census = Census()
        self._runs: dict[str, asyncio.Future[Activation]] = {}
        self._ids: dict[Key, str] = {}
        self._acks: dict[str, list[int]] = {}
        self._heard_at: dict[str, float] = {}
        self._phase = Phase.SERVING
        self._looked_at = self._loop.time()
        self._stalls = 0
        self._stall: int | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._own = subjects.invoker(invoker, started_ms)
        link.subscribe(self._own, self._on_frame)
        link.subscribe(subjects.invokers, self._on_frame)
        link.subscribe(subjects.announcements, self._on_frame)
        link.watch(self._on_up)

    def __repr__(self) -> str:
        kept = f"{self._custody.kept_bytes} bytes of ends kept"
        return f"<Intake of {self._invoker}, {self._phase}, {len(self._custody)} under way, {kept}>"

    async def start(self) -> None:
        """Begin to take part. The link may be up already, or come up later."""
        for work in (self._beat(), self._look()):
            self._spawn(work)

    async def drain(self, most_s: float) -> None:
        """Take nothing more, give back what has not begun, and let the rest end, for at most so long."""
        self._phase = Phase.DRAINING
        self._tell()
        self._hand_back()
        await asyncio.sleep(min(LATE_S, most_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), most_s)

    async def aclose(self) -> None:
        """Say farewell. To be called after the host has ended all that it had. Idempotent.

        Farewell means that what has not ended has not begun. Where that is not so, silence has to say it.
        """
        if self._phase is Phase.LEFT:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), FAREWELL_S)
        self._phase = Phase.LEFT
        if self._is_empty.is_set():
            self._say_farewell()
        await self._link.flush(FAREWELL_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_frame(self, envelope: Envelope) -> None:
        """Raises ValueError for what is no frame, or none that an invoker gets."""
        if self._phase is Phase.LEFT:
            return
        match decode(envelope.payload):
            case Run(controller, number, message):
                self._look_at_clock()
                self._heard(controller)
                self._on_run(Key(controller, number), message)
            case Ask(controller, numbers):
                self._heard(controller)
                self._on_ask(controller, numbers)
            case Settled(controller, numbers):
                self._custody.settled(Key(controller, number) for number in numbers)
            case Cancel(controller, token, namespace, activation_id):
                is_found = self._host.cancel(namespace, activation_id)
                self._post(controller, Cancelled(token, is_found))
            case Test(controller, number):
                self._heard(controller)
                self._spawn(self._test(controller, number))
            case Announcement(controller, is_leaving):
                self._on_announcement(controller, is_leaving=is_leaving)
            case Echo(token):
                if token == self._stall:
                    self._stall = None
            case frame:
                raise ValueError(f"{type(frame).__name__} is for controllers")

    def _on_run(self, key: Key, message: ActivationMessage) -> None:
        standing = self._custody.standing(key)
        if standing is not Standing.NEW:
            self._answer(key, standing)
        elif self._phase is not Phase.SERVING or self._stall is not None:
            self._custody.bar(key)
            self._post(key.controller, Back([key.number]))
        else:
            self._begin(key, message)

    def _begin(self, key: Key, message: ActivationMessage) -> None:
        """Run it, unless it runs already: a controller that has died may have sent it before."""
        activation_id = message.activation_id
        self._custody.take(key, message.action.limits.memory)
        self._ids[key] = activation_id
        self._is_empty.clear()
        run = self._runs.get(activation_id)
        if run is None:
            run = self._runs[activation_id] = self._host.accept(message)
        run.add_done_callback(lambda run: self._ended(key, run))
        self._acknowledge(key)

    def _acknowledge(self, key: Key) -> None:
        if not self._acks:
            self._loop.call_later(ACK_DELAY_S, self._send_acks)
        self._acks.setdefault(key.controller, []).append(key.number)

    def _send_acks(self) -> None:
        acks, self._acks = self._acks, {}
        for controller, numbers in acks.items():
            held = [n for n in numbers if self._custody.standing(Key(controller, n)) is Standing.HELD]
            if held:
                self._post(controller, Held(held))

    def _ended(self, key: Key, run: asyncio.Future[Activation]) -> None:
        activation_id = self._ids.pop(key)
        if self._runs.get(activation_id) is run:
            del self._runs[activation_id]
        if run.cancelled():
            self._custody.bar(key)
            self._post(key.controller, Back([key.number]))
        elif error := run.exception():
            logger.error("activation %s has no end: %s", activation_id, error, exc_info=error)
            self._custody.lost(key)
            self._post(key.controller, Forgotten([key.number]))
        else:
            activation = run.result()
            if activation.logs:
                activation = msgspec.structs.replace(activation, logs=())
            end = encode(Done(key.number, activation))
            self._custody.ended(key, end)
            self._link.post(self._subjects.controller(key.controller), end)
        if not self._custody:
            self._is_empty.set()

    def _on_ask(self, controller: str, numbers: list[int]) -> None:
        held = []
        for number in numbers:
            key = Key(controller, number)
            standing = self._custody.standing(key)
            if standing is Standing.HELD:
                held.append(number)
            else:
                self._answer(key, standing)
        if held:
            self._post(controller, Held(held))

    def _answer(self, key: Key, standing: Standing) -> None:
        """What is so of a sending about which there is a question, or which comes again."""
        match standing:
            case Standing.HELD:
                self._acknowledge(key)
            case Standing.ENDED:
                self._link.post(self._subjects.controller(key.controller), self._custody.end_of(key))
            case Standing.FORGOTTEN:
                self._post(key.controller, Forgotten([key.number]))
            case Standing.NEW | Standing.BARRED:
                self._custody.bar(key)
                self._post(key.controller, Barred([key.number]))

    def _hand_back(self) -> None:
        """Give up what waits for a container; what has begun goes on."""
        released = sum(self._host.release(activation_id) for activation_id in list(self._runs))
        if released:
            logger.info("%d activations are handed back: they have not begun", released)

    async def _test(self, controller: str, number: int) -> None:
        self._post(controller, Tested(self._invoker, number, await self._host.test()))

    def _on_announcement(self, controller: str, *, is_leaving: bool) -> None:
        if is_leaving:
            self._heard_at.pop(controller, None)
            self._custody.gone(controller)
        else:
            self._heard(controller)

    def _heard(self, controller: str) -> None:
        is_new = controller not in self._heard_at
        self._heard_at[controller] = self._loop.time()
        if is_new:  # it waits for what it can have work run by
            self._tell(is_whole=True)

    def _on_up(self) -> None:
        """Say again what may have been lost with the connection."""
        self._stall = None
        self._tell(is_whole=True)
        for key, end in self._custody.kept():
            self._link.post(self._subjects.controller(key.controller), end)

    def _say_farewell(self) -> None:
        """To each controller after all else that it was told, which other heartbeats may overtake."""
        farewell = Beat(self._heartbeat(Report((), False)))
        for controller in self._heard_at:
            self._post(controller, farewell)

    def _tell(self, *, is_whole: bool = False) -> None:
        """A heartbeat."""
        report = self._census.report(self._host.containers(), is_whole=is_whole)
        self._link.post(self._subjects.heartbeats, encode(Beat(self._heartbeat(report))))

    def _heartbeat(self, report: Report) -> Heartbeat:
        return Heartbeat(
            containers=report.containers,
            invoker=self._invoker,
            is_whole=report.is_whole,
            kinds=self._host.kinds,
            memory_mb=self._host.memory_mb,
            phase=self._phase,
            started_ms=self._started_ms,
            taken_mb=self._custody.taken_mb(),
        )

    async def _beat(self) -> None:
        while True:
            try:
                self._tell()
                self._forget_controllers()
            except Exception:  # the supervisor: a defect of ours must not make the others believe that we are gone
                logger.exception("a heartbeat failed")
            await asyncio.sleep(BEAT_S)

    def _forget_controllers(self) -> None:
        now = self._loop.time()
        for controller, heard_at in list(self._heard_at.items()):
            if now - heard_at > GONE_AFTER_S:
                self._custody.gone(controller)
                del self._heard_at[controller]

    async def _look(self) -> None:
        while True:
            self._look_at_clock()
            await asyncio.sleep(LOOK_S)

    def _look_at_clock(self) -> None:
        """Find out whether this process was held up: stopped, or starved.

        It may be taken for lost by now, and what waits in the connection or for a container sent to others. So it is
        given back, which is never wrong, until an echo says that all that came before it has been read.
        """
        now = self._loop.time()
        late_s, self._looked_at = now - self._looked_at - LOOK_S, now
        if late_s < STALL_S:
            return
        logger.warning("held up for %.1f s: what has not begun is handed back", late_s)
        self._hand_back()
        self._stalls += 1
        self._stall = self._stalls
        self._link.post(self._own, encode(Echo(self._stall)))

    def _post(self, controller: str, frame: Frame) -> None:
        self._link.post(self._subjects.controller(controller), encode(frame))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
