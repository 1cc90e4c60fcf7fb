"""Hourly work for mail: ending pauses that were written while the clock was ahead.

Without it a mail waits until the clock comes to that time, perhaps for years.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Table, bindparam, select, true, update

from account_models import account_mails
from database import database
from services.delivery.outbox import LONGEST_DELAY_SECONDS, MOST_SPREAD
from tables.notifications import notifications

_MAIL = timedelta(seconds=LONGEST_DELAY_SECONDS * MOST_SPREAD)
# Each kind of row that waits, with its longest pause. A claim is shorter. A digest waits for a day, and then for its
# claim or for another attempt.
_WAITING: tuple[tuple[Table, ColumnElement[bool], timedelta], ...] = (
    (account_mails, true(), _MAIL),
    (notifications, notifications.c.state.in_(("waiting", "mail")), _MAIL),
    (notifications, notifications.c.state == "digest", timedelta(days=1) + _MAIL),
)


def end_long_pauses() -> None:
    """Make the rows due whose next attempt is further ahead than any pause is long."""
    for table, condition, longest in _WAITING:
        far = select(table.c.id).where(condition, table.c.next_attempt_at > bindparam("latest"))
        end = (
            update(table)
            # Another process may be doing the same.
            .where(table.c.id.in_(far.with_for_update(skip_locked=True)))
            .values(next_attempt_at=bindparam("now"))
        )
        now = datetime.now(UTC)
        values = {"latest": now + longest, "now": now}
        # Usually there are none, and nothing is written.
        if database.read(lambda db, far=far, values=values: db.execute(far.limit(1), values).first()):  # type: ignore[misc]
            database.write(lambda db, end=end, values=values: db.execute(end, values))  # type: ignore[misc]
