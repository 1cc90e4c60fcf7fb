"""Lists of tasks: filters, orders and pages, as statements that are built once for each shape.

A list is read by keyset along an index. In an order by `due_at` or `completed_at`, tasks without a value come
last. A second read finds these, because no index has them in that place.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    String,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.orm import Session

from database import AnyRow
from models import STATUSES, task_tags, tasks
from schemas.tasks import TaskFilters
from services.paging import PageOf, decode_cursor, encode_cursor, invalid_cursor
from services.query import asking, statements
from services.query.conditions import Place, Scope, Shape, Shaped, condition
from services.rights import unindexed, visible_tasks
from services.tasks import list_plan, project_plan
from storage.column_types import NumbersOf, microseconds, moment
from storage.direct_session import one_snapshot
from storage.folding import fold, pattern
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape

NULLABLE = ("due_at", "completed_at")
TIMES = ("created_at", "updated_at", "due_at", "completed_at")
SORT_COLUMNS: dict[str, Any] = {
    name: tasks.c[name] for name in ("created_at", "updated_at", "due_at", "completed_at", "priority", "id")
} | {"title": tasks.c.title_folded}


def any_of(name: str, column: ColumnElement[Any], count: int) -> ColumnElement[bool]:
    """The condition that a column has one of `count` values, which are parameters."""
    values: list[BindParameter[Any]] = [bindparam(f"{name}_{place}") for place in range(count)]
    return column == values[0] if count == 1 else column.in_(values)


def _tagged(count: int) -> Select[Any]:
    """The rows of `count` tags that a task has."""
    return select(task_tags.c.task_id).where(
        task_tags.c.user_id == tasks.c.user_id,
        any_of("tag", task_tags.c.tag, count),
        task_tags.c.created_at == tasks.c.created_at,
        task_tags.c.task_id == tasks.c.id,
    )


# Each filter and its condition, whose value is a parameter of the same name. A range has a column, which the
# condition may use with or without its index.
RANGES: dict[str, tuple[Any, Callable[[Any, Any], ColumnElement[bool]]]] = {
    f"{column}_{side}": (tasks.c[f"{column}_at"], compare)
    for column in ("created", "updated", "due", "completed")
    for side, compare in (("after", operator.ge), ("before", operator.lt))
}
CONDITIONS: dict[str, Callable[[], ColumnElement[bool]]] = {
    "title_contains": lambda: tasks.c.title_folded.like(bindparam("title_contains"), escape="\\"),
    "query": lambda: tasks.c.title_folded.like(bindparam("query"), escape="\\"),
    # For an admin's list of an owner's tasks in a project: a project's own list begins with this condition.
    "project_id": lambda: tasks.c.project_id == bindparam("project_id"),
    "is_blocked": lambda: tasks.c.blocked_at.is_not(None),
    "is_free": lambda: tasks.c.blocked_at.is_(None),
}


# The filters with several values: a task matches if it has any of them.
CHOICES: dict[str, Any] = {
    "status": tasks.c.status,
    # The state of a private task is its status.
    "state": func.coalesce(tasks.c.state, tasks.c.status),
    # A state that is no status is found in projects only, where the column is never NULL: an index finds it.
    "shared_state": tasks.c.state,
    "project": tasks.c.project,
    "priority": tasks.c.priority,
    "tag": None,
}
FILTERS = (*CONDITIONS, *RANGES)
# Conditions that a plan may add to the filters: where in the order of creation the list can begin.
BOUNDS: dict[str, tuple[Any, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "made_after": (tasks.c.created_at, operator.ge),
    "made_before": (tasks.c.created_at, operator.lt),
}


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


class _Shape(NamedTuple):
    """Everything that a statement's text depends on."""

    scope: Scope
    names: tuple[str, ...]
    # The filters with several values, and the number of parameters of each.
    choices: tuple[tuple[str, int], ...]
    sort_by: str
    descending: bool
    by_id: bool
    without_index: tuple[str, ...]
    # The rest of a filter that plain filters can't express; see `services.query`.
    asked: Shape | None
    # The part of the list that the statement reads: see `_build`.
    part: str


