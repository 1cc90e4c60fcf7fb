"""Lists of tasks: filters, orders and pages.

A list is read by keyset along an index. In an order by `due_at` or `completed_at`, tasks without a value come
last. A second read finds these, because no index has them in that place.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from database import AnyRow
from models import STATUSES
from schemas.tasks import TaskFilters
from services.paging import PageOf, decode_cursor, encode_cursor, invalid_cursor
from services.query import asking, statements
from services.query.conditions import NEVER, Place, Shaped, tests_only
from services.tasks import list_on_postgres, list_plan, list_states, project_plan
from services.tasks.list_statements import (
    CHOICES,
    FILTERS,
    NULLABLE,
    TIMES,
    ListShape,
    build,
    choices,
    looks_elsewhere,
    statement,
)
from storage.column_types import microseconds, moment
from storage.direct_session import one_snapshot
from storage.folding import fold, pattern


def reads_little(filters: TaskFilters) -> bool:
    """Whether an index alone finds the page: by owner in any order, by status and by project newest first."""
    plain = asking.as_plain(filters)
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


def _is_sqlite(db: Session) -> bool:
    return db.get_bind().dialect.name == "sqlite"


# The next tasks in an order, among which a page is looked for before it is among all tasks. To gather the tasks in a
# range takes longer than to go through all. And the most tasks in a range that are sorted if a page is far down.
NEAR = 2000
NEAR_IN_RANGE = 5000
MANY_IN_RANGE = 10_000


class _Planned(NamedTuple):
    """The plan of a list: the shape of its statements, and their parameters."""

    # `bounds` say where the list begins and ends in its order.
    shape: ListShape
    values: dict[str, Any]
    bounds: Mapping[str, Any]

    def uncut(self) -> "_Planned":
        """The same plan without the parts that only help to find a page in the order of the list."""
        names = tuple(name for name in self.shape.names if name not in self.bounds)
        without_index = tuple(set(self.shape.without_index) & set(list_plan.TEXTS))
        return self._replace(shape=self.shape._replace(names=names, without_index=without_index))

    def among(self, task_ids: list[int]) -> "_Planned":
        """The same plan for a list that has no other tasks than these."""
        values = {**self.values, "task_ids": task_ids}
        return self._replace(shape=self.shape._replace(by_id=True), values=values)

    def unfiltered(self) -> "_Planned":
        """The plan of the same list without filters."""
        shape = self.shape._replace(names=(), choices=(), without_index=(), asked=None)
        of_place = ("owner_id", "project_id", "limit")
        values = {name: value for name, value in self.values.items() if name in of_place}
        return _Planned(shape, values, {})

    def may_be_far(self, db: Session, *, with_total: bool) -> bool:
        """Whether a page may lie far down the list, or its total be counted.

        Each step down an index reads a row of the table, unless the index alone says what matches. Postgres would
        guess how many tasks of a long list match.
        """
        shape = self.shape
        if shape.by_id or shape.scope == "all" or shape.asked == NEVER:
            return False
        if not _is_sqlite(db):
            if shape.asked is None and not looks_elsewhere(shape):
                return False
            if shape.scope == "project":
                return project_plan.has_many(db, self.values["project_id"])
            return list_plan.has_many(db, self.values["owner_id"])
        if shape.asked is None:
            return bool(self.wide) and not {"made_after", "made_before"}.intersection(self.bounds)
        says_it = not (shape.names or shape.choices) and tests_only(shape.asked, shape.sort_by)
        return with_total or not says_it

    def sorts_all(self, db: Session, filters: TaskFilters) -> bool:
        """Whether SQLite would sort all tasks to skip some: no index has those without a value at the end."""
        can = filters.skip > 0 and filters.sort_by in NULLABLE and not self.shape.by_id
        return can and self.shape.scope != "all" and _is_sqlite(db)

    @property
    def wide(self) -> tuple[str, ...]:
        """The ranges with so many tasks, on SQLite, that the list is walked instead of sorting them."""
        return tuple(name for name in self.shape.without_index if name in list_plan.RANGE_COLUMNS)

    def gathering(self, db: Session) -> "_Planned":
        """The plan for a page that is far down a list that is walked: the tasks in its ranges are gathered first.

        Those of the least range are sorted, if it has not very many.
        """
        counts = {name: self._in_range(db, name, MANY_IN_RANGE + 1) for name in self.wide}
        least = min(counts, key=counts.__getitem__)
        shape = self.shape._replace(gathers=True)
        if counts[least] <= MANY_IN_RANGE:
            kept = tuple(name for name in shape.without_index if name != least)
            shape = shape._replace(without_index=kept, sorts=True)
        return self._replace(shape=shape)

    def _in_range(self, db: Session, name: str, at_most: int) -> int:
        plan = project_plan if self.shape.scope == "project" else list_plan
        number: int = db.execute(plan.in_range(name), {**self.values, "at_most": at_most}).scalar_one()
        return number

    def execute(self, db: Session, part: str, **more: Any) -> Any:
        """Execute the statement of a part."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        if shape.asked is None:
            return db.execute(statement(shape), values)
        return statements.execute(db, shape, lambda: build(shape), values)

    def execute_near(self, db: Session, part: str, **more: Any) -> list[AnyRow]:
        """The rows of a part among the next tasks in the order, on Postgres."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        return list(statements.execute(db, shape, lambda: list_on_postgres.build(shape), values).all())


def page(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None = None) -> PageOf[AnyRow]:
    """A page of the tasks of an owner, a project or everybody; raises InvalidInput for a bad cursor.

    `asked` is the part of a filter that `asking.split` could not express by plain filters.
    """
    # These lists take two reads, which must see the same state: for tasks without a value, or for the total.
    if filters.total or filters.sort_by in NULLABLE:
        with one_snapshot(db):
            return _page(db, place, filters, asked)
    return _page(db, place, filters, asked)


def _page(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> PageOf[AnyRow]:
    filters = list_states.by_status(db, place, filters)
    planned = _planned(db, place, filters, asked)
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


def _total(db: Session, place: Place, filters: TaskFilters, planned: _Planned) -> tuple[int, _Planned]:
    """The number of tasks in a list, and the plan of its pages: few tasks are looked for only once."""
    if planned.shape.asked is None:
        known = None if place.scope == "project" else list_plan.known_total(db, place.owner_id, filters)
        if known is not None:
            return known, planned
    elif not planned.shape.by_id:
        few = list_plan.FEW_FOUND
        found = list(planned.uncut().execute(db, "ids", limit=few + 1).scalars())
        if len(found) <= few:
            return len(found), planned.uncut().among(found)
    total: int = planned.uncut().execute(db, "count").scalar_one()
    return total, planned


def _reader(db: Session, planned: _Planned) -> Callable[..., list[AnyRow]]:
    """The function that reads a part of a page."""

    def read(part: str, **more: Any) -> list[AnyRow]:
        return list(planned.execute(db, part, **more).all())

    return read


def _looked_for(
    db: Session, filters: TaskFilters, planned: _Planned, after: dict[str, Any] | None
) -> tuple[list[AnyRow], int | None]:
    """A page, and the number of all tasks if it is asked for, from going through all tasks at most once."""
    sorts_all = planned.sorts_all(db, filters)
    rows = None if sorts_all else _near(db, filters, planned, after)
    if rows is None and not sorts_all and planned.shape.asked is None and planned.wide:
        rows = _rows(filters, after, _reader(db, planned.gathering(db)))
    if rows is not None:
        return rows, planned.uncut().execute(db, "count").scalar_one() if filters.total else None
    if after is None:
        part = "skip" if filters.skip else "first"
    else:
        part = "beyond" if after["after_value"] is None else "after"
    found = planned.uncut().execute(db, f"{part} whole", **(after or {}), skip=filters.skip).all()
    these = planned.unfiltered().among([row.id for row in found if row.id is not None])
    rows = _rows(filters.model_copy(update={"skip": 0}), after, _reader(db, these))
    return rows, found[0].total if filters.total else None


def _near(
    db: Session, filters: TaskFilters, planned: _Planned, after: dict[str, Any] | None
) -> list[AnyRow] | None:
    """The page if its tasks are among the next ones in the order, or if not many tasks are left."""
    if not _is_sqlite(db):
        return _near_on_postgres(db, filters, planned, after)
    part, more, edge = "first" if after is None else "after", after or {}, None
    if not filters.skip and more.get("after_value", "") is not None:
        near = NEAR_IN_RANGE if planned.shape.asked is None else NEAR
        edge = planned.unfiltered().execute(db, f"{part} edge", **more, near=near).first()
    if edge is None:
        return None if filters.total else _rows(filters, after, _reader(db, planned))
    found = planned.execute(db, f"{part} near", **more, edge_value=edge.value, edge_id=edge.id)
    rows = list(found.all())
    return rows if len(rows) == planned.values["limit"] else None


def _near_on_postgres(
    db: Session, filters: TaskFilters, planned: _Planned, after: dict[str, Any] | None
) -> list[AnyRow] | None:
    """The page if its tasks are among the next thousands in the order."""
    more = after or {}
    part = "first" if after is None else "after"
    if filters.skip:
        # Tasks without a value count too, and no index has these last.
        if filters.sort_by in NULLABLE:
            return None
        part, more = "skip", {"skip": filters.skip}
    elif more.get("after_value", "") is None:
        part = "after without"
    return list_on_postgres.near(partial(planned.execute_near, db), part, more, planned.values["limit"])


def ids(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None, at_most: int) -> list[int]:
    """The sorted ids of all tasks in a list with these filters; the list's order and page are ignored."""
    planned = _planned(db, place, filters, asked).uncut()
    return list(planned.execute(db, "ids", limit=at_most).scalars())


