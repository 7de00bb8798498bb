"""A loopback HTTP server that answers from a script and remembers what it was asked."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

API = "/api/v1"
NAMESPACE = f"{API}/namespaces/_"

REDIRECTS = (301, 302, 303, 307, 308)

Reply = tuple[int, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire.

    `target` is the raw path with its query; the names of `headers` are in lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    raw_body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def body(self) -> Any:
        """The parsed JSON body; None when there is no body."""
        return json.loads(self.raw_body) if self.raw_body else None

    @property
    def line(self) -> str:
        """Method and target below the caller's namespace: `GET actions?limit=30&skip=0`."""
        return f"{self.method} {self.target.removeprefix(NAMESPACE + '/')}"


class ScriptedServer:
    """Answers `(method, path without query)` from the script.

    A path that starts with no slash is below the caller's namespace. A list of replies is given out one by one, the
    last one for ever. Bytes are sent as they are, text as plain text, None as an empty body, anything else as JSON;
    the content of a redirect is where it leads, with `{port}` for the server's own. What the script leaves out gets the
    answer of a server on which everything works.
    """

    def __init__(self, script: Mapping[tuple[str, str], Reply | list[Reply]] | None = None) -> None:
        self.requests: list[Request] = []
        self._arrived = threading.Condition()
        self._script: dict[tuple[str, str], list[Reply]] = {}
        for (method, path), replies in (script or {}).items():
            full = path if path.startswith("/") else f"{NAMESPACE}/{path}"
            self._script[method, full] = list(replies) if isinstance(replies, list) else [replies]
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, request: Request) -> Reply:
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
            replies = self._script.get((request.method, request.path))
            if replies is None:
                return _default_reply(request)
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def wait_for_requests(self, count: int, timeout: float) -> None:
        """Return once `count` requests have come in. Raises TimeoutError when they do not within `timeout` seconds."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came: {self.requests}")

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()


ACTIVATION_ID = "0123456789abcdef0123456789abcdef"


def _default_reply(request: Request) -> Reply:
    parts = request.path.removeprefix(f"{API}/namespaces").strip("/").split("/")
    if request.path == f"{API}/namespaces":
        return 200, ["guest"]
    if len(parts) == 2 and request.method == "GET":
        return 200, []
    collection, name = parts[1] if len(parts) > 1 else "", "/".join(parts[2:])
    if request.method == "POST" and collection in ("actions", "triggers"):
        return 202, {"activationId": ACTIVATION_ID}
    if request.method == "PUT":
        return 200, {"namespace": "guest", "name": name, "version": "0.0.1"} | (request.body or {})
    return 200, {"namespace": "guest", "name": name.rpartition("/")[2], "version": "0.0.1"}


def _lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, _lower(self.headers.items()), self.rfile.read(length))
            status, content = server.answer(request)
            is_text = status not in REDIRECTS and isinstance(content, str)
            content = content.encode() if is_text else content
            is_raw = isinstance(content, bytes)
            self.send_response(status)
            if status in REDIRECTS:
                self.send_header("Location", content.replace("{port}", str(self.server.server_address[1])))
                content = None
            body = content if is_raw else b"" if content is None else json.dumps(content).encode()
            self.send_header("Content-Length", str(len(body)))
            if body:
                kind = "text/html" if body.startswith(b"<") else "application/json"
                self.send_header("Content-Type", "text/plain; charset=UTF-8" if is_text else kind)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
