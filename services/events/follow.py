"""Going through the history once, from a stored position, in short transactions."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from database import database
from storage.conflicts import insert_missing
from tables.webhooks import feed_positions

BATCH = 1000
_BEGIN = insert_missing(feed_positions)
_POSITION = select(feed_positions.c.event_id).where(feed_positions.c.name == bindparam("reader"))
_MOVE = (
    update(feed_positions)
    .where(feed_positions.c.name == bindparam("reader"))
    .values(event_id=bindparam("position"))
)


def follow(
    reader: str, last: Callable[[Session], int], work: Callable[[Session, dict[str, int]], Any]
) -> None:
    """Do the work for all rows behind the reader's position, up to the `last` one, in steps of a fixed size.

    The work gets the numbers as the parameters `after` and `until`.
    """
    final = database.read(last)
    while database.write(lambda db: _step(db, reader, final, work)):
        pass


def position_of(db: Session, reader: str) -> int:
    """The row up to which a reader has done its work."""
    return db.execute(_POSITION, {"reader": reader}).scalar() or 0


def begin(db: Session, reader: str) -> None:
    """Make the row of a reader's position, unless it is there."""
    db.execute(_BEGIN.for_database_of(db), {"name": reader, "event_id": 0})


def _step(db: Session, reader: str, final: int, work: Callable[[Session, dict[str, int]], Any]) -> bool:
    after = db.execute(_POSITION, {"reader": reader}).scalar()
    if after is None:
        begin(db, reader)
        after = 0
    if after >= final:
        return False
    position = min(after + BATCH, final)
    work(db, {"after": after, "until": position})
    db.execute(_MOVE, {"reader": reader, "position": position})
    return True
