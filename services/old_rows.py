"""Finding the rows of a table that are older than a time, where ids are given out in the order of writing.

A clock may have been wrong for a while. So a row with a time in the future tells nothing about the age of the rows behind
it: it is as old as its neighbours.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, Table, bindparam, select
from sqlalchemy.orm import Session

from models import LARGEST_ID
from storage.prepared import prepared


@cache
def _first_young(table: Table) -> Select[Any]:
    is_young = table.c.created_at.between(bindparam("before"), bindparam("now"))
    return prepared(
        select(table.c.id).where(table.c.id > bindparam("after"), is_young).order_by(table.c.id).limit(1)
    )


@cache
def _last_old(table: Table) -> Select[Any]:
    row_id, is_old = table.c.id, table.c.created_at < bindparam("before")
    between = (row_id > bindparam("after"), row_id < bindparam("until"))
    return prepared(select(row_id).where(*between, is_old).order_by(row_id.desc()).limit(1))


def last_old_row(db: Session, table: Table, before: datetime, *, after: int = -1) -> int | None:
    """The id up to which the rows behind the id `after` are older than `before`; None if the first one is not.

    Later rows are younger. So this reads the rows that it finds, those with a time in the future, and one more.
    """
    values = {"after": after, "before": before}
    young = db.execute(_first_young(table), {**values, "now": datetime.now(UTC)}).scalar()
    until = LARGEST_ID if young is None else young
    found: int | None = db.execute(_last_old(table), {**values, "until": until}).scalar()
    return found
