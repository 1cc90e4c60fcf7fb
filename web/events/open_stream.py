"""An open stream of Server-Sent Events: what it sends, and its end."""

import asyncio
import time
from typing import Any

from starlette.types import Send

from database import AnyRow
from logging_config import logger
from models import Caller
from services.events import feed
from services.events.stream_sight import StreamSight

LONGEST_SECONDS = 30 * 60.0
# A client that reads its events too slowly is cut off. It may connect again and continue where it was.
MOST_WAITING_BYTES = 1024 * 1024
# The time in which a client must take the end of its stream.
PATIENCE_SECONDS = 15.0


class OpenStream:
    """An open stream, with the content that waits to be sent."""

    __slots__ = (
        "catching_up",
        "claims",
        "ends_at",
        "is_ended",
        "patience",
        "position",
        "question",
        "send",
        "sending",
        "sight",
        "size",
        "takes_an_admin",
        "user",
        "waiting",
    )

    def __init__(
        self, user: Caller, claims: dict[str, Any], question: feed.Question, position: int, send: Send
    ) -> None:
        self.user, self.claims, self.question, self.position = user, claims, question, position
        # The end of the token is a time of day, so the clock of the event loop can't be compared with it.
        self.ends_at = min(time.time() + LONGEST_SECONDS, claims.get("exp", float("inf")))
        # A stream that has not caught up yet, because its client reads slowly, shows an admin's events too.
        self.takes_an_admin = question.takes_an_admin(user)
        # The sight is None until the stream has caught up with the hub.
        self.sight: StreamSight | None = None
        self.send = send
        self.waiting: list[bytes] = []
        self.size = 0
        self.is_ended = False
        self.catching_up: asyncio.Future[None] | None = None
        # One task sends, because a long content is sent in pieces, and nothing may come between them.
        self.sending: asyncio.Future[None] | None = None
        # Runs out if the client does not take the end of the stream.
        self.patience: asyncio.Timeout | None = None

    def put(self, content: bytes) -> None:
        """Have this sent, without waiting for it."""
        if self.is_ended:
            return
        self.waiting.append(content)
        self.size += len(content)
        if self.size > MOST_WAITING_BYTES:
            self.end()
        self._begin_to_send()

    async def hand_over(self, content: bytes) -> None:
        """Have this sent, and wait until the client takes it: there may be a million events."""
        if not self.is_ended:
            self.waiting.append(content)
            await asyncio.wait([self._begin_to_send()])

    def end(self) -> None:
        """Send the waiting content, and end the stream."""
        if not self.is_ended:
            self.is_ended = True
            self._begin_to_send()
            if self.patience is not None:
                self.patience.reschedule(asyncio.get_running_loop().time() + PATIENCE_SECONDS)

    def cancel(self) -> None:
        """End all work for the stream, because its client is gone."""
        for work in (self.catching_up, self.sending):
            if work is not None:
                work.cancel()

    def _begin_to_send(self) -> "asyncio.Future[None]":
        if self.sending is None:
            self.sending = asyncio.ensure_future(self._send_waiting())
        return self.sending

    async def _send_waiting(self) -> None:
        try:
            while self.waiting:
                content = b"".join(self.waiting)
                self.waiting.clear()
                self.size = 0
                await self.send({"type": "http.response.body", "body": content, "more_body": True})
            if self.is_ended:
                await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception as error:  # noqa: BLE001  # the client is gone, which its own coroutine hears of
            logger.debug("A stream could not be written to: %s", error)
        finally:
            self.sending = None

    def take(self, row: AnyRow, content: bytes) -> None:
        """Send the event, if it is new to the stream and matches its question."""
        if row.id > self.position:
            self.position = row.id
            assert self.sight is not None
            if self.question.asks_for(row) and self.sight.is_of(self.question.project_id, row):
                self.put(content)
