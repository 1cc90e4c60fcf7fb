"""Retention of events: those that the feed no longer shows lose their copies of tasks."""

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from database import database
from models import task_history
from services.events.event_id import before_oldest
from tables.webhooks import feed_positions

BATCH = 1000
# The name of the position up to which the copies are deleted.
NAME = "snapshots"

_POSITION = select(feed_positions.c.event_id).where(feed_positions.c.name == NAME)
_MOVE = update(feed_positions).where(feed_positions.c.name == NAME).values(event_id=bindparam("position"))
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
    until = database.read(before_oldest)
    while database.write(lambda db: _forget(db, until)):
        pass


def _forget(db: Session, until: int) -> bool:
    after = db.execute(_POSITION).scalar()
    if after is None:
        make = (sqlite.insert if database.is_sqlite else postgresql.insert)(feed_positions)
        db.execute(make.on_conflict_do_nothing(), {"name": NAME, "event_id": 0})
        after = 0
    if after >= until:
        return False
    position = min(after + BATCH, until)
    db.execute(_FORGET, {"after": after, "until": position})
    db.execute(_MOVE, {"position": position})
    return True
