"""One run's connection to the API: requests, and what their answers mean for the command."""

from __future__ import annotations

import http
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sabayon import __version__
from sabayon.cli.failures import (
    GENERAL,
    NETWORK,
    USAGE,
    ActivationFailed,
    CommandFailed,
    NotYetFinished,
    RequestFailed,
    status_exit_code,
    usage,
)
from sabayon.cli.properties import Config
from sabayon.cli.values import compact, parse_json
from sabayon.cli.verbose import Trace
from sabayon.client import Client, ConnectionFailed, Response
from sabayon.client.http import Tls

PROGRESS_BYTES: Final = 1024 * 1024
"""Uploads above this show a bar."""
_UPLOAD_CHUNK: Final = 64 * 1024
_NO_CONNECTION: Final = "Unable to initialize server connection: "
_NO_AUTH: Final = (
    "Unable to add the HTTP authentication header: Authorization key is not configured (--auth is required)"
)

_OF_ACTIVATIONS: Final = (http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.INTERNAL_SERVER_ERROR)
"""What an activation that failed is answered with: for its action's reasons, or for the platform's."""

Query = dict[str, object]
Headers = dict[str, str]


class Session:
    """Requests on behalf of one command."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Raises CommandFailed when the settings do not lead to a server."""
        if self._client is None:
            self._client = _client(self.config)
        return self._client

    @property
    def host(self) -> str:
        """The server with its scheme."""
        host = self.config.api_host
        return host if host.startswith(("http://", "https://")) else f"https://{host}"

    @property
    def api_url(self) -> str:
        return f"{self.host}/api/{self.config.api_version}"

    def call(
        self,
        method: str,
        route: str,
        *,
        prefix: str,
        query: Query | None = None,
        body: Any = None,
        headers: Headers | None = None,
        namespace: str = "_",
        is_hinted: bool = False,
        is_blocking: bool = False,
    ) -> Any:
        """The parsed answer of an entity route below a namespace; None when it cannot be parsed.

        prefix: begins the text of every failure. is_blocking: a 202 means that the activation has not finished.
        Raises RequestFailed, ActivationFailed, NotYetFinished, CommandFailed.
        """
        ordered = dict(sorted((query or {}).items()))
        self._check_auth(prefix, method, route, ordered)
        path = f"namespaces/{namespace}/{route}"
        response = self._request(method, path, ordered, body, prefix, is_hinted=is_hinted, headers=headers)
        return understand(
            response,
            prefix=prefix,
            is_hinted=is_hinted,
            is_blocking=is_blocking,
            is_result=ordered.get("result") is True or route.startswith("activations"),
        )

    def document(self, method: str, route: str, **options: Any) -> dict[str, Any]:
        """As `call`; an answer that is no object counts as an empty one."""
        answer = self.call(method, route, **options)
        return answer if isinstance(answer, dict) else {}

    def documents(self, method: str, route: str, **options: Any) -> list[dict[str, Any]]:
        """As `call`, for the objects of a list; an answer that is no list counts as an empty one."""
        answer = self.call(method, route, **options)
        return [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []

    def namespaces(self, prefix: str) -> list[Any]:
        """The names of the key's namespaces."""
        self._check_auth(prefix, "GET", "", {})
        response = self._request("GET", "namespaces", {}, None, prefix, is_hinted=False)
        names = understand(response, prefix=prefix)
        return names if isinstance(names, list) else []

    def api_info(self, prefix: str) -> dict[str, Any]:
        """`GET /api/v1`, without the key."""
        client = self.client.with_key("")
        try:
            response = client.request("GET", "")
        except ConnectionFailed as error:
            raise RequestFailed(prefix, str(error), NETWORK, is_hinted=False) from error
        info = understand(response, prefix=prefix)
        return info if isinstance(info, dict) else {}

    def _request(
        self,
        method: str,
        path: str,
        query: Query,
        body: Any,
        prefix: str,
        *,
        is_hinted: bool,
        headers: Headers | None = None,
    ) -> Response:
        data = None if body is None else f"{compact(body)}\n".encode(errors="surrogateescape")
        try:
            return self.client.request(method, path, query=query, body=data, headers=headers)
        except ConnectionFailed as error:
            raise RequestFailed(prefix, str(error), NETWORK, is_hinted=is_hinted) from error

    def _check_auth(self, prefix: str, method: str, route: str, query: Query) -> None:
        if self.config.auth:
            return
        shown = "&".join(f"{key}={str(value).lower()}" for key, value in query.items())
        target = f"{route}?{shown}" if shown else route
        if route.startswith("packages"):
            attempt = f"Unable to create {method} HTTP request for '{target}': "
        else:
            attempt = f"Unable to create HTTP request for {method}{f' {target!r}' if target else ''}: "
        raise CommandFailed(prefix + attempt + _NO_AUTH, USAGE, is_hinted=True)


def understand(
    response: Response,
    *,
    prefix: str,
    is_hinted: bool = False,
    is_blocking: bool = False,
    is_result: bool = False,
) -> Any:
    """The document of an answer. is_result: a record of a failure in it is what was asked for, not a failure.

    Raises RequestFailed, ActivationFailed, NotYetFinished.
    """
    try:
        document = parse_json(response.body.decode(errors="replace"))
    except (ValueError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    if response.is_success:
        if response.status == http.HTTPStatus.ACCEPTED and is_blocking:
            raise NotYetFinished(str(fields.get("activationId", "")))
        answer = fields.get("response")
        if is_result or not isinstance(answer, dict) or answer.get("success") is not False:
            return document
    exit_code = status_exit_code(response.status)
    if "error" in fields and "code" in fields:
        cause = f"{fields['error']} (code {fields['code']})"
        raise RequestFailed(prefix, cause, exit_code, is_hinted=is_hinted)
    has_status = isinstance(fields.get("response"), dict) and "status" in fields["response"]
    if response.status in _OF_ACTIVATIONS and (has_status or "error" in fields):
        raise ActivationFailed(prefix, document, exit_code, is_hinted=is_hinted)
    cause = _plain_text(response) or f"The connection failed, or timed out. (HTTP status code {response.status})"
    raise RequestFailed(prefix, cause, exit_code, is_hinted=is_hinted)


def _plain_text(response: Response) -> str:
    """What an answer that is no JSON says about the request it refuses, such as one that is too large."""
    if response.status != http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ""
    if not dict(response.headers).get("content-type", "").startswith("text/plain"):
        return ""
    return " ".join(response.body.decode(errors="replace").split())


def check_host(config: Config) -> None:
    """Raises CommandFailed when no server is configured."""
    if not config.api_host:
        raise usage("The API host is not valid: An API host must be provided.\n")
    if config.is_insecure or bool(config.cert) == bool(config.key):
        return
    missing = "Key" if config.cert else "Cert"
    text = f"The {missing} file is not configured. Please configure the missing {missing} file.\n"
    raise usage(_NO_CONNECTION + text)


def _client(config: Config) -> Client:
    check_host(config)
    tls = Tls(config.is_insecure, config.cert, config.key)
    if config.cert and config.key:
        try:
            tls.context()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            text = f"Unable to load the X509 key pair due to the following reason: open {config.cert}: {reason}"
            raise CommandFailed(_NO_CONNECTION + text, GENERAL, is_hinted=True) from error
    is_traced = config.is_verbose or config.is_debug
    return Client(
        config.api_host,
        config.auth,
        api_version=config.api_version,
        user_agent=f"OpenWhisk-CLI/1.0 ({__version__}) {_platform()}",
        tls=tls,
        observer=Trace(is_whole=config.is_debug, is_revealing=config.is_revealing) if is_traced else None,
        on_upload=_with_progress,
    )


def _platform() -> str:
    import os

    machine = os.uname().machine
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{sys.platform} {architecture}"


def _with_progress(body: bytes) -> Iterable[bytes]:
    """The body in parts, with a bar on a terminal when it is large."""
    if len(body) <= PROGRESS_BYTES or not sys.stderr.isatty():
        return (body,)
    return _parts_with_bar(body)


def _parts_with_bar(body: bytes) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("uploading", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("uploading", total=len(body))
        for start in range(0, len(body), _UPLOAD_CHUNK):
            yield body[start : start + _UPLOAD_CHUNK]
            progress.update(task, completed=start + _UPLOAD_CHUNK)