def choices(chosen: Mapping[str, Sequence[Any]]) -> tuple[tuple[tuple[str, int], ...], dict[str, Any]]:
    """The number of parameters of each filter with several values, and the parameters.

    The last value is repeated up to the next power of two, so that there are few different statements.
    """
    counts: list[tuple[str, int]] = []
    values: dict[str, Any] = {}
    for name, wanted in chosen.items():
        if wanted:
            count = 1 << (len(wanted) - 1).bit_length()
            counts.append((name, count))
            values |= {f"{name}_{place}": wanted[min(place, len(wanted) - 1)] for place in range(count)}
    return tuple(counts), values


class _Planned(NamedTuple):
    """The plan of a list: the shape of its statements, and their parameters."""

    # `bounds` say where the page begins in the order of creation.
    shape: _Shape
    values: dict[str, Any]
    bounds: Mapping[str, datetime]

    def uncut(self) -> "_Planned":
        """The same plan without the parts that only help to find a page in the order of the list."""
        names = tuple(name for name in self.shape.names if name not in self.bounds)
        without_index = tuple(set(self.shape.without_index) & set(list_plan.TEXTS))
        return self._replace(shape=self.shape._replace(names=names, without_index=without_index))

    def execute(self, db: Session, part: str, **more: Any) -> Any:
        """Execute the statement of a part."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        if shape.asked is None:
            return db.execute(_statement(shape), values)
        return statements.execute(db, shape, lambda: _build(shape), values)


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
    planned = _planned(db, place, filters, asked)
    rows = _rows(filters, lambda part, **more: list(planned.execute(db, part, **more).all()))
    total = None
    if filters.total:
        if asked is None and place.scope != "project":
            total = list_plan.known_total(db, place.owner_id, filters)
        if total is None:
            total = planned.uncut().execute(db, "count").scalar_one()
    if len(rows) <= filters.limit:
        return PageOf(rows, None, total)
    last = rows[filters.limit - 1]
    return PageOf(rows[: filters.limit], _cursor_behind(last, filters), total)


def ids(db: Session, place: Place, filters: TaskFilters, asked: Shaped | None, at_most: int) -> list[int]:
    """The sorted ids of all tasks in a list with these filters; the list's order and page are ignored."""
    planned = _planned(db, place, filters, asked).uncut()
    return list(planned.execute(db, "ids", limit=at_most).scalars())


