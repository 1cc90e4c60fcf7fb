"""Streams of Server-Sent Events, which push the feed.

A stream is an ASGI response of its own, because a thousand streams wait most of the time, and each may cost
only a few kilobytes. The streams of one event loop share a hub, which reads and encodes each new event once
and knows which streams may see it.
"""

import asyncio
import contextlib
import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request, Response
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from database import AnyRow, database
from errors import DatabaseUnavailable, TooManyRequests
from logging_config import logger
from models import Caller
from security import callers
from services.events import event, feed
from services.events.follower import follower
from services.events.stream_sight import StreamSight, sight_at, takes_an_admin
from web.event_message import message, messages
from web.problems import error_response

MOST_OF_AN_ACCOUNT = 10
COMMENT_SECONDS = 15.0
# Sessions are checked more often than comments are sent, so that a stream ends at most 15 seconds after its
# session.
LOOK_SECONDS = 7.5
LONGEST_SECONDS = 30 * 60.0
# A client that reads its events too slowly is cut off. It may connect again and continue where it was.
MOST_WAITING_BYTES = 1024 * 1024
PAGE = 200
# The hub lets others run after it has written so many bytes of messages.
BYTES_AT_ONCE = 256 * 1024
# The time after which events are read again that could not be read.
RETRY_SECONDS = 0.25
# The time in which a client must take the end of its stream.
PATIENCE_SECONDS = 15.0
# The time between the looks of a stream that waits for the hub.
PAUSE_SECONDS = 0.05
COMMENT = b": still here\n\n"
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
        hub = _hub()
        stream = _Stream(self, send)
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
                stream.catching_up = asyncio.ensure_future(stream.catch_up(hub))
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            logger.debug("A stream has ended, and its client reads nothing: it is cut off")
        finally:
            hub.remove(stream)
            stream.cancel()


