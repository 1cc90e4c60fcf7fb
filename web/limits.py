"""Optional limits that settings turn on: the allowed hosts, and the number of requests per minute."""

import math
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import auth
from errors import AppError, BadRequest, TooManyRequests
from request_context import address_group, origin_var
from web.forwarded import SANE_HOST
from web.problems import error_response

WINDOW_SECONDS = 60


class HostCheck:
    """Refuses requests for unknown hosts; `*.example.com` allows all hosts below `example.com`."""

    def __init__(self, app: ASGIApp, hosts: list[str]) -> None:
        self.app = app
        self._hosts = frozenset(hosts)
        self._suffixes = tuple(host[1:] for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "").lower()
            if not self._is_allowed(host):
                error = BadRequest("This host is not served here", code="unknown_host")
                await error_response(Request(scope), error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_allowed(self, host: str) -> bool:
        # An address that begins with `allowed.example:@other.example` leads to the other host.
        if not SANE_HOST.fullmatch(host.encode("latin-1", "replace")):
            return False
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        return bool({host, name} & self._hosts) or (bool(self._suffixes) and name.endswith(self._suffixes))


class RateLimit:
    """Limits the requests of each caller per minute, in this process. Every answer tells how many are left.

    The headers follow draft-ietf-httpapi-ratelimit-headers.
    """

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._limit = per_minute
        self._policy = f'"default";q={per_minute};w={WINDOW_SECONDS}'
        self._window = 0
        self._counts: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        now = time.monotonic()
        if (window := int(now // WINDOW_SECONDS)) != self._window:
            self._window, self._counts = window, {}
        reset = math.ceil((window + 1) * WINDOW_SECONDS - now)
        caller = _caller(scope)
        used = self._counts[caller] = self._counts.get(caller, 0) + 1
        remaining = max(0, self._limit - used)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = self._policy
                headers["RateLimit"] = f'"default";r={remaining};t={reset}'
            await send(message)

        if used > self._limit:
            detail = f"More than {self._limit} requests a minute: wait {reset} seconds"
            error = TooManyRequests(detail, retry_after=reset, code="rate_limited")
            await error_response(Request(scope), error)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _caller(scope: Scope) -> str:
    """The caller to count: the account, if the token proves it without a database query; else the address."""
    try:
        claims = auth.claims_of(Request(scope))
    except AppError:
        claims = {}
    if "sub" in claims:
        return f"user:{claims['sub']}"
    return f"address:{address_group(origin_var.get().address)}"
