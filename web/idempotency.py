"""The header `Idempotency-Key`: what a client sends with a write so that it may repeat it.

`services/idempotency.py` keeps the answers. Here are the header, the turns of requests with one key within this
process, and what the OpenAPI document says of it.
"""

import asyncio
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request, Response
from sqlalchemy.orm import Session

from database import database
from errors import invalid_input
from services.idempotency import KEY_LENGTH, Answer, KeyedRequest, answered_once, keyed_request

T = TypeVar("T")
# Where the middleware leaves the headers with this name, if there are any.
SENT_KEYS = "idempotency_keys"
_KEY = re.compile(rb"[\x20-\x7e]{1,%d}" % KEY_LENGTH)

PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A text of the client's choice that makes it safe to repeat this request: sent again with the "
    "same key, body and query, it changes nothing and is answered as the first time",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[ -~]+$"},
    "example": "5f0c6a0d-e1f4-4c4c-9f43-d35f0f4c2d5b",
}
REPLAYED: dict[str, Any] = {
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def declare(options: dict[str, Any]) -> None:
    """Say in the OpenAPI document that an endpoint takes a key, and what a replay tells."""
    extra: dict[str, Any] = options.get("openapi_extra") or {}
    options["openapi_extra"] = {**extra, "parameters": [*extra.get("parameters", ()), PARAMETER]}
    responses: dict[int | str, dict[str, Any]] = options["responses"]
    status = options.get("status_code") or 200
    declared = responses.get(status, {})
    responses[status] = {**declared, "headers": {**declared.get("headers", {}), **REPLAYED}}


async def keyed(request: Request) -> KeyedRequest:
    """What the request's key stands for; raises InvalidInput for what is no key."""
    sent: list[bytes] = request.scope[SENT_KEYS]
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        detail = f"Send it once, as 1 to {KEY_LENGTH} printable ASCII characters"
        raise invalid_input([{"pointer": "header.Idempotency-Key", "detail": detail}])
    scope = request.scope
    return keyed_request(
        sent[0].decode(), scope["method"], scope["path"], scope["query_string"], await request.body()
    )


def respond_once(
    db: Session, user_id: int, request: KeyedRequest, respond: Callable[[], Response], secrets: Sequence[str]
) -> Response:
    """The response of `respond`, or the one that the same request was given before."""
    made: list[Response] = []

    def answer() -> Answer:
        response = respond()
        made.append(response)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return Answer(response.status_code, headers, bytes(response.body))

    kept, replayed = answered_once(db, user_id, request, answer, secrets)
    if not replayed:
        return made[0]
    return Response(kept.body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})


class _Turns:
    """Lets the requests with one key through one after the other, on whatever event loop each of them is.

    Those that wait hold no thread and no connection, as they would if they waited in the database.
    """

    def __init__(self) -> None:
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}
        self._lock = threading.Lock()

    @asynccontextmanager
    async def turn(self, key: object) -> AsyncIterator[None]:
        """Wait until no other one has its turn with this key."""
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
            # The turn had been given to it already.
            self._next(key)

    def _next(self, key: object) -> None:
        while True:
            with self._lock:
                if not self._waiting[key]:
                    del self._waiting[key]
                    return
                following = self._waiting[key].popleft()
            try:
                following.get_loop().call_soon_threadsafe(_wake, following)
                return
            except RuntimeError:
                continue  # Its event loop has closed: nobody waits any more.


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


_turns = _Turns()


async def write_in_turn(claims: Mapping[str, Any], request: KeyedRequest, work: Callable[[Session], T]) -> T:
    """`Database.write_async`, once those before it with the same token's account and the same key have ended."""
    async with _turns.turn((claims.get("program") or claims["sub"], request.key_hash)):
        return await database.write_async(work)
