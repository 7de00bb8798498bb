"""One process's connection to the bus: made again for ever when it breaks, and empty when it is new.

NATS core delivers at most once: what is under way while a connection breaks is lost, and nothing is kept for later. Who
posts finds out what became of it from the other side (`nats.py`, `intake.py`). Nothing is buffered over a break either:
by then it might be wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from sabayon.bus.address import BusAddress, Server
from sabayon.bus.parcels import Assembly, split
from sabayon.errors import OperatorError

logger = logging.getLogger("sabayon.bus")

CONNECT_S: Final = 2.0
RETRY_S: Final = 0.25
"""How long a server may take to let this process in, and how soon the next one is tried."""

PING_S: Final = 1
PINGS: Final = 2
"""A server that has not answered so many pings, one each so many seconds, is given up."""

CLOSE_S: Final = 1.0
LOOK_S: Final = 0.25
"""How often the connection is looked at: one that hangs does not say that it does."""

PENDING_BYTES: Final = 512 << 20
"""What may wait in this process of one subscription; the server gives up who reads too slowly long before."""

NOBODY: Final = "503"
"""The status with which a server returns what nobody has subscribed to."""


class Envelope(NamedTuple):
    """What arrives. is_returned: it is an answer of the server's: nobody takes what was posted with that `reply`."""

    subject: str
    payload: bytes
    is_returned: bool


Handler = Callable[[Envelope], None]


class _Post(NamedTuple):
    subject: str
    payload: bytes
    reply: str


