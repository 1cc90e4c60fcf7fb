"""Lists of tasks: filters, orders and pages.

A list is read by keyset along an index. In an order by `due_at` or `completed_at`, tasks without a value come
last. A second read finds these, because no index has them in that place.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy.orm import Session

from database import AnyRow
from models import HIGHEST_PRIORITY, STATUSES
from schemas.tasks import TaskFilters
from services.lists import on_postgres, planning, states
from services.lists.lookups import RANGES, TEXTS
from services.lists.parts import (
    AFTER,
    AFTER_WITHOUT_VALUE,
    BEYOND,
    COUNT,
    FIRST,
    FIRST_WITHOUT_VALUE,
    SKIP,
    Part,
)
from services.lists.planned import Planned
from services.lists.statements import (
    CHOICES,
    FILTERS,
    NULLABLE,
    TIMES,
    ListShape,
    choices,
)
from services.paging import PageOf, check_cursor, decode_cursor, encode_cursor, invalid_cursor
from services.query.plain import as_plain
from services.query.shapes import Place, Shaped
from storage.column_types import microseconds, moment
from storage.direct_session import is_sqlite, one_snapshot
from storage.folding import fold, pattern


def reads_little(filters: TaskFilters) -> bool:
    """Whether an index alone finds the page: by owner in any order, by status and by project newest first."""
    plain = as_plain(filters)
    if plain is None:
        return False
    filters = plain
    narrowed = filters.model_fields_set - {"limit", "cursor", "sort_by", "sort_order", "tz"}
    if not narrowed:
        return True
    return (
        narrowed in ({"status"}, {"project"})
        and filters.sort_by == "created_at"
        and len(filters.status) < 2
        and len(filters.project) < 2
    )


def page(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None = None) -> PageOf[AnyRow]:
    """A page of the tasks of an owner, a project or everybody; raises InvalidInput for a bad cursor.

    `asked` is the part of a filter that `asking.split` could not express by plain filters.
    """
    if _is_of_one_moment(place, filters):
        with one_snapshot(db):
            return _page(db, place, filters, asked)
    return _page(db, place, filters, asked)


def _is_of_one_moment(place: Place, filters: TaskFilters) -> bool:
    """Whether all reads of a list must see the same state. A snapshot takes two round trips on Postgres.

    Tasks without a value and the total are read apart. Other lists look for ids or bounds first. These enclose every task
    that stays in the list, however it changes before the page is read, but for the bound of the last change.
    """
    if filters.total or filters.sort_by in NULLABLE:
        return True
    is_bounded = place.scope == "project" and filters.sort_by == "updated_at"
    return is_bounded and not filters.model_fields_set.isdisjoint(RANGES)


def _page(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> PageOf[AnyRow]:
    filters = states.by_status(db, place, filters)
    planned = _planned(db, place, filters, asked)
    filters = states.with_statuses(db, place, filters)
    after = _place(filters)
    total = None
    if planned.may_be_far(db, with_total=filters.total) or planned.sorts_all(db, filters):
        rows, total = _looked_for(db, filters, planned, after)
    else:
        if filters.total:
            total, planned = _total(db, place, filters, planned)
        rows = _rows(filters, after, _reader(db, planned))
    if len(rows) <= filters.limit:
        return PageOf(rows, None, total)
    last = rows[filters.limit - 1]
    return PageOf(rows[: filters.limit], _cursor_behind(last, filters), total)


def _total(db: Session, place: Place, filters: TaskFilters, planned: Planned) -> tuple[int, Planned]:
    """The number of tasks in a list, and the plan of its pages: few tasks are looked for only once."""
    if planned.shape.asked is None:
        known = planning.known_total(db, place, filters)
        if known is not None:
            return known, planned
    elif not planned.shape.by_id:
        few = planning.FEW_FOUND
        found = planned.without_bounds().ids(db, few + 1)
        if len(found) <= few:
            return len(found), planned.without_bounds().among(found)
    total: int = planned.without_bounds().execute(db, COUNT).scalar_one()
    return total, planned


def _reader(db: Session, planned: Planned) -> Callable[..., list[AnyRow]]:
    """The function that reads a part of a page."""

    def read(part: Part, **more: Any) -> list[AnyRow]:
        return list(planned.execute(db, part, **more).all())

    return read


def _looked_for(
    db: Session, filters: TaskFilters, planned: Planned, after: dict[str, Any] | None
) -> tuple[list[AnyRow], int | None]:
    """A page, and the number of all tasks if it is asked for, from going through all tasks at most once."""
    covered = planned.by_covering_index(db)
    rows = None
    if not planned.sorts_all(db, filters):
        if planned.way != "sorted":
            rows = _near(db, filters, planned, after)
        if rows is None and covered is None and planned.wide and planned.shape.asked is None:
            rows = _rows(filters, after, _reader(db, planned.gathered(db)))
    if rows is not None:
        return rows, planned.without_bounds().execute(db, COUNT).scalar_one() if filters.total else None
    if after is None:
        part = SKIP if filters.skip else FIRST
    else:
        part = BEYOND if _is_behind_values(after) else AFTER
    more = {**(after or {}), "skip": filters.skip}
    # If a task that was found is gone before it is read, the page must not look like the last one.
    with one_snapshot(db):
        if covered is not None:
            found = covered.sorted_ids(db, part, more)
            total = covered.execute(db, COUNT).scalar_one() if filters.total else None
        else:
            part = part.by("counted" if filters.total else "sorted")
            found = list(planned.without_bounds().execute(db, part, **more).all())
            total = found[0].total if filters.total else None
        these = planned.unfiltered().among([row.id for row in found if row.id is not None])
        rows = _rows(filters.model_copy(update={"skip": 0}), after, _reader(db, these))
    return rows, total


def _near(
    db: Session, filters: TaskFilters, planned: Planned, after: dict[str, Any] | None
) -> list[AnyRow] | None:
    """The page if its tasks are among the next ones in the order, or if not many tasks are left."""
    if not is_sqlite(db):
        return _near_on_postgres(db, filters, planned, after)
    part, more = (FIRST, {}) if after is None else (AFTER, after)
    edge = None
    if not filters.skip and not _is_behind_values(after):
        near = planned.near(db)
        if not near:
            return None
        edge = planned.from_bounds().execute(db, part.by("edge"), **more, near=near).first()
    if edge is None:
        return None if filters.total else _rows(filters, after, _reader(db, planned))
    found = planned.execute(db, part.by("near"), **more, edge_value=edge.value, edge_id=edge.id)
    rows = list(found.all())
    return rows if len(rows) == planned.values["limit"] else None


def _is_behind_values(after: dict[str, Any] | None) -> bool:
    """Whether a page begins behind a row without a value in the column of the order, where no row has one."""
    return after is not None and after["after_value"] is None


def _near_on_postgres(
    db: Session, filters: TaskFilters, planned: Planned, after: dict[str, Any] | None
) -> list[AnyRow] | None:
    """The page if its tasks are among the next thousands in the order."""
    part, more = (FIRST, {}) if after is None else (AFTER, after)
    if not (filters.skip and filters.sort_by in NULLABLE) and planned.way == "along":
        return _rows(filters, after, lambda part, **more: planned.execute_near(db, part.by("along"), **more))
    if filters.skip:
        # Tasks without a value count too, and no index has these last.
        if filters.sort_by in NULLABLE:
            return None
        part, more = SKIP, {"skip": filters.skip}
    elif _is_behind_values(after):
        part = AFTER_WITHOUT_VALUE
    return on_postgres.near(partial(planned.execute_near, db), part, more, planned.values["limit"])


def ids(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None, at_most: int) -> list[int]:
    """The sorted ids of all tasks in a list with these filters; the list's order and page are ignored."""
    planned = _planned(db, place, filters, asked).without_bounds()
    return planned.ids(db, at_most)


