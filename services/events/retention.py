"""Retention of events: those that the feed no longer shows lose their copies of tasks."""

from sqlalchemy import bindparam, null, update
from sqlalchemy.orm import Session

from services.events.event_id import oldest_time
from services.events.follow import follow, position_of
from services.old_rows import last_old_row
from tables.history import task_history

_READER = "snapshots"
_FORGET = (
    update(task_history)
    .where(
        task_history.c.id > bindparam("after"),
        task_history.c.id <= bindparam("until"),
        task_history.c.snapshot.is_not(None),
    )
    .values(snapshot=null())
)


def forget_old_snapshots() -> None:
    """Delete the copies of tasks in events that the feed no longer shows, in short transactions."""
    follow(_READER, _last_old, lambda db, rows: db.execute(_FORGET, rows))


def _last_old(db: Session) -> int:
    return last_old_row(db, task_history, oldest_time(), after=position_of(db, _READER)) or 0
