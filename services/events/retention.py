"""Retention of events: those that the feed no longer shows lose their copies of tasks."""

from sqlalchemy import bindparam, null, update

from services.events.event_id import RETENTION, before_oldest
from services.events.follow import follow
from tables.history import task_history

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
    follow(RETENTION, before_oldest, lambda db, rows: db.execute(_FORGET, rows))