@cache
def _unfiltered_shape(sort_by: str, *, is_descending: bool) -> ListShape:
    return ListShape(
        scope="owner",
        names=(),
        choices=(),
        sort_by=sort_by,
        descending=is_descending,
        by_id=False,
        without_index=(),
        asked=None,
        part="first",
    )


# Fields that say how a list is read, not which tasks are in it.
_UNFILTERED = frozenset({"limit", "skip", "cursor", "sort_by", "sort_order", "total", "tz"})


def _planned(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> _Planned:
    if asked is None and place.scope == "owner" and filters.model_fields_set <= _UNFILTERED:
        # The usual list needs no plan.
        shape = _unfiltered_shape(filters.sort_by, is_descending=filters.sort_order == "desc")
        return _Planned(shape, {"owner_id": place.owner_id, "limit": filters.limit + 1}, {})
    return _planned_with_filters(db, place, filters, asked)


def _planned_with_filters(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None) -> _Planned:
    names = tuple(name for name in FILTERS if getattr(filters, name, None) is not None)
    if place.project_id is not None:
        names = tuple(name for name in names if name != "project_id")
    values: dict[str, Any] = {name: getattr(filters, name) for name in names}
    for name in list_plan.TEXTS:
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

    if place.project_id is not None:
        task_ids, without_index, bounds = project_plan.plan(db, filters, asks_more=asked is not None)
    else:
        task_ids, without_index, bounds = list_plan.plan(
            db, place.owner_id, filters, asks_more=asked is not None
        )
    if task_ids is not None:
        values["task_ids"] = task_ids
    bounds = {**bounds, **list_plan.priority_bounds(filters)}
    shape = ListShape(
        scope=place.scope,
        names=(*names, *bounds),
        choices=chosen,
        sort_by=filters.sort_by,
        descending=filters.sort_order == "desc",
        by_id=task_ids is not None,
        without_index=without_index,
        asked=None if asked is None else asked.shape,
        part="first",
    )
    return _Planned(shape, values | dict(bounds), bounds)


def _rows(
    filters: TaskFilters, after: dict[str, Any] | None, read: Callable[..., list[AnyRow]]
) -> list[AnyRow]:
    """The rows of a page and, if there is one, the row after it."""
    if filters.skip:
        return read("skip", skip=filters.skip)
    if filters.sort_by not in NULLABLE:
        return read("first") if after is None else read("after", **after)
    rows = []
    if after is None:
        rows = [] if list_plan.has_no_value(filters) else read("first")
    elif after["after_value"] is not None:
        rows, after = read("after", **after), None
    missing = filters.limit + 1 - len(rows)
    if missing > 0 and after is None:
        rows += read("first without", limit=missing)
    elif missing > 0 and after is not None:
        rows += read("after without", limit=missing, **after)
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
    if filters.skip:
        raise invalid_cursor("A cursor continues where a page ended, and can't be combined with `skip`")
    kind: tuple[type, ...] = (str,) if filters.sort_by == "title" else (int,)
    if filters.sort_by in NULLABLE:
        kind = (*kind, type(None))
    sort_by, sort_order, value, row_id = decode_cursor(filters.cursor, str, str, kind, int)
    if (sort_by, sort_order) != (filters.sort_by, filters.sort_order):
        raise invalid_cursor(
            "The cursor was made for another order: keep `sort_by` and `sort_order`, or leave the cursor out"
        )
    if filters.sort_by in TIMES and value is not None:
        try:
            value = moment(value)
        except OverflowError:
            raise invalid_cursor() from None
    return {"after_value": value, "after_id": row_id}
