"""The public ids of events, opaque texts that sort by the feed's order, and the feed's beginning."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from config import settings
from errors import Gone, invalid_at
from models import LARGEST_ID
from services.events.follow import position_of
from services.old_rows import last_old_row
from storage.prepared import prepared
from tables.history import task_history

PREFIX = "evt_"
# The reader that deletes what the feed no longer shows.
RETENTION = "snapshots"
_SHAPE = re.compile(r"evt_([0-9a-f]{16})")
_COLUMNS = (task_history.c.id, task_history.c.created_at)
_ROW = prepared(select(*_COLUMNS).where(task_history.c.id == bindparam("row_id")))
_NEWEST = prepared(select(func.coalesce(func.max(task_history.c.id), 0)))


def encode(row_id: int) -> str:
    """The public id of a row of the history."""
    return f"{PREFIX}{row_id:016x}"


def decode(text: str) -> int | None:
    """The number of the row that a public id stands for; None if the text is no id."""
    found = _SHAPE.fullmatch(text)
    number = int(found[1], 16) if found else 0
    return number if 0 < number <= LARGEST_ID else None


def check(db: Session, row_id: int | None, time: datetime | None, pointer: str) -> int:
    """Return the number of an event that the feed still shows; raises InvalidInput for an unknown event, Gone for an old one.

    `row_id` is None for a text that is no id, and `time` is None if there is no such row.
    """
    # An event from a time when the clock was behind is as old as its neighbours.
    if row_id is not None and time is not None and (time >= oldest_time() or row_id > before_oldest(db)):
        return row_id
    if row_id is not None and (time is not None or _may_be_deleted(db, row_id)):
        raise Gone(
            f"Events are kept for {settings.retention_events_days} days, and this one is older: begin again"
            " without `after`",
            code="events_expired",
        )
    raise invalid_at(pointer, "Not the `id` of an event")


def _may_be_deleted(db: Session, row_id: int) -> bool:
    """Whether the retention of history can have deleted the missing row `row_id`.

    Some kinds of rows are never deleted, so a deleted row may lie between others. If all rows behind it were deleted
    too, it looks like a number that was never given out: the settings decide.
    """
    return settings.retention_history_days is not None or row_id < newest_row(db)


def newest_row(db: Session) -> int:
    """The number of the newest row of the history, or 0; older rows may still be uncommitted on Postgres."""
    return int(db.execute(_NEWEST).scalar_one())


def oldest_time() -> datetime:
    """The time of the oldest event that the feed shows."""
    return datetime.now(UTC) - timedelta(days=settings.retention_events_days)


def before_oldest(db: Session) -> int:
    """The number after which the feed begins.

    Rows up to the place of the retention are too old. It goes on once an hour, so few old rows are behind its place.
    """
    place = position_of(db, RETENTION)
    row = db.execute(_ROW, {"row_id": place}).first()
    if row is not None and row.created_at >= oldest_time():
        # Events are kept for longer now than when the retention came here.
        place = 0
    return last_old_row(db, task_history, oldest_time(), after=place) or place
