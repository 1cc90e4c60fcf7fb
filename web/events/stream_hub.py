"""The hub of an event loop's streams, which reads and encodes each new event once for all that may see it."""

import asyncio
import contextlib
import threading
import time
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy.orm import Session

from database import AnyRow, database
from errors import fault_of
from logging_config import logger
from security import callers
from services.events import event, feed
from services.events.follower import follower
from services.events.stream_sight import keys_of
from storage.faults import fault_log
from web.events.event_message import BYTES_AT_ONCE, message
from web.events.open_stream import OpenStream

MOST_OF_AN_ACCOUNT = 10
# Sessions are checked this often, so that a stream ends at most 15 seconds after its session. A comment is sent every
# 15 seconds.
LOOK_SECONDS = 7.5
# The pause before events that could not be read are read again.
RETRY_SECONDS = 0.25
COMMENT = b": still here\n\n"

# Sending tasks are kept here, because an event loop keeps only weak references to tasks.
_tasks: set["asyncio.Future[None]"] = set()


class Hub:
    """The hub of one event loop, which gives events to its streams."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: set[OpenStream] = set()
        self._of_account: dict[int, int] = {}
        # The keys under which streams look for events: see `StreamSight.keys`.
        self._index: dict[tuple[str, int], set[OpenStream]] = {}
        # All streams that have caught up have received the events up to this position.
        self.position = 0
        self._is_reading = self._is_dirty = self._is_failing = False
        self._timer: asyncio.Task[None] | None = None

    def has_place(self, user_id: int) -> bool:
        """Whether the account may open another stream."""
        return self._of_account.get(user_id, 0) < MOST_OF_AN_ACCOUNT

    def add(self, stream: OpenStream) -> None:
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

    def index(self, stream: OpenStream) -> None:
        """Give the stream events from now on."""
        assert stream.sight is not None
        for key in stream.sight.keys:
            self._index.setdefault(key, set()).add(stream)

    def _drop(self, stream: OpenStream) -> None:
        for key in stream.sight.keys if stream.sight is not None else ():
            if (found := self._index.get(key)) is not None:
                found.discard(stream)
                if not found:
                    del self._index[key]

    def remove(self, stream: OpenStream) -> None:
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
                news = await database.read_async(lambda db, after=position: feed.news(db, after))  # type: ignore[misc]
                if self.position != position:
                    # Meanwhile another stream has become the only one, and has its own beginning.
                    self._is_dirty = True
                    continue
                if news.until < position:
                    # Another database has replaced this one. The clients connect again.
                    self.end()
                await self._hand_out_all(news)
            self._is_failing = False
        except Exception as error:  # noqa: BLE001  # whatever it is, the streams wait for these events
            if not fault_log.add(error) and not self._is_failing:
                logger.warning("Streams wait for the database: %s", error, exc_info=fault_of(error))
            self._is_failing = True
            # The follower tells only of further events, so these would wait for the next one.
            self._loop.call_later(RETRY_SECONDS, self.read_soon)
        finally:
            self._is_reading = False

    async def _hand_out_all(self, news: feed.News) -> None:
        """Hand out new events. Others run between long ones, and streams may join or leave."""
        size = 0
        for row, task in news.events:
            size += self._hand_out(row, task)
            self.position = row.id
            if size >= BYTES_AT_ONCE:
                size = 0
                await asyncio.sleep(0)
                if self.position != row.id:
                    # Another stream has become the only one, as in `_read`.
                    self._is_dirty = True
                    return
        self.position = news.until
        self._is_dirty = self._is_dirty or news.has_more

    def _hand_out(self, row: AnyRow, task: dict[str, Any] | None) -> int:
        """Hand out an event; returns the bytes of its message, or 0 if no stream sees it."""
        concerned: set[OpenStream] = set()
        for key in keys_of(row):
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
        """Send a comment at every second look, and end streams whose time is up."""
        while True:
            for comments in (False, True):
                await asyncio.sleep(LOOK_SECONDS)
                await self._look_after(comments=comments)

    async def _look_after(self, *, comments: bool) -> None:
        streams, now = list(self._streams), time.time()
        claims = {id(stream): stream.claims for stream in streams}
        need_admin = {stream.user.id for stream in streams if stream.takes_an_admin}

        def look(db: Session) -> tuple[set[int], set[int]]:
            return callers.ended(db, claims), need_admin - callers.admins_among(db, need_admin)

        try:
            ended, no_admins = await database.read_async(look)
        except Exception as error:  # noqa: BLE001  # the next look may succeed
            # Streams whose time is up end all the same, and the others show that they are alive.
            if not fault_log.add(error):
                logger.warning(
                    "The sessions of streams could not be looked up: %s", error, exc_info=fault_of(error)
                )
            ended, no_admins = set(), set()
        for stream in streams:
            is_ended = id(stream) in ended or (stream.takes_an_admin and stream.user.id in no_admins)
            if is_ended or now >= stream.ends_at:
                stream.end()
            elif comments:
                stream.put(COMMENT)

    def end(self) -> None:
        """End all streams, because the program stops."""
        for stream in list(self._streams):
            stream.end()

    def end_soon(self) -> None:
        """Call `end` from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.end)


# A hub goes with its last stream, and no longer keeps its event loop.
_hubs: "WeakValueDictionary[asyncio.AbstractEventLoop, Hub]" = WeakValueDictionary()
_lock = threading.Lock()


def hub_here() -> Hub:
    """The hub of the event loop that runs this, made for its first stream."""
    with _lock:
        return _hubs.setdefault(asyncio.get_running_loop(), Hub())


def end_all() -> None:
    """End all streams of this process. Their clients connect again, to another process."""
    with _lock:
        hubs = list(_hubs.values())
    for hub in hubs:
        hub.end_soon()
