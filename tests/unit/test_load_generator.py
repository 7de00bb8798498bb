"""What the bench's load generators count: no request is lost without being told of."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench import pace
from bench.load import measure

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
Answer = Callable[[int], bytes]
"""To the request of that number on a connection; empty to hang up."""


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """A server that answers so; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            number = 0
            while self.request.recv(65536) and (text := answer(number)):
                self.request.sendall(text)
                number += 1

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def answered(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status


def test_other_answers_than_the_expected_one_are_failures() -> None:
    with server(lambda number: answered(202 if number % 2 else 429)) as port:
        load = measure(port, REQUEST, clients=1, requests=40, expected=202)
    assert load.failures == 20


def test_a_request_whose_connection_is_lost_is_a_failure() -> None:
    hang_ups = iter([b""])
    with server(lambda _: next(hang_ups, answered(200))) as port:
        load = measure(port, REQUEST, clients=2, requests=40)
    assert load.failures == 1


def test_a_run_whose_requests_cannot_all_be_sent_is_none() -> None:
    with (
        server(lambda number: answered(200) if number < 3 else b"") as port,
        pytest.raises(SystemExit, match="were not sent"),
    ):
        measure(port, REQUEST, clients=2, requests=40)


def test_a_run_without_one_expected_answer_is_none() -> None:
    with server(lambda _: answered(503)) as port, pytest.raises(SystemExit, match="none of 10 requests"):
        measure(port, REQUEST, clients=2, requests=10)


def test_at_a_given_rate_too_a_lost_connection_is_told_of() -> None:
    hang_ups = iter([b""])
    with server(lambda _: next(hang_ups, answered(200))) as port:
        found = pace.result(pace.start(port, REQUEST, per_second=100, seconds=0.2, connections=4))
    assert (found.accepted, found.other, found.held_back) == (19, 1, 0)


def test_what_is_due_while_all_wait_for_an_answer_is_held_back() -> None:
    def answer(_: int) -> bytes:
        time.sleep(1)
        return answered(200)

    with server(answer) as port:
        found = pace.result(pace.start(port, REQUEST, per_second=100, seconds=0.2, connections=2))
    assert (found.accepted, found.held_back) == (2, 18)
