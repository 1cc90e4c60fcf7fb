"""Bounds of a project's lists with ranges of times, from the days on which its tasks were made.

For each day, triggers on `tasks` keep the first and the last id and times of the tasks that were made on it. A task that
is changed or deleted leaves them as they are, so they enclose all tasks of the day, and perhaps more. A task in the
ranges was made on a day that meets these. Therefore no task of the list comes before the first value of such days.

On Postgres a day may have several rows, each of which encloses some of its tasks, so that no writer waits for another.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, column, func, select, table
from sqlalchemy.orm import Session

from schemas.tasks import TaskFilters
from services.lists import times_in_order
from services.lists.lookups import RANGES
from services.query.shapes import Place
from services.rights import parameter_of
from storage.column_types import UtcDateTime, microseconds, moment
from storage.direct_session import is_sqlite
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape

DAY = timedelta(days=1) // timedelta(microseconds=1)
# The databases keep this table differently, so it is no model.
project_days = table(
    "project_days",
    column("project_id", BigInteger()),
    column("day", BigInteger()),
    *(
        column(f"{side}_{name}", BigInteger() if name == "id" else UtcDateTime())
        for name in ("id", "updated_at", "due_at", "completed_at")
        for side in ("first", "last")
    ),
)


class Bounds(NamedTuple):
    """Bounds of a list, and those of them whose index must not be used: see `statements.BOUNDS`."""

    values: Mapping[str, Any] = MappingProxyType({})
    without_index: tuple[str, ...] = ()


def bounds(db: Session, place: Place, ranges: Mapping[str, datetime], filters: TaskFilters) -> Bounds | None:
    """The bounds of a project's list whose tasks are in all of these ranges; None if it has no tasks.

    A page behind a row needs no bounds, and neither does the list of a tag, which is read along the tag.
    """
    if (
        place.scope != "project"
        or filters.cursor is not None
        or (filters.sort_by == "created_at" and filters.tag)
    ):
        return Bounds()
    on_sqlite = is_sqlite(db)
    descending, sort_by = filters.sort_order == "desc", filters.sort_by
    days = {f"{name}_day": day_of(value) for name, value in ranges.items()}
    statement = _furthest(sort_by, tuple(ranges), descending=descending)
    found = db.execute(statement, {**place._asdict(), **ranges, **days}).one()
    if found.least_id is None:
        return None
    ids = {"least_id": found.least_id, "most_id": found.most_id}
    if sort_by == "id":
        return Bounds(ids)
    if sort_by == "priority":
        # SQLite finds the bounds in each of the priorities if these are listed.
        return Bounds(ids if filters.priority or not on_sqlite else {**ids, "any_priority": True})
    # The index of each order has the ids: the tasks beyond these are passed without being read.
    if sort_by == "title":
        return Bounds(ids, tuple(ids))
    implied = times_in_order.bounds(db, place, ranges, filters) if on_sqlite else {}
    name = f"{'most' if descending else 'least'}_{sort_by}"
    of_order = ranges.get(sort_by.replace("_at", "_before" if descending else "_after"))
    of_days = _edge_of(found.value, descending=descending) if sort_by == "created_at" else found.value
    values = [value for value in (implied.get(name), of_order, of_days) if value is not None]
    of_time = {name: (min if descending else max)(values)} if values else {}
    return Bounds({**implied, **of_time, **ids}, tuple(ids))


@kept_by_shape
def _furthest(sort_by: str, names: tuple[str, ...], *, descending: bool) -> Select[Any]:
    """The first and the last id on the days that meet these ranges, and the first value of a time, or the last."""
    columns = project_days.c
    found = [func.min(columns.first_id).label("least_id"), func.max(columns.last_id).label("most_id")]
    if sort_by.endswith("_at"):
        value = (
            columns.day
            if sort_by == "created_at"
            else columns[f"{'last' if descending else 'first'}_{sort_by}"]
        )
        found.append((func.max if descending else func.min)(value).label("value"))
    here = columns.project_id == parameter_of("project")
    return prepared(select(*found).where(here, *(_meets(name) for name in names)))


def _meets(name: str) -> ColumnElement[bool]:
    """The condition that tasks which were made on a day may be in a range."""
    key, is_after = RANGES[name][0].key, name.endswith("after")
    if key == "created_at":
        day = bindparam(f"{name}_day", type_=BigInteger())
        return project_days.c.day >= day if is_after else project_days.c.day <= day
    bound = bindparam(name, type_=UtcDateTime())
    return project_days.c[f"last_{key}"] >= bound if is_after else project_days.c[f"first_{key}"] < bound


def day_of(value: datetime) -> int:
    """The number of a day as the triggers round: towards zero, so that day 0 has the times of two days."""
    number = microseconds(value)
    return number // DAY if number >= 0 else -(-number // DAY)


def _edge_of(day: int, *, descending: bool) -> datetime | None:
    """A time that no task of a day lies before, or behind; None if it can't be told."""
    try:
        return moment((day + (day >= 0)) * DAY if descending else (day - (day <= 0)) * DAY)
    except OverflowError:
        return None