@cache
def _unfiltered_shape(sort_by: str, *, is_descending: bool) -> _Shape:
    return _Shape(
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
        task_ids, without_index, bounds = list_plan.plan(db, place.owner_id, filters)
    if task_ids is not None:
        values["task_ids"] = to_json(task_ids).decode()
    shape = _Shape(
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


def _rows(filters: TaskFilters, read: Callable[..., list[AnyRow]]) -> list[AnyRow]:
    """The rows of a page and, if there is one, the row after it."""
    if filters.cursor is not None and filters.skip:
        raise invalid_cursor("A cursor continues where a page ended, and can't be combined with `skip`")
    if filters.skip:
        return read("skip", skip=filters.skip)
    after = None if filters.cursor is None else _place(filters.cursor, filters)
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


def _place(cursor: str, filters: TaskFilters) -> dict[str, Any]:
    """The parameters of the row after which the page begins."""
    kind: tuple[type, ...] = (str,) if filters.sort_by == "title" else (int,)
    if filters.sort_by in NULLABLE:
        kind = (*kind, type(None))
    sort_by, sort_order, value, row_id = decode_cursor(cursor, str, str, kind, int)
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


def _condition(name: str, *, is_unindexed: bool) -> ColumnElement[bool]:
    if name in list_plan.TEXTS and is_unindexed:
        return tasks.c.title_folded.concat("").like(bindparam(name), escape="\\")
    if name in CONDITIONS:
        return CONDITIONS[name]()
    column, compare = (RANGES | BOUNDS)[name]
    return compare(unindexed(column) if is_unindexed else column, bindparam(name, type_=column.type))


def one_of_many(name: str, count: int, *, is_unindexed: bool = False) -> ColumnElement[bool]:
    """The condition of a filter with `count` values: a task has any of them."""
    if name != "tag":
        return any_of(name, CHOICES[name], count)
    if is_unindexed:
        # The limit keeps the database from turning the subquery into a join: it checks each task on the way.
        return _tagged(count).limit(1).scalar_subquery().is_not(None)
    return _tagged(count).exists()


def _filtered(shape: _Shape) -> tuple[Select[Any], ColumnElement[Any], ColumnElement[int]]:
    """The statement of the tasks that match the filters, and the columns of its order."""
    statement = visible_tasks(shape.scope, by_id=shape.by_id)
    if shape.by_id:
        listed = NumbersOf(bindparam("task_ids", type_=String()))
        statement = statement.where(tasks.c.id.bool_op("IN")(listed))
    column: ColumnElement[Any] = SORT_COLUMNS[shape.sort_by]
    row_id: ColumnElement[int] = tasks.c.id
    for name in shape.names:
        statement = statement.where(_condition(name, is_unindexed=name in shape.without_index))
    for name, count in shape.choices:
        if (name, count) == ("tag", 1) and shape.sort_by == "created_at" and not shape.by_id:
            # The rows of a tag have the order of this list, so the list is read along them.
            statement = statement.join(task_tags, task_tags.c.task_id == tasks.c.id).where(
                any_of("tag", task_tags.c.tag, 1)
            )
            if shape.scope == "owner":
                statement = statement.where(task_tags.c.user_id == bindparam("owner_id"))
            elif shape.scope == "project":
                statement = statement.where(task_tags.c.project_id == bindparam("project_id"))
            column, row_id = task_tags.c.created_at, task_tags.c.task_id
        else:
            statement = statement.where(one_of_many(name, count, is_unindexed=name in shape.without_index))
    if shape.asked is not None:
        statement = statement.where(condition(shape.asked, shape.scope))
    return statement, column, row_id


@kept_by_shape
def _statement(shape: _Shape) -> Select[Any]:
    plan_anew = bool(shape.names) or any(name != "status" for name, _ in shape.choices)
    return prepared(_build(shape), plan_anew=plan_anew)


def _build(shape: _Shape) -> Select[Any]:
    """The statement of a shape.

    Its part is `first` for the first page, or `after` for the page after a row. In an order by a column that
    may be missing, these two leave out the rows without a value, which `first without` and `after without`
    read. `skip` reads both kinds of rows, `count` counts the tasks, and `ids` lists their ids.
    """
    statement, column, row_id = _filtered(shape)
    if shape.part == "count":
        return statement.with_only_columns(func.count(), maintain_column_froms=True)
    if shape.part == "ids":
        found = statement.with_only_columns(tasks.c.id, maintain_column_froms=True)
        return found.order_by(tasks.c.id).limit(bindparam("limit"))

    nullable = shape.sort_by in NULLABLE
    without = shape.part.endswith("without")
    if nullable and shape.part != "skip":
        statement = statement.where(column.is_(None) if without else column.is_not(None))
    key: list[ColumnElement[Any]] = [row_id] if without or shape.sort_by == "id" else [column, row_id]
    if shape.part.startswith("after"):
        place = [bindparam("after_value", type_=column.type), bindparam("after_id")][-len(key) :]
        here, there = tuple_(*key), tuple_(*place)
        statement = statement.where(here < there if shape.descending else here > there)
    if nullable and shape.part == "skip":
        statement = statement.order_by(column.is_(None))
    statement = statement.order_by(*(each.desc() if shape.descending else each.asc() for each in key))
    if shape.part == "skip":
        statement = statement.offset(bindparam("skip"))
    return statement.limit(bindparam("limit"))
