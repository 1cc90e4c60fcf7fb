"""Steps for every request: its id, its path, its origin, its time limit, and the headers of its answer."""

import asyncio
import random
import re
import sys
from collections.abc import Callable, Iterable
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import ConfigurationError, settings
from errors import AppError, ServiceUnavailable
from logging_config import logger
from migrations.schema import SchemaError
from request_context import MAPPED, Origin, origin_var, request_id_var
from services.operations.metrics import requests
from web import time_limit
from web.bounds import are_too_long, headers_too_long
from web.forwarded import FORWARDED, apply_forwarded
from web.idempotency import SENT_KEYS
from web.problems import error_response
from web.root_path import RootPath

# Errors that stop the start, each with one line.
STARTUP_ERRORS = (ConfigurationError, SchemaError, AppError)
# The label of requests that reached no endpoint, because their paths could be anything.
NO_ROUTE = "none"
_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# Headers that keep browsers from guessing types, framing answers and sending referrers.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Headers that an answer may replace by its own, as the documentation pages do.
DEFAULT_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
# Browsers ignore these headers, or complain about them, on pages that came by plain HTTP.
ONLY_BY_HTTPS = (
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


# The most bytes that are handed to the connection at once: copying 60 MB took longer than many requests.
SLICE = 1024 * 1024
# A client that takes longer to read a slice is cut off. It would keep the whole body in memory.
SLICE_SECONDS = 60.0


async def _send_slices(send: Send, message: Message) -> None:
    """Send a long body in slices; between them the event loop serves others. Raises ServiceUnavailable."""
    body: bytes = message["body"]
    for start in range(0, len(body), SLICE):
        goes_on = start + SLICE < len(body) or message.get("more_body", False)
        try:
            async with asyncio.timeout(SLICE_SECONDS):
                await send({**message, "body": body[start : start + SLICE], "more_body": goes_on})
        except TimeoutError:
            raise ServiceUnavailable("Its client reads too slowly", code="answers_unread") from None
        await asyncio.sleep(0)


def _unchanged(app: ASGIApp) -> ASGIApp:
    return app


class RequestMiddleware:
    """Gives a request its id, accepts a trailing slash, and answers HEAD like GET.

    An unexpected error is logged with the request's id. The answer shows only the id.
    """

    def __init__(self, app: ASGIApp, opened: Callable[[ASGIApp], ASGIApp] = _unchanged) -> None:
        """`opened` wraps the answers that are made here, so that pages of allowed origins may read them too."""
        self.app, self._opened = app, opened
        over_https = settings.public_url.startswith("https://")
        always = (*SECURITY_HEADERS, *ONLY_BY_HTTPS) if over_https else SECURITY_HEADERS
        self._added = (*always, *DEFAULT_HEADERS)
        self._names = {name for name, _ in self._added}
        self._root = RootPath(settings.root) if settings.root else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, _in_one_line(send))
            return
        began = perf_counter()
        inner = self._inner(scope)
        request_id = _enter(scope, receive)
        if self._root is not None:
            send = self._root.enter(scope, send)
        scope, send = _normalized(scope, send)
        header = (b"x-request-id", request_id.encode())
        status = 0
        failure: Exception | None = None
        limit = time_limit.begin(scope)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if failure is None:
                    # Streams, and work after the response, have no time limit.
                    limit.reschedule(None)
                message["headers"] = self._with_headers(message["headers"], header)
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Counted before sending, because work after the answer is not part of the request's time.
                route = scope.get("route")
                template = getattr(route, "path", NO_ROUTE)
                requests.add(scope["method"], template, status, perf_counter() - began)
            is_long = len(message.get("body", b"")) > SLICE
            await (_send_slices(send, message) if is_long else send(message))

        try:
            async with limit:
                await inner(scope, receive, send_with_headers)
            return
        except _HeadAnsweredError:
            return
        except Exception as error:  # noqa: BLE001  # the last place where an error can be answered and logged
            failure = _took_too_long() if limit.expired() else error
            if status and _is_broken_off(error):
                return
            response = self._opened(_response_to(failure, scope, error if status else None))
        await response(scope, receive, send_with_headers)

    def _inner(self, scope: Scope) -> ASGIApp:
        """The application, or one that refuses the request because its headers are too long, before anything reads them."""
        if not are_too_long(scope["headers"]):
            return self.app
        # The origin decides which pages may read the refusal.
        scope["headers"] = [each for each in scope["headers"] if each[0] == b"origin"]
        return _refuse_headers

    def _with_headers(
        self, headers: Iterable[tuple[bytes, bytes]], request_id: tuple[bytes, bytes]
    ) -> list[tuple[bytes, bytes]]:
        names = {name for name, _ in headers}
        added: Iterable[tuple[bytes, bytes]] = self._added
        if not names.isdisjoint(self._names):
            added = [each for each in added if each[0] not in names]
        return [*headers, request_id, *added]