class Link:
    """A connection under the name `name`, which the servers show."""

    def __init__(self, address: BusAddress, name: str) -> None:
        self._address = address
        self._name = name
        self._watchers: list[Callable[[], None]] = []
        self._handlers: dict[str, Handler] = {}
        self._assembly = Assembly()
        self._posts: deque[_Post] = deque()
        self._has_posts = asyncio.Event()
        self._is_sent = asyncio.Event()
        self._is_sent.set()
        self._is_broken = asyncio.Event()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._bad = 0
        self._is_connecting = False
        self._is_leaving = False
        self.is_up = False

    def subscribe(self, subject: str, handler: Handler) -> None:
        """Have `handler` called for all that comes on `subject`, in the order in which one sender has sent it.

        Between subjects there is no order. To be called before `start`.
        """
        self._handlers[subject] = handler

    def watch(self, on_up: Callable[[], None]) -> None:
        """Have `on_up` called each time that there is a connection. What was under way before is lost, perhaps."""
        self._watchers.append(on_up)

    async def start(self, patience_s: float) -> None:
        """Connect. Raises OperatorError when no server can be reached, or lets us in, in that time."""
        is_up = asyncio.Event()
        self._task = asyncio.create_task(self._run(is_up), name="bus")
        try:
            await asyncio.wait_for(is_up.wait(), patience_s)
        except TimeoutError:
            await self.aclose()
            raise OperatorError(f"cannot reach the bus at {self._address}: {self._trouble or 'no answer'}") from None

    def post(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send `payload`, if there is a connection; else it is lost. reply: where the server says that nobody takes it.

        What is posted is sent in that order.
        """
        if not self.is_up:
            return
        self._posts.append(_Post(subject, payload, reply))
        self._is_sent.clear()
        self._has_posts.set()

    async def flush(self, most_s: float) -> None:
        """Until what was posted has reached the server, or for so long."""
        with contextlib.suppress(TimeoutError, NatsError, OSError):
            async with asyncio.timeout(most_s):
                await self._is_sent.wait()
                if self._client is not None and self.is_up:
                    await self._client.flush()

    async def aclose(self) -> None:
        """Leave the bus. Idempotent."""
        self._is_leaving = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self, is_up: asyncio.Event) -> None:
        """Connections, one after the other."""
        for server in cycle(self._address.servers):
            client = Client()
            try:
                await self._connect(client, server)
                self._became_up(client, server)
                is_up.set()
                await self._use(client)
            except (NatsError, OSError, TimeoutError) as error:
                self._tell(server, error)
            except Exception:  # the supervisor: a defect of one connection must not be the last of all
                logger.exception("the connection to the bus failed")
            finally:
                self._became_down()
                await _close(client)
            await asyncio.sleep(RETRY_S)

    async def _connect(self, client: Client, server: Server) -> None:
        self._is_broken.clear()
        self._is_connecting = True
        async with asyncio.timeout(CONNECT_S):
            await client.connect(
                server.url,
                name=self._name,
                tls=self._address.context if server.is_tls else None,
                user=server.user and (lambda: server.user or ""),
                password=server.password and (lambda: _password(client, server)),
                allow_reconnect=False,
                connect_timeout=int(CONNECT_S),
                ping_interval=PING_S,
                max_outstanding_pings=PINGS,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
            )
            _check_tls(client, server)
            for subject, handler in self._handlers.items():
                await client.subscribe(
                    subject, cb=self._receiver(handler), pending_msgs_limit=0, pending_bytes_limit=PENDING_BYTES
                )
            await client.flush()
        self._is_connecting = False

    async def _use(self, client: Client) -> None:
        """Send what is posted until the connection breaks."""
        sending = asyncio.create_task(self._send(client))
        try:
            while client.is_connected and not self._is_broken.is_set() and not sending.done():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_broken.wait(), LOOK_S)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()

    async def _send(self, client: Client) -> None:
        most_bytes = client.max_payload
        while True:
            await self._has_posts.wait()
            while self._posts:
                subject, payload, reply = self._posts.popleft()
                parcels = split(payload, most_bytes, os.urandom(16)) if len(payload) > most_bytes else [payload]
                for parcel in parcels[:-1]:
                    await client.publish(subject, parcel)
                await client.publish(subject, parcels[-1], reply)
            self._has_posts.clear()
            self._is_sent.set()

    def _receiver(self, handler: Handler) -> Callable[[Msg], Any]:
        loop = asyncio.get_running_loop()

        async def receive(message: Msg) -> None:
            try:
                if message.headers:
                    handler(Envelope(message.subject, b"", message.headers.get("Status") == NOBODY))
                elif (payload := self._assembly.take(message.data, loop.time())) is not None:
                    handler(Envelope(message.subject, payload, False))
            except ValueError as error:
                self._tell_bad(message.subject, error)
            except Exception:  # the supervisor of one message: a defect of ours must not stop the others
                logger.exception("a message on %s could not be handled", message.subject)

        return receive

    def _tell_bad(self, subject: str, error: ValueError) -> None:
        """Somebody else uses our subjects. Told once: it may be many."""
        self._bad += 1
        level = logging.WARNING if self._bad == 1 else logging.DEBUG
        logger.log(level, "ignored on the bus, on %s: %s; further ones are not told of", subject, error)

    def _became_up(self, client: Client, server: Server) -> None:
        self._client = client
        self.is_up = True
        self._trouble = ""
        logger.info("the bus is there: %s", server)
        for on_up in self._watchers:
            on_up()

    def _became_down(self) -> None:
        self._client = None
        self._posts.clear()
        self._has_posts.clear()
        self._is_sent.set()
        self._assembly = Assembly()
        if self.is_up:
            self.is_up = False
            if not self._is_leaving:
                logger.warning("the bus is away: the connection is lost; trying again until it is back")

    def _tell(self, server: Server, error: Exception) -> None:
        trouble = f"{server}: {str(error) or type(error).__name__}"
        if trouble != self._trouble:
            logger.warning("the bus cannot be reached: %s; trying again until it can", trouble)
        self._trouble = trouble

    async def _on_error(self, error: Exception) -> None:
        """A raise ends an attempt to connect, which the library would make again and again with the same server."""
        if self._is_connecting:
            self._is_connecting = False
            raise error
        logger.debug("bus: %s", str(error) or type(error).__name__)

    async def _on_closed(self) -> None:
        self._is_broken.set()


def _check_tls(client: Client, server: Server) -> None:
    """Raises NatsError when the connection should be encrypted and is not: the library leaves that to the server."""
    if server.is_tls and not client._server_info.get("tls_required"):
        raise NatsError("the server does not speak TLS, which was asked for")


def _password(client: Client, server: Server) -> str:
    """Asked for when it is about to be sent."""
    _check_tls(client, server)
    return server.password or ""


async def _close(client: Client) -> None:
    """Close, whatever the other side does. Never raises."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    except (NatsError, OSError, TimeoutError) as error:
        logger.debug("bus: closing: %s", str(error) or type(error).__name__)
