"""Finding the rows of a table that are older than a time, where ids are given out in the order of writing.

A clock may have been wrong for a while. So a row with a time in the future tells nothing about the age of the rows behind
it: it is as old as its neighbours.
"""

from datetime import UTC, datetime

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session


def last_old_row(db: Session, table: Table, before: datetime, *, after: int = -1) -> int | None:
    """The id up to which the rows behind the id `after` are older than `before`; None if the first one is not.

    Later rows are younger. So this reads the rows that it finds, those with a time in the future, and one more.
    """
    row_id, created_at = table.c.id, table.c.created_at
    behind = select(row_id).where(row_id > bindparam("after")).limit(1)
    is_young = created_at.between(bindparam("before"), bindparam("now"))
    values = {"after": after, "before": before, "now": datetime.now(UTC)}
    young = db.execute(behind.where(is_young).order_by(row_id), values).scalar()
    old = behind.where(created_at < bindparam("before")).order_by(row_id.desc())
    if young is not None:
        old = old.where(row_id < bindparam("young"))
        values["young"] = young
    found: int | None = db.execute(old, values).scalar()
    return found