def _response_to(failure: Exception, scope: Scope, too_late: Exception | None) -> Response:
    """The response to a request that failed; raises `too_late`, the error of an answer that has begun already."""
    response = error_response(Request(scope), failure)
    if too_late is not None:
        raise too_late
    return response


def _is_broken_off(error: Exception) -> bool:
    """Whether an answer that has begun ends early for a known reason, such as a right that the caller lost meanwhile.

    The server then closes the connection, so that the client knows that the answer is not complete.
    """
    # If the answer has begun, Starlette raises a RuntimeError in place of the error.
    reason = error.__cause__ if isinstance(error, RuntimeError) else error
    if not isinstance(reason, AppError):
        return False
    logger.warning("The answer to request %s is broken off: %s", request_id_var.get(), reason.detail)
    return True


class _HeadAnsweredError(Exception):
    """Ends a stream of which only the headers were asked for."""


async def _refuse_headers(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise headers_too_long()


def _normalized(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """Remove the slash at the end of the path, and turn a HEAD into a GET whose answer loses its body."""
    if (path := scope["path"]).endswith("/") and path != "/":
        scope["path"] = path.removesuffix("/")
    if scope["method"] != "HEAD":
        return scope, send

    async def send_headers_only(message: Message) -> None:
        goes_on = message.get("more_body", False)
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)
        if goes_on:
            raise _HeadAnsweredError

    # A copy, because the server must still know that the answer to a HEAD has no body, whatever its length.
    return {**scope, "method": "GET"}, send_headers_only


def _took_too_long() -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The request took longer than {settings.request_timeout_seconds:g} seconds",
        retry_after=5,
        code="request_timeout",
    )


def _in_one_line(send: Send) -> Send:
    """Make the server print a failed start in one line; Starlette would print a traceback."""

    async def send_shortly(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, STARTUP_ERRORS):
            message = {**message, "message": f"The program can't start. {error}"}
        await send(message)

    return send_shortly


def _each_once(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with all lines of one name as one list, as RFC 9110 says.

    A header that takes one value, such as `Content-Type`, is then refused if it was sent twice. Otherwise its
    first line would count here, and perhaps its last line in a proxy.
    """
    lines: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lines.setdefault(name, []).append(value)
    if b"cookie" in lines:
        # FastAPI has the cookies read for every request, and Python reads quoted ones in quadratic time. The program's
        # own cookie has no quotes.
        lines[b"cookie"] = [b"; ".join(lines[b"cookie"]).replace(b'"', b"")]
    return [(name, b", ".join(values)) for name, values in lines.items()]


def _enter(scope: Scope, receive: Receive) -> str:
    """Note the request's id and origin, and return the id. A sane id that the caller sent is kept."""
    request_id, client = "", b""
    forwarded: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if not request_id and _SANE_ID.fullmatch(value):
                request_id = str(value, "ascii")
        elif name == b"user-agent":
            client = value
        elif name == b"idempotency-key":
            scope.setdefault(SENT_KEYS, []).append(value)
        elif name in FORWARDED:
            forwarded.setdefault(name, []).append(value)
    names = {name for name, _ in scope["headers"]}
    if len(names) < len(scope["headers"]) or b"cookie" in names:
        scope["headers"] = _each_once(scope["headers"])
    request_id = request_id or f"{random.getrandbits(128):032x}"
    request_id_var.set(request_id)
    if forwarded:
        apply_forwarded(forwarded, scope, receive)
    peer = scope.get("client")
    address = peer[0] if peer else "-"
    if peer and address.startswith(MAPPED):
        # A socket for both versions of IP shows IPv4 addresses in this form.
        address = address.removeprefix(MAPPED)
        scope["client"] = (address, peer[1])
    origin_var.set(Origin(address, client.decode("latin-1")))
    return request_id
