"""Hears from the functions themselves that they run, so that nobody has to take the platform's word for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

ACTION: Final = """
import socket
def main(args):
    with socket.create_connection((args["host"], args["port"]), 5) as witness:
        witness.sendall(b"%d\\n" % args["n"])
        if not witness.recv(1): raise ConnectionError("the witness has not written it down")
    return {"n": args["n"]}
"""
"""Tells the witness its number, waits until it is written down, and returns it."""


class Witness:
    """How often each number was told. host: its address as sandboxes know it that may reach all."""

    def __init__(self, listener: socket.socket, host: str) -> None:
        self._listener = listener
        self.host = host
        self.port: int = listener.getsockname()[1]
        self._runs: Counter[int] = Counter()

    @property
    def runs(self) -> Counter[int]:
        """As of now."""
        return Counter(self._runs)

    def listen(self) -> None:
        """Until the listener is closed. One teller after the other: what they have to say is short."""
        while True:
            try:
                teller, _ = self._listener.accept()
            except OSError:
                return
            with teller, contextlib.suppress(OSError):
                teller.settimeout(5)
                if line := teller.makefile("rb").readline():  # nothing of one that was killed
                    self._runs[int(line)] += 1
                    teller.sendall(b".")


@contextlib.contextmanager
def witness() -> Iterator[Witness]:
    """One that listens at all addresses of this host."""
    with socket.create_server(("0.0.0.0", 0), backlog=1024) as listener:
        one = Witness(listener, _own_address())
        thread = threading.Thread(target=one.listen, daemon=True)
        thread.start()
        yield one
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _own_address() -> str:
    """Of the interface towards everybody else; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
