"""What every request passes through: its id, its path, and what is said when the program itself fails."""

import re
import uuid
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import error_response
from logging_config import request_id_var

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class RequestMiddleware:
    """Gives a request its id, takes a path with or without a trailing slash, and answers HEAD like GET.

    An error that nobody expected is logged with the request's id, which is all that the answer tells of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        request_id_var.set(request_id)
        path: str = scope["path"]
        if path.endswith("/") and path != "/":
            scope["path"] = path.removesuffix("/")
        without_body = scope["method"] == "HEAD"
        if without_body:
            scope["method"] = "GET"
        header = (b"x-request-id", request_id.encode())
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], header]
            elif without_body and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:  # the last place where it can be answered and logged
            response = error_response(Request(scope), error)
            if started:
                raise
            await response(scope, receive, send_with_id)


def _request_id(scope: dict[str, Any] | Scope) -> str:
    """The id that the caller sent, if it is fit for a log line, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex
