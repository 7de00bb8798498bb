"""The REST API as an ASGI application: from bytes to a handler and back. No framework, this is the hot path.

The order is the contract's: read the body, authenticate, find the route, throttle,
entitle, handle. What is refused before a handler is entered is answered without CORS
headers, what a handler refuses with them.
"""

from __future__ import annotations

import logging
import os
import re
import string
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sabayon import messages
from sabayon.controller import info
from sabayon.controller.accept import accepts_json
from sabayon.controller.auth import CHALLENGE, NotAuthenticated, authenticate
from sabayon.controller.call import Call, Slot
from sabayon.controller.entitlement import Entitlement
from sabayon.controller.http import (
    JSON,
    FrameworkRejection,
    Headers,
    Request,
    Response,
    error_response,
    malformed,
    text_response,
)
from sabayon.controller.idempotency import HEADER
from sabayon.controller.query import parse_query
from sabayon.controller.routing import Route, find_route
from sabayon.controller.services import Services
from sabayon.controller.throttle import Throttle
from sabayon.controller.transport import PlainAnswer, Receive, Send, read_body, send_response
from sabayon.entity.identity import Identity
from sabayon.entity.limits import EffectiveLimits, effective_limits
from sabayon.errors import Conflict, Corrupt, NotNow, Rejection, StoreUnavailable

MAX_URI_BYTES: Final = 8192
USUAL_URI_BYTES: Final = 512
"""Longer ones are taken apart each time, so that those remembered take little memory."""

HANDLER_S: Final = 65.0

_TRANSACTION_ID = re.compile(r"[\x21-\x7e]{1,128}")
_ALPHABET = ((string.ascii_letters + string.digits).encode() * 5)[:256]
"""A letter or digit for each byte."""
_API_SEGMENTS: Final = ("api", "v1")

access_log = logging.getLogger("sabayon.access")
logger = logging.getLogger("sabayon.controller")


def create_app(
    services: Services, *, is_access_logged: bool = False, controllers: Callable[[], int] = lambda: 1
) -> App:
    """The application on `services`. controllers: how many there are now, which share the limits of a namespace."""
    return App(services, is_access_logged=is_access_logged, controllers=controllers)


class App:
    """One controller: its services, its entitlement checks, its counters."""

    def __init__(self, services: Services, *, is_access_logged: bool, controllers: Callable[[], int]) -> None:
        self._services = services
        self._entitlement = Entitlement(services.artifacts)
        self._throttle = Throttle(controllers)
        self._is_access_logged = is_access_logged

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the API does not speak {scope['type']}")
        started = time.monotonic()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        transaction_id = _transaction_id(headers.get("x-request-id"))
        try:
            response = await self._respond(scope, receive, headers, transaction_id)
        except PlainAnswer as plain:
            response = plain.response
        size = await send_response(send, response, transaction_id)
        if self._is_access_logged:
            _log(scope, response.status, size, transaction_id, started)

    async def _respond(
        self, scope: dict[str, Any], receive: Receive, headers: dict[str, str], transaction_id: str
    ) -> Response:
        raw_path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        if len(raw_path) + len(query) + bool(query) > MAX_URI_BYTES:
            raise PlainAnswer(414, messages.URI_TOO_LONG.format(limit=MAX_URI_BYTES))
        segments = _usual_segments(raw_path) if len(raw_path) <= USUAL_URI_BYTES else _segments(raw_path)
        method, accepted_ms = scope["method"], self._services.now_ms()
        is_api = segments[:2] == _API_SEGMENTS
        if method == "OPTIONS":
            return _options(is_api=is_api)
        try:
            if not is_api:
                response = _outside_of_api(method, segments, transaction_id, self._services)
            elif method == "GET" and (document := _open_document(segments[2:])):
                response = document
            else:
                body = await read_body(receive, headers, self._services.deadlines)
                parsed = parse_query(query)
                request = Request(method, segments[2:], parsed, headers, body, transaction_id, accepted_ms)
                response = await self._handle(request)
            _check_accepted(response, headers.get("accept"))
            return response
        except FrameworkRejection as rejection:
            challenge = (("WWW-Authenticate", CHALLENGE),) if isinstance(rejection, NotAuthenticated) else ()
            return error_response(rejection.status, rejection.text, transaction_id, challenge)

    async def _handle(self, request: Request) -> Response:
        try:
            identity = await authenticate(self._services.identities, request.headers.get("authorization"))
            response = await self._enter(request, identity, _route(request, identity))
        except FrameworkRejection:
            raise
        except Rejection as rejection:
            headers = _retry_after(rejection.retry_after_s)
            return error_response(rejection.status, rejection.text, request.transaction_id, headers, has_cors=True)
        except Exception as error:
            return _failure(error, request.transaction_id)
        return response._replace(has_cors=True)

    async def _enter(self, request: Request, identity: Identity, route: Route) -> Response:
        """Throttle, entitle, handle. Raises what those raise."""
        limits = effective_limits(self._services.limits, identity.limits)
        slot = self._slot(identity, route, limits, is_keyed=HEADER in request.headers)
        try:
            with self._services.deadlines.within(HANDLER_S):
                await route.check(self._entitlement, identity)
                call = Call(
                    request,
                    identity,
                    limits,
                    route.namespace,
                    self._services,
                    self._entitlement,
                    self._throttle,
                    route.parts,
                    slot,
                )
                return await route.handler(call)
        except TimeoutError as error:
            raise PlainAnswer(503, messages.HANDLER_TIMEOUT) from error
        finally:
            slot.release()

    def _slot(self, identity: Identity, route: Route, limits: EffectiveLimits, *, is_keyed: bool) -> Slot:
        """A place among the invocations in flight, for what needs one. Raises Rejection 429.

        With an idempotency key the place is taken when it is known that something is to be run.
        """
        if route.is_invocation and is_keyed:
            self._throttle.count_invocation(identity, limits, self._services.now_ms())
        elif route.is_invocation:
            self._throttle.check_invocation(identity, limits, self._services.now_ms())
            return Slot(partial(self._throttle.release, identity))
        if route.is_fire:
            self._throttle.check_fire(identity, limits, self._services.now_ms())
        return _NO_SLOT