def among(
    db: Session, place: Place, filters: TaskFilters, asked: Shaped | None, task_ids: Sequence[int]
) -> list[AnyRow]:
    """Those of these tasks that are still in a list, in the order in which they are given."""
    filters = filters.model_copy(update={"sort_by": "id", "limit": len(task_ids), "cursor": None})
    planned = _planned(db, place, filters, asked).without_bounds().among(list(task_ids))
    order = {task_id: number for number, task_id in enumerate(task_ids)}
    return sorted(planned.execute(db, FIRST).all(), key=lambda row: order[row.id])


@cache
def _unfiltered_shape(sort_by: str, *, is_descending: bool) -> ListShape:
    return ListShape(
        scope="owner",
        names=(),
        choices=(),
        sort_by=sort_by,
        descending=is_descending,
    )


def _planned(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> Planned:
    if asked is None and place.scope == "owner" and filters.model_fields_set <= planning.HOW_IT_IS_READ:
        # The usual list needs no plan.
        shape = _unfiltered_shape(filters.sort_by, is_descending=filters.sort_order == "desc")
        return Planned(shape, {"owner_id": place.owner_id, "limit": filters.limit + 1}, {})
    return _planned_with_filters(db, place, filters, asked)


def _planned_with_filters(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> Planned:
    names = tuple(name for name in FILTERS if getattr(filters, name, None) is not None)
    if place.project_id is not None:
        names = tuple(name for name in names if name != "project_id")
    values: dict[str, Any] = {name: getattr(filters, name) for name in names}
    for name in TEXTS:
        if name in values:
            values[name] = pattern(values[name])
    if filters.blocked is not None:
        names = (*names, "is_blocked" if filters.blocked else "is_free")
    given = {name: getattr(filters, name, ()) for name in CHOICES}
    if place.project_id is not None or not set(STATUSES).intersection(filters.state):
        given |= {"state": (), "shared_state": filters.state}
    chosen, parameters = choices(given)
    values |= parameters | {"owner_id": place.owner_id, "limit": filters.limit + 1}
    if filters.project_id is not None:
        values["project_id"] = filters.project_id
    if asked is not None:
        values |= asked.values

    task_ids, without_index, bounds, way = planning.plan(db, place, filters, asks_more=asked is not None)
    if task_ids is not None:
        values["task_ids"] = task_ids
    bounds = {**bounds, **planning.priority_bounds(filters)}
    shape = ListShape(
        scope=place.scope,
        names=(*names, *bounds),
        choices=chosen,
        sort_by=filters.sort_by,
        descending=filters.sort_order == "desc",
        by_id=task_ids is not None,
        without_index=without_index,
        asked=None if asked is None else asked.shape,
    )
    return Planned(shape, values | dict(bounds), bounds, way)


def _rows(
    filters: TaskFilters, after: dict[str, Any] | None, read: Callable[..., list[AnyRow]]
) -> list[AnyRow]:
    """The rows of a page and, if there is one, the row after it."""
    if filters.skip:
        return read(SKIP, skip=filters.skip)
    if filters.sort_by not in NULLABLE:
        return read(FIRST) if after is None else read(AFTER, **after)
    rows = []
    if after is None:
        rows = [] if planning.has_no_value(filters) else read(FIRST)
    elif after["after_value"] is not None:
        rows, after = read(AFTER, **after), None
    missing = filters.limit + 1 - len(rows)
    if missing > 0 and after is None:
        rows += read(FIRST_WITHOUT_VALUE, limit=missing)
    elif missing > 0 and after is not None:
        rows += read(AFTER_WITHOUT_VALUE, limit=missing, **after)
    return rows


def _cursor_behind(row: AnyRow, filters: TaskFilters) -> str:
    sort_by = filters.sort_by
    value = fold(row.title) if sort_by == "title" else getattr(row, sort_by)
    if isinstance(value, datetime):
        value = microseconds(value)
    return encode_cursor(sort_by, filters.sort_order, value, row.id)


def _place(filters: TaskFilters) -> dict[str, Any] | None:
    """The parameters of the row after which the page begins, if it has a cursor."""
    if filters.cursor is None:
        return None
    check_cursor(filters)
    kind: tuple[type, ...] = (str,) if filters.sort_by == "title" else (int,)
    if filters.sort_by in NULLABLE:
        kind = (*kind, type(None))
    sort_by, sort_order, value, row_id = decode_cursor(filters.cursor, str, str, kind, int)
    if (sort_by, sort_order) != (filters.sort_by, filters.sort_order):
        raise invalid_cursor(
            "The cursor was made for another order: keep `sort_by` and `sort_order`, or leave the cursor out"
        )
    # Postgres refuses a number beyond the type of the column.
    if filters.sort_by == "priority" and not 0 <= value <= HIGHEST_PRIORITY:
        raise invalid_cursor()
    if filters.sort_by in TIMES and value is not None:
        try:
            value = moment(value)
        except OverflowError:
            raise invalid_cursor() from None
    return {"after_value": value, "after_id": row_id}
