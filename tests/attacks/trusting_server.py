"""An HTTP server that believes its clients: it keeps what comes, waits as long as they like, and opens what they name.

The attacks on the platform's own server are tried on it first; what they do there is what they are for.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote


class TrustingServer:
    """Serves one connection after the other from a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.kept_bytes = 0
        self._is_asked_to_close = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listener.getsockname()
        return host, port

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
                self._is_asked_to_close = False
                while not self._is_asked_to_close and (line := stream.readline()):
                    connection.sendall(self._answer(line, stream))

    def _answer(self, line: bytes, stream: io.BufferedReader) -> bytes:
        length, is_packed, key = 0, False, ""
        while (header := stream.readline()).strip():
            self.kept_bytes += len(header)
            name, _, value = header.decode("latin-1").partition(":")
            length = int(value) if name.lower() == "content-length" else length
            is_packed |= name.lower() == "content-encoding"
            self._is_asked_to_close |= (name.lower(), value.strip()) == ("connection", "close")
            key = value.strip() if name.lower() == "authorization" else key
        body = b""
        while len(body) < length and (part := stream.read1(min(65536, length - len(body)))):
            body += part
        try:
            text = self._handle(unquote(line.split()[1].decode()), gzip.decompress(body) if is_packed else body, key)
            status = "200 OK"
        except Exception as error:  # what a framework makes of any mistake in a handler
            text, status = repr(error).encode(), "500 Internal Server Error"
        return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(text), text)

    def _handle(self, path: str, body: bytes, key: str) -> bytes:
        self.kept_bytes += len(body)
        if key:
            database = sqlite3.connect(":memory:")
            with contextlib.closing(database):
                database.execute("CREATE TABLE keys (name TEXT)")
                database.execute("INSERT INTO keys VALUES ('the-owner')")
                return repr(database.execute(f"SELECT name FROM keys WHERE name = '{key}'").fetchall()).encode()
        if body:
            return json.dumps(json.loads(body)).encode()
        return (self.folder / path.lstrip("/")).read_bytes() if path != "/" else b"here"


@contextmanager
def trusting(folder: Path) -> Iterator[TrustingServer]:
    server = TrustingServer(folder)
    try:
        yield server
    finally:
        server.close()
