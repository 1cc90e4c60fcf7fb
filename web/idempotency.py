"""The header `Idempotency-Key`, which makes it safe for a client to repeat a write.

`services/idempotency.py` keeps the answers. This module reads the header, lets requests with the same key
take turns within this process, and describes the header in the OpenAPI document.
"""

import asyncio
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request, Response
from sqlalchemy.orm import Session

from errors import InvalidInput, invalid_at
from models import Caller
from services.idempotency import KEY_LENGTH, Answer, KeyedRequest, answered_once, keyed_request
from storage.threads import wake
from web import bounds

T = TypeVar("T")
# The middleware stores the sent keys in the scope under this name.
SENT_KEYS = "idempotency_keys"
_KEY = re.compile(rb"[\x20-\x7e]{1,%d}" % KEY_LENGTH)

PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A text of the client's choice. The same request with the same key changes nothing more,"
    " and gets the first answer again: it is safe to repeat",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_LENGTH,
        "pattern": "^[ -~]+$",
        "examples": ["5f0c6a0d-e1f4-4c4c-9f43-d35f0f4c2d5b"],
    },
}
REPLAYED: dict[str, Any] = {
    "Idempotency-Replayed": {
        "description": "`true` if this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def declare(options: dict[str, Any]) -> None:
    """Declare the header and the replay of an endpoint in the OpenAPI document."""
    extra: dict[str, Any] = options.get("openapi_extra") or {}
    options["openapi_extra"] = {**extra, "parameters": [*extra.get("parameters", ()), PARAMETER]}
    responses: dict[int | str, dict[str, Any]] = options["responses"]
    status = options.get("status_code") or 200
    declared = responses.get(status, {})
    responses[status] = {**declared, "headers": {**declared.get("headers", {}), **REPLAYED}}


def bad_key() -> InvalidInput:
    """The error for a key that was sent twice, or that is no key."""
    detail = f"Send it once, as 1 to {KEY_LENGTH} printable ASCII characters"
    return invalid_at("header.Idempotency-Key", detail)


async def keyed(request: Request, *, is_too_large: bool = False) -> KeyedRequest:
    """The request that the key stands for; raises InvalidInput for a bad key.

    A body that is too large is not read: no request with such a body has a kept answer.
    """
    sent: list[bytes] = request.scope[SENT_KEYS]
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise bad_key()
    scope = request.scope
    body = b"\0" if is_too_large else await request.body()
    return await bounds.off_the_loop(
        body,
        lambda: keyed_request(sent[0].decode(), scope["method"], scope["path"], scope["query_string"], body),
    )


def respond_once(
    db: Session,
    caller: Caller,
    request: KeyedRequest,
    respond: Callable[[], Response],
    secrets: Sequence[str],
) -> Response:
    """The response of `respond`, or the response that the same request got before."""
    made: list[Response] = []

    def answer() -> Answer:
        response = respond()
        made.append(response)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return Answer(response.status_code, headers, bytes(response.body))

    kept, replayed = answered_once(db, caller, request, answer, secrets)
    if not replayed:
        return made[0]
    return replay(kept)


def replay(kept: Answer) -> Response:
    """The response of a kept answer."""
    return Response(kept.body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})


class _Turns:
    """Lets requests with the same key through one at a time, on any event loop.

    A waiting request holds no thread and no connection. It would hold both if it waited in the database.
    """

    def __init__(self) -> None:
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}
        self._lock = threading.Lock()

    @asynccontextmanager
    async def turn(self, key: object) -> AsyncIterator[None]:
        """Wait until no other request with this key is being served."""
        mine: asyncio.Future[None] | None = None
        with self._lock:
            if key in self._waiting:
                mine = asyncio.get_running_loop().create_future()
                self._waiting[key].append(mine)
            else:
                self._waiting[key] = deque()
        if mine is not None:
            try:
                await mine
            except asyncio.CancelledError:
                self._give_up(key, mine)
                raise
        try:
            yield
        finally:
            self._next(key)

    def _give_up(self, key: object, mine: "asyncio.Future[None]") -> None:
        with self._lock:
            waits = mine in self._waiting.get(key, ())
            if waits:
                self._waiting[key].remove(mine)
        if not waits:
            # This request already had its turn, and does not need it: let the next request through.
            self._next(key)

    def _next(self, key: object) -> None:
        while True:
            with self._lock:
                if not self._waiting[key]:
                    del self._waiting[key]
                    return
                following = self._waiting[key].popleft()
            try:
                wake(following)
                return
            except RuntimeError:
                continue  # The event loop of that request has closed: let the next request through.


_turns = _Turns()


async def write_in_turn(
    claims: Mapping[str, Any],
    request: KeyedRequest,
    write: Callable[..., Awaitable[T]],
    work: Callable[[Session], T],
    *,
    is_long: bool,
) -> T:
    """Write like `Database.write_async`, after earlier requests with the same account and key have ended."""
    async with _turns.turn((claims.get("program") or claims["sub"], request.key_hash)):
        return await write(work, is_long=is_long)
