"""Where the bus is and how to get in: the settings `bus`, `bus_tls_ca` and `bus_credentials`, checked."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sabayon.errors import OperatorError

PORT: Final = 4222
_SCHEMES: Final = ("nats", "tls")


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the bus. Its credentials are no part of how it looks in a log."""

    host: str
    port: int
    is_tls: bool
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.is_tls else 'nats'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class BusAddress:
    """The servers of one bus, any of which will do. context: for those that speak TLS."""

    servers: tuple[Server, ...]
    context: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers))


def bus_address(urls: str, *, tls_ca: str = "", credentials: str = "") -> BusAddress:
    """`urls`: `nats://[USER:PASSWORD@]HOST[:PORT]`, or `tls://…`, several with commas between them.

    tls_ca: a file of the authorities that are trusted instead of the system's; with it all servers must speak TLS.
    credentials: a file that holds USER:PASSWORD, for those whose URL does not. Raises OperatorError.
    """
    own = _read_credentials(credentials) if credentials else None
    servers = tuple(_server(url.strip(), own, is_tls=bool(tls_ca)) for url in urls.split(",") if url.strip())
    if not servers:
        raise OperatorError("the setting bus names no server; give nats://HOST:PORT")
    return BusAddress(servers, _context(tls_ca) if any(server.is_tls for server in servers) else None)


def _server(url: str, own: tuple[str, str] | None, *, is_tls: bool) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        raise _malformed() from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise _malformed()
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    if user is not None and password is None:
        raise _malformed()
    if user is None and own is not None:
        user, password = own
    return Server(parts.hostname, port, is_tls or parts.scheme == "tls", user, password)


def _malformed() -> OperatorError:
    """What was given is not shown: it may hold a password."""
    return OperatorError("the setting bus must be nats://[USER:PASSWORD@]HOST[:PORT], or several with commas between")


def _read_credentials(path: str) -> tuple[str, str]:
    try:
        text = Path(path).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OperatorError(f"cannot read the file {path} of the setting bus_credentials: {reason}") from error
    user, colon, password = text.partition(":")
    if not user or not colon or not password or "\n" in text:
        raise OperatorError(f"the file {path} of the setting bus_credentials must hold one line, USER:PASSWORD")
    return user, password


def _context(tls_ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(tls_ca).expanduser()) if tls_ca else None)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(f"cannot read authorities from {tls_ca}, the setting bus_tls_ca: {error}") from error