def _segments(raw_path: str) -> tuple[str, ...]:
    """What stands between the slashes, decoded."""
    return tuple(unquote(text, errors="replace") if "%" in text else text for text in raw_path.split("/")[1:])


_usual_segments = lru_cache(4096)(_segments)


_NO_SLOT = Slot(None)


def _route(request: Request, identity: Identity) -> Route:
    """Raises FrameworkRejection, also for names that are none: no handler has been entered yet."""
    try:
        return find_route(request.method, request.segments, identity.namespace)
    except Rejection as rejection:
        raise FrameworkRejection(rejection.status, rejection.text) from rejection


def _transaction_id(given: str | None) -> str:
    """The client's, unless it is unfit to be written in a log or taken for one of ours."""
    if given is not None and not given.startswith("sid_") and _TRANSACTION_ID.fullmatch(given):
        return given
    return os.urandom(32).translate(_ALPHABET).decode()


def _options(*, is_api: bool) -> Response:
    headers = () if is_api else (("Access-Control-Allow-Methods", "OPTIONS, GET, POST"),)
    return text_response("OK")._replace(headers=headers, has_cors=is_api)


def _outside_of_api(method: str, segments: tuple[str, ...], transaction_id: str, services: Services) -> Response:
    """What is not under `/api/v1`: a few open documents, 405 for everything else."""
    documents: dict[tuple[str, ...], Callable[[], Response]] = {
        ("",): lambda: info.deployment_info(services),
        ("ping",): info.pong,
        ("api-docs",): info.root_docs,
        ("api-docs", ""): info.root_docs,
        ("docs",): lambda: info.docs_redirect(""),
        ("docs", "index.html"): info.root_docs_page,
    }
    document = documents.get(segments)
    if document is not None and method == "GET":
        return document()
    allowed = "OPTIONS" if document is None else "GET, OPTIONS"
    return error_response(405, messages.method_not_allowed(allowed), transaction_id, (("Allow", allowed),))


def _open_document(segments: tuple[str, ...]) -> Response | None:
    """The documents under `/api/v1` that need no key."""
    match segments:
        case () | ("",):
            return info.api_info()._replace(has_cors=True)
        case ("api-docs",) | ("api-docs", ""):
            return info.api_docs()._replace(has_cors=True)
        case ("docs",):
            return info.docs_redirect(info.API_PATH)
        case ("docs", "index.html"):
            return info.api_docs_page()
        case _:
            return None


def _check_accepted(response: Response, accept: str | None) -> None:
    """Raises FrameworkRejection 406 for JSON that the client does not take. Refusals it gets all the same."""
    is_json = response.content_type is JSON and bool(response.body)
    if is_json and response.status < 300 and not accepts_json(accept):
        raise FrameworkRejection(406, messages.NOT_ACCEPTABLE)


def _retry_after(seconds: int | None) -> Headers:
    return () if seconds is None else (("Retry-After", str(seconds)),)


def _failure(error: Exception, transaction_id: str) -> Response:
    """The answer to what should not have happened, or not be seen."""
    if isinstance(error, PlainAnswer):
        raise error
    if isinstance(error, msgspec.DecodeError | RecursionError):
        raise malformed(str(error)) from error
    retry_after_s = 1
    if isinstance(error, Conflict):
        status, text = 409, messages.CONCURRENT_MODIFICATION
    elif isinstance(error, Corrupt):
        logger.error("tx=%s: %s", transaction_id, error)
        status, text = 500, messages.CORRUPT
    elif isinstance(error, StoreUnavailable):
        logger.error("tx=%s: %s", transaction_id, error)
        status, text = 503, messages.UNAVAILABLE
    elif isinstance(error, NotNow):
        logger.warning("tx=%s: refused: %s", transaction_id, error)
        status, text, retry_after_s = 503, messages.UNAVAILABLE, error.retry_after_s
    else:
        logger.error("tx=%s: unexpected failure", transaction_id, exc_info=error)
        status, text = 500, messages.INTERNAL_ERROR
    headers = _retry_after(retry_after_s if status == 503 else None)
    return error_response(status, text, transaction_id, headers, has_cors=True)


def _log(scope: dict[str, Any], status: int, size: int, transaction_id: str, started: float) -> None:
    """One line; the query may hold anything, so it is left out."""
    duration_ms = (time.monotonic() - started) * 1000
    path = scope["raw_path"].decode("latin-1")
    access_log.info(
        "tx=%s method=%s path=%s status=%d bytes=%d duration_ms=%.1f",
        transaction_id,
        scope["method"],
        path,
        status,
        size,
        duration_ms,
    )