class _Stream:
    """An open stream."""

    __slots__ = (
        *("catching_up", "claims", "ends_at", "is_ended", "patience", "position", "question", "send"),
        *("sending", "sight", "size", "takes_an_admin", "user", "waiting"),
    )

    def __init__(self, response: EventStream, send: Send) -> None:
        self.user, self.claims, self.question = response.user, response.claims, response.question
        # The end of the token is a time of day, so the clock of the event loop can't be compared with it.
        self.ends_at = min(time.time() + LONGEST_SECONDS, response.claims.get("exp", float("inf")))
        # A stream that has not caught up yet, because its client reads slowly, shows an admin's events too.
        self.takes_an_admin = takes_an_admin(self.user, self.question)
        self.position = response.position
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

    async def catch_up(self, hub: "_Hub") -> None:
        """Send the events between the stream's position and the hub's, however often the database fails."""
        while not self.is_ended:
            try:
                await self._catch_up(hub)
            except DatabaseUnavailable as error:
                logger.warning("A stream waits for the database: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # noqa: BLE001  # the client connects again
                logger.exception("A stream ends, because its events can't be read")
                self.end()
            else:
                return

    async def _catch_up(self, hub: "_Hub") -> None:
        while not self.is_ended:
            position, has_more, content = await database.read_async(self._next_page)
            if content and not self.is_ended:
                self.waiting.append(content)
                # Wait for a slow client here, because there may be a million events.
                await asyncio.wait([self._begin_to_send()])
            is_at_end, self.position = position == self.position, position
            if has_more:
                continue
            hub.begin_at(self.position)
            if self.position >= hub.position:
                self.sight = await database.read_async(
                    lambda db: sight_at(db, self.user, self.question, self.position)
                )
                # The hub may have moved on meanwhile.
                if self.position >= hub.position:
                    hub.index(self)
                    # There may be events since the page was read, of which the hub was told before.
                    hub.read_soon()
                    return
            elif is_at_end:
                # The hub began behind an event that is not decided yet for this process.
                await asyncio.sleep(PAUSE_SECONDS)

    def _next_page(self, db: Session) -> tuple[int, bool, bytes]:
        page = feed.page(db, self.user, self.question, self.position, PAGE)
        return page.position, page.has_more, messages(page.events)

    def take(self, row: AnyRow, content: bytes) -> None:
        """Send the event, if it is new to the stream and matches its question."""
        if row.id > self.position:
            self.position = row.id
            if self.question.asks_for(row):
                self.put(content)


# Sending tasks are kept here, because an event loop keeps only weak references to tasks.
_tasks: set["asyncio.Future[None]"] = set()


class _Hub:
    """The hub of one event loop, which gives events to its streams."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: set[_Stream] = set()
        self._of_account: dict[int, int] = {}
        # The keys under which streams look for events: see `StreamSight.keys`.
        self._index: dict[tuple[str, int], set[_Stream]] = {}
        # All streams that have caught up have received the events up to this position.
        self.position = 0
        self._is_reading = self._is_dirty = self._is_failing = False
        self._timer: asyncio.Task[None] | None = None

    def has_place(self, user_id: int) -> bool:
        """Whether the account may open another stream."""
        return self._of_account.get(user_id, 0) < MOST_OF_AN_ACCOUNT

    def add(self, stream: _Stream) -> None:
        """Count a new stream. The hub gives it events only after it has caught up."""
        if not self._streams:
            follower.listen(self._notice)
            self._timer = self._loop.create_task(self._keep_time())
        self._streams.add(stream)
        self._of_account[stream.user.id] = self._of_account.get(stream.user.id, 0) + 1

    def begin_at(self, position: int) -> None:
        """Continue behind this position, if no stream receives events from the hub yet."""
        if not self._index:
            self.position = position

    def index(self, stream: _Stream) -> None:
        """Give the stream events from now on."""
        assert stream.sight is not None
        for key in stream.sight.keys:
            self._index.setdefault(key, set()).add(stream)

    def _drop(self, stream: _Stream) -> None:
        for key in stream.sight.keys if stream.sight is not None else ():
            if (found := self._index.get(key)) is not None:
                found.discard(stream)
                if not found:
                    del self._index[key]

    def remove(self, stream: _Stream) -> None:
        """Forget a stream that has ended."""
        stream.is_ended = True
        self._streams.discard(stream)
        self._drop(stream)
        self._of_account[stream.user.id] -= 1
        if not self._of_account[stream.user.id]:
            del self._of_account[stream.user.id]
        if not self._streams:
            follower.leave(self._notice)
            if self._timer is not None:
                self._timer.cancel()

    def _notice(self) -> None:
        """React to new events. The follower calls this in its own thread."""
        with contextlib.suppress(RuntimeError):  # The loop has closed.
            self._loop.call_soon_threadsafe(self.read_soon)

    def read_soon(self) -> None:
        """Read the new events, if any stream receives events from the hub."""
        self._is_dirty = True
        if not self._is_reading:
            self._is_reading = True
            task = asyncio.ensure_future(self._read())
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

    async def _read(self) -> None:
        try:
            while self._is_dirty and self._index:
                self._is_dirty = False
                position = self.position
                rows, until = await database.read_async(lambda db, after=position: feed.news(db, after))  # type: ignore[misc]
                if self.position != position:
                    # Meanwhile another stream has become the only one, and has its own beginning.
                    self._is_dirty = True
                    continue
                if until < position:
                    # Another database has replaced this one. The clients connect again.
                    self.end()
                await self._hand_out_all(rows, until)
            self._is_failing = False
        except Exception as error:  # noqa: BLE001  # whatever it is, the streams wait for these events
            if not self._is_failing:
                logger.warning("Streams wait for the database: %s", error)
            self._is_failing = True
            # The follower tells only of further events, so these would wait for the next one.
            self._loop.call_later(RETRY_SECONDS, self.read_soon)
        finally:
            self._is_reading = False

    async def _hand_out_all(self, rows: list[tuple[AnyRow, dict[str, Any] | None]], until: int) -> None:
        """Hand out the events up to a position. Others run between long ones, and streams may join or leave."""
        size = 0
        for row, task in rows:
            size += self._hand_out(row, task)
            self.position = row.id
            if size >= BYTES_AT_ONCE:
                size = 0
                await asyncio.sleep(0)
                if self.position != row.id:
                    # Another stream has become the only one, as in `_read`.
                    self._is_dirty = True
                    return
        self.position = until
        self._is_dirty = self._is_dirty or len(rows) == feed.MOST_NEWS

    def _hand_out(self, row: AnyRow, task: dict[str, Any] | None) -> int:
        """Hand out an event; returns the bytes of its message, or 0 if no stream sees it."""
        concerned: set[_Stream] = set()
        for key in feed.keys_of(row):
            concerned |= self._index.get(key, set())
        if not concerned:
            return 0
        content = message(event.event_of(row, task))
        for stream in concerned:
            stream.take(row, content)
            # The event may change what the account is allowed to see.
            assert stream.sight is not None
            if stream.sight.is_changed_by(row):
                self._drop(stream)
                stream.sight.change(row)
                self.index(stream)
        return len(content)

    async def _keep_time(self) -> None:
        """Send a comment every 15 seconds, and end streams whose time is up."""
        says_so = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            says_so = not says_so
            await self._look_after(says_so=not says_so)

    async def _look_after(self, *, says_so: bool) -> None:
        streams, now = list(self._streams), time.time()
        claims = {id(stream): stream.claims for stream in streams}
        need_admin = {stream.user.id for stream in streams if stream.takes_an_admin}

        def look(db: Session) -> tuple[set[int], set[int]]:
            return callers.ended(db, claims), need_admin - callers.admins_among(db, need_admin)

        try:
            ended, no_admins = await database.read_async(look)
        except Exception as error:  # noqa: BLE001  # the next look may succeed
            # Streams whose time is up end all the same, and the others show that they are alive.
            logger.warning("The sessions of streams could not be looked up: %s", error)
            ended, no_admins = set(), set()
        for stream in streams:
            is_ended = id(stream) in ended or (stream.takes_an_admin and stream.user.id in no_admins)
            if is_ended or now >= stream.ends_at:
                stream.end()
            elif says_so:
                stream.put(COMMENT)

    def end(self) -> None:
        """End all streams, because the program stops."""
        for stream in list(self._streams):
            stream.end()

    def end_soon(self) -> None:
        """Call `end` from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.end)


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub]" = WeakKeyDictionary()
_lock = threading.Lock()


def _hub() -> _Hub:
    with _lock:
        return _hubs.setdefault(asyncio.get_running_loop(), _Hub())


def end_all() -> None:
    """End all streams of this process. Their clients connect again, to another process."""
    with _lock:
        hubs = list(_hubs.values())
    for hub in hubs:
        hub.end_soon()
