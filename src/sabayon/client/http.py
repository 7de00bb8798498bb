"""Requests over HTTP/1.1, one connection each: short-lived commands and timers gain nothing from a pool."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

Headers = list[tuple[str, str]]
REDIRECTS: Final = (301, 302, 303, 307, 308)
MAX_REDIRECTS: Final = 10
CHUNK_BYTES: Final = 64 * 1024


_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


class ConnectionFailed(Exception):
    """No answer could be had: refused, unresolvable, not trusted, broken off. Text says which."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. headers: as sent, lower-case names."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body's JSON. Raises ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it goes out; what an observer sees before it is sent."""

    method: str
    url: str
    headers: Headers
    body: bytes | None


class Observer(Protocol):
    """Is told of every exchange, for example to print it."""

    def sent(self, exchange: Exchange) -> None: ...

    def received(self, response: Response) -> None: ...


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server is trusted and what it is shown. Paths of PEM files, or empty."""

    is_insecure: bool = False
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError among them) when the pair cannot be loaded."""
        context = ssl.create_default_context()
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Client:
    """One API host and one key.

    api_host: with or without scheme; without one it is `https`. auth_key: `UUID:KEY`, or empty
    for none. timeout_s: of each blocking step, None for no bound. is_direct: never through a proxy.
    """

    def __init__(
        self,
        api_host: str,
        auth_key: str = "",
        *,
        api_version: str = "v1",
        user_agent: str = "sabayon-client",
        timeout_s: float | None = None,
        tls: Tls | None = None,
        observer: Observer | None = None,
        on_upload: Callable[[bytes], Iterable[bytes]] | None = None,
        is_direct: bool = False,
    ) -> None:
        host = api_host if api_host.startswith(("http://", "https://")) else f"https://{api_host}"
        self.base_url = f"{host}/api/{api_version}"
        self.auth_key = auth_key
        self._user_agent = user_agent
        self._timeout_s = timeout_s
        self._tls = tls or Tls()
        self._observer = observer
        self._on_upload = on_upload
        self._is_direct = is_direct

    def with_key(self, auth_key: str) -> Client:
        """The same client acting with another key."""
        other = object.__new__(Client)
        other.__dict__.update(self.__dict__)
        other.auth_key = auth_key
        return other

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send and await the answer, following redirects of GET.

        path: below the API version, percent-encoded where needed (see `segment`); empty for what the API says of
        itself. query: values as text, booleans as `true` and `false`. body: bytes as they are, else anything JSON,
        None for none. headers: besides those of every request. Raises ConnectionFailed.
        """
        url = f"{self.base_url}/{path}" if path else self.base_url
        if query:
            url += "?" + urlencode({key: _query_value(value) for key, value in query.items()})
        data = _encoded(body)
        client = self
        for _ in range(MAX_REDIRECTS):
            response = client._exchange(method, url, data, headers or {})
            location = dict(response.headers).get("location")
            if method != "GET" or response.status not in REDIRECTS or not location:
                return response
            target = urljoin(url, location)
            if not _is_same_server(url, target):
                client = self.with_key("")
            url = target
        raise ConnectionFailed(f"{url}: stopped after {MAX_REDIRECTS} redirects")

    def _exchange(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Response:
        exchange = Exchange(method, url, [*self._headers(data), *headers.items()], data)
        if self._observer:
            self._observer.sent(exchange)
        try:
            response = self._send(exchange)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ConnectionFailed(f'{method.capitalize()} "{url}": {_reason(error)}') from error
        if self._observer:
            self._observer.received(response)
        return response

    def _headers(self, data: bytes | None) -> Headers:
        headers = [("User-Agent", self._user_agent), ("Accept", "application/json")]
        if self.auth_key:
            headers.append(("Authorization", f"Basic {base64.b64encode(self.auth_key.encode()).decode()}"))
        if data is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
        return headers

    def _send(self, exchange: Exchange) -> Response:
        target = urlsplit(exchange.url)
        connection, resource = self._connect(target.scheme, target.hostname or "", target.port, exchange.url)
        try:
            body: Any = exchange.body
            if body is not None and self._on_upload:
                body = self._on_upload(body)
            connection.request(exchange.method, resource, body, dict(exchange.headers))
            answer = connection.getresponse()
            headers = [(name.lower(), value) for name, value in answer.getheaders()]
            return Response(answer.status, headers, answer.read())
        finally:
            connection.close()

    def _connect(self, scheme: str, host: str, port: int | None, url: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection, through the environment's proxy where one applies, and what to ask it for."""
        target = urlsplit(url)
        resource = (target.path or "/") + (f"?{target.query}" if target.query else "")
        proxy = None if self._is_direct else _proxy(scheme, host)
        if scheme == "https":
            context = self._tls.context()
            if proxy is None:
                return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context), resource
            connection = http.client.HTTPSConnection(
                proxy.hostname or "", proxy.port, timeout=self._timeout_s, context=context
            )
            connection.set_tunnel(host, port, _proxy_headers(proxy))
            return connection, resource
        if proxy is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s), resource
        return http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=self._timeout_s), url


def _is_same_server(url: str, target: str) -> bool:
    """Whether a redirect may be followed with the key: to the same host and port, or from plain text to TLS there."""
    before, after = urlsplit(url), urlsplit(target)
    is_upgrade = (before.scheme, after.scheme) == ("http", "https")
    return before.hostname == after.hostname and (is_upgrade or before[:2] == after[:2])


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def _encoded(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _query_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _proxy(scheme: str, host: str) -> Any:
    """The proxy for `host` by HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or None. Loopback never takes one."""
    name = f"{scheme}_proxy"
    address = os.environ.get(name) or os.environ.get(name.upper())
    if not address or host in ("localhost", "127.0.0.1", "::1"):
        return None
    from urllib.request import proxy_bypass

    if proxy_bypass(host):
        return None
    return urlsplit(address if "//" in address else f"http://{address}")


def _proxy_headers(proxy: Any) -> dict[str, str]:
    if not proxy.username:
        return {}
    credential = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"x509: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return "the server does not speak TLS; name it with http:// before its host to do without"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if not isinstance(error, ssl.SSLError) else str(error)
    return str(error) or type(error).__name__
