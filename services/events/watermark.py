"""The watermark: the number up to which the feed may be read, because no transaction can add events there.

Numbers are given out before the commit. A reader that sees event 7 while the transaction of event 6 is still
open would continue after 7, and never show 6. On SQLite there is one writer, so numbers follow the order of
commits. On Postgres each look remembers the newest event and the number of the next transaction. When all
transactions before that one have ended, all events up to the remembered one are decided. This needs every
transaction to have its number before any of its events has one: an event must not be the first write of its
transaction, and the sequence of events must not be cached.

A new process knows nothing until the transactions that were open at its start have ended. Until then it uses
the position that the delivery of webhooks has written.
"""

import threading
from collections import deque
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Integer, String, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from database import database
from storage.prepared import prepared
from tables.history import task_history
from tables.webhooks import feed_positions

# The name of the position that the delivery of webhooks writes: all events up to there are decided.
WEBHOOKS = "webhooks"
MOST_CANDIDATES = 256

_NEWEST = func.coalesce(func.max(task_history.c.id), 0)
# Asked for together, which spares a page one round trip to Postgres.
_TIME = (
    select(task_history.c.created_at)
    .where(task_history.c.id == bindparam("event_id"))
    .scalar_subquery()
    .label("time")
)
_ON_SQLITE = prepared(select(select(_NEWEST).scalar_subquery().label("newest"), _TIME))
_OLDEST_OPEN: str = "pg_snapshot_xmin(pg_current_snapshot())"
_ON_POSTGRES = prepared(
    select(
        select(_NEWEST).scalar_subquery().label("newest"),
        literal_column(f"{_OLDEST_OPEN}::text::bigint", BigInteger).label("oldest_open"),
        # The distance from the oldest open transaction to the next one to begin.
        literal_column(f"age({_OLDEST_OPEN}::xid)", Integer).label("age"),
        select(feed_positions.c.event_id)
        .where(feed_positions.c.name == bindparam("name", WEBHOOKS, String))
        .scalar_subquery()
        .label("written"),
        _TIME,
    )
)


class Look(NamedTuple):
    """A look at the feed: the newest event, the one up to which all are decided, and the time of the one asked for."""

    newest: int
    decided: int
    time: datetime | None


class Watermark:
    """The knowledge of one process about the database in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._url: object = None
        self.decided = 0
        # Pairs of the newest event at a look, and the transaction that was next to begin then.
        self._candidates: deque[tuple[int, int]] = deque()

    def look(self, db: Session) -> int:
        """Return the number up to which all events are decided."""
        return self.look_at(db).decided

    def look_at(self, db: Session, event_id: int = 0) -> Look:
        """Look, and find the time of an event; it is None if there is no such event."""
        values = {"event_id": event_id}
        if database.is_sqlite:
            row = db.execute(_ON_SQLITE, values).one()
            # Another thread may write an older number meanwhile, so this look's own number is returned.
            self.decided = newest = int(row.newest)
            return Look(newest, newest, row.time)
        known = self.decided
        row = db.execute(_ON_POSTGRES, values).one()
        with self._lock:
            # A look sees all events that were decided before it. If it sees fewer, this is another database, which
            # has replaced the last one while this process ran, or the newest events were deleted.
            if self._url is not database.url or row.newest < known:
                self._url, self.decided = database.url, 0
                self._candidates.clear()
            # A position after the newest event tells nothing, for the same reasons.
            written = row.written if row.written is not None and row.written <= row.newest else 0
            self._learn(row.newest, row.oldest_open, row.oldest_open + row.age, written)
            return Look(int(row.newest), self.decided, row.time)

    def _learn(self, newest: int, oldest_open: int, next_to_begin: int, written: int) -> None:
        candidates = self._candidates
        decided = max(self.decided, written)
        while candidates and oldest_open >= candidates[0][1]:
            decided = max(decided, candidates.popleft()[0])
        if oldest_open >= next_to_begin:
            decided = max(decided, newest)
            candidates.clear()
        elif newest > decided and (not candidates or newest > candidates[-1][0]):
            if len(candidates) == MOST_CANDIDATES:
                candidates.pop()
            candidates.append((newest, next_to_begin))
        self.decided = decided

    @property
    def is_waiting(self) -> bool:
        """Whether open transactions hold events back."""
        return bool(self._candidates)


watermark = Watermark()
