"""Streams of Server-Sent Events, which push the feed.

A stream is an ASGI response of its own, because a thousand streams wait most of the time, and each may cost
only a few kilobytes. The streams of one event loop share a hub (`web/events/stream_hub.py`).
"""

import asyncio
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from database import database
from errors import DatabaseUnavailable, TooManyRequests
from logging_config import logger
from models import Caller
from services.events import feed
from services.events.stream_sight import sight_at
from storage.faults import fault_log
from web.events.event_message import pieces
from web.events.open_stream import OpenStream
from web.events.stream_hub import COMMENT, MOST_OF_AN_ACCOUNT, RETRY_SECONDS, Hub, hub_here
from web.problems import error_response

PAGE = 200
# The time between the looks of a stream that waits for the hub.
PAUSE_SECONDS = 0.05
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx hands on each event at once if this header is set.
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """An answer without end: the events that the caller may see, behind a position."""

    media_type = "text/event-stream"

    def __init__(self, user: Caller, claims: dict[str, Any], question: feed.Question, position: int) -> None:
        super().__init__()
        self.user, self.claims, self.question, self.position = user, claims, question, position

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub = hub_here()
        stream = OpenStream(self.user, self.claims, self.question, self.position, send)
        if not hub.has_place(self.user.id):
            error = TooManyRequests(
                f"An account can have {MOST_OF_AN_ACCOUNT} streams at once: end one first",
                retry_after=15,
                code="too_many_streams",
            )
            await error_response(Request(scope), error)(scope, receive, send)
            return
        hub.add(stream)
        try:
            async with asyncio.timeout(None) as stream.patience:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                # The comment shows the client and every proxy that the stream is open.
                await send({"type": "http.response.body", "body": COMMENT, "more_body": True})
                stream.catching_up = asyncio.ensure_future(_catch_up(stream, hub))
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            logger.debug("A stream has ended, and its client reads nothing: it is cut off")
        finally:
            hub.remove(stream)
            stream.cancel()


async def _catch_up(stream: OpenStream, hub: Hub) -> None:
    """Send the events between the stream's position and the hub's, however often the database fails."""
    while not stream.is_ended:
        try:
            await _try_to_catch_up(stream, hub)
        except DatabaseUnavailable as error:
            fault_log.add(error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # noqa: BLE001  # the client connects again
            logger.exception("A stream ends, because its events can't be read")
            stream.end()
        else:
            return


async def _try_to_catch_up(stream: OpenStream, hub: Hub) -> None:
    def next_page(db: Session) -> tuple[int, bool, list[bytes]]:
        page = feed.page(db, stream.user, stream.question, stream.position, PAGE)
        return page.position, page.has_more, list(pieces(page.events))

    while not stream.is_ended:
        position, has_more, contents = await database.read_async(next_page)
        for content in contents:
            await stream.hand_over(content)
        is_at_end, stream.position = position == stream.position, position
        if has_more:
            continue
        hub.begin_at(stream.position)
        if stream.position >= hub.position:
            stream.sight = await database.read_async(
                lambda db: sight_at(db, stream.user, stream.question, stream.position)
            )
            # The hub may have moved on meanwhile.
            if stream.position >= hub.position:
                hub.index(stream)
                # There may be events since the page was read, of which the hub was told before.
                hub.read_soon()
                return
        elif is_at_end:
            # The hub began behind an event that is not decided yet for this process.
            await asyncio.sleep(PAUSE_SECONDS)
