"""The statements of lists of tasks, built once for each shape: filters, orders and the place of a page."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)

from models import HIGHEST_PRIORITY, LARGEST_ID, ORDERS, task_tags, tasks
from services.bulk_numbers import in_bulk
from services.lists.lookups import RANGES, TEXTS
from services.lists.parts import FIRST, Part, Way
from services.query.conditions import condition
from services.query.elements import Implied, UnindexedOnSqlite
from services.query.shapes import Scope, Shape
from services.rights import parameter_of, unindexed, visible_tasks
from services.tasks.fields import TASK_COLUMNS
from storage.column_types import is_among
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape

NULLABLE = ("due_at", "completed_at")
# The ways of reading a page from all tasks that match.
ALL_AT_ONCE: tuple[Way, ...] = ("sorted", "counted", "edged")
LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
TIMES = ("created_at", "updated_at", "due_at", "completed_at")
SORT_COLUMNS: dict[str, Any] = {name: tasks.c[name] for name in (*TIMES, "priority", "id")} | {
    "title": tasks.c.title_folded
}


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


# Filters by one value, and their conditions; the value is a parameter of the same name.
CONDITIONS: dict[str, Callable[[], ColumnElement[bool]]] = {
    "title_contains": lambda: tasks.c.title_folded.like(bindparam("title_contains"), escape="\\"),
    "query": lambda: tasks.c.title_folded.like(bindparam("query"), escape="\\"),
    # For an admin's list of an owner's tasks in a project: a project's own list begins with this condition.
    "project_id": lambda: tasks.c.project_id == bindparam("project_id"),
    "is_blocked": lambda: tasks.c.blocked_at.is_not(None),
    "is_free": lambda: tasks.c.blocked_at.is_(None),
    # Every task has one of these. A plan adds the condition so that SQLite looks into the tasks of each priority.
    "any_priority": lambda: tasks.c.priority.in_(map(literal_column, map(str, range(HIGHEST_PRIORITY + 1)))),
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
# Conditions that a plan may add to the filters: where in its order the list can begin, and end.
BOUNDS: dict[str, tuple[Any, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "made_after": (tasks.c.created_at, operator.ge),
    "made_before": (tasks.c.created_at, operator.lt),
    **{
        f"{side}_{name}": (tasks.c[name], compare)
        for name in (*TIMES, "priority", "id")
        for side, compare in (("least", operator.ge), ("most", operator.le))
    },
}


class ListShape(NamedTuple):
    """Everything that a statement's text depends on."""

    scope: Scope
    names: tuple[str, ...]
    # The filters with several values, and the number of parameters of each.
    choices: tuple[tuple[str, int], ...]
    sort_by: str
    descending: bool
    by_id: bool = False
    without_index: tuple[str, ...] = ()
    # The rest of a filter that plain filters can't express; see `services.query`.
    asked: Shape | None = None
    part: Part = FIRST
    # Whether the tasks in ranges without an index are gathered first, and whether the tasks are sorted at last, not
    # walked in the order of the list: for SQLite.
    gathers: bool = False
    sorts: bool = False


def names_in(shape: ListShape) -> tuple[str, ...]:
    """The filters of a part, and the bounds of those parts that have only tasks with a value."""
    if not shape.part.without_value and shape.part.kind != "skip":
        return shape.names
    return tuple(name for name in shape.names if name not in BOUNDS or BOUNDS[name][0].key not in NULLABLE)


def order_has_ranges(shape: ListShape) -> bool:
    """Whether the index of the order alone tells SQLite which tasks are in the ranges that have too many to be sorted."""
    columns = {RANGES[name][0].key for name in shape.without_index if name in RANGES}
    is_plain = shape.asked is None and not shape.choices and len(columns) > 0
    return is_plain and columns <= set(ORDERS.get(shape.sort_by, ()))


def looks_elsewhere(shape: ListShape) -> bool:
    """Whether Postgres may look for a list's tasks among everybody's: by a text, or along an index of theirs."""
    return bool(
        set(TEXTS).intersection(shape.names)
        or (shape.sort_by in ("due_at", "id") and set(RANGES).intersection(shape.names))
    )


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


def condition_of(name: str, *, is_unindexed: bool) -> ColumnElement[bool]:
    """The condition of a filter with one value."""
    if name in TEXTS and is_unindexed:
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


def _of_tags(scope: Scope, count: int) -> list[ColumnElement[bool]]:
    """The conditions of the rows of `count` tags."""
    conditions = [any_of("tag", task_tags.c.tag, count)]
    if scope != "all":
        place = task_tags.c.project_id if scope == "project" else task_tags.c.user_id
        conditions.append(place == parameter_of(scope))
    return conditions


def _gathered(shape: ListShape, name: str) -> ColumnElement[bool]:
    """The condition of a range by the list of all tasks in it, which an index alone gives."""
    column, compare = RANGES[name]
    there = tasks.alias("there")
    ids = select(there.c.id).where(
        (there.c.project_id if shape.scope == "project" else there.c.user_id) == parameter_of(shape.scope),
        compare(there.c[column.key], bindparam(name, type_=column.type)),
    )
    return type_coerce(UnindexedOnSqlite(tasks.c.id), BigInteger).in_(ids)


def _filtered(
    shape: ListShape, *, of_few: bool = False
) -> tuple[Select[Any], ColumnElement[Any], ColumnElement[int]]:
    """The statement of the tasks that match the filters, and the columns of its order."""
    statement = visible_tasks(shape.scope, by_id=shape.by_id)
    if shape.by_id:
        statement = statement.where(is_among(tasks.c.id, "task_ids"))
    column: ColumnElement[Any] = SORT_COLUMNS[shape.sort_by]
    row_id: ColumnElement[int] = tasks.c.id
    in_order = shape.part.kind not in ("count", "ids") and shape.part.way not in ALL_AT_ONCE
    for name in names_in(shape):
        is_unindexed = name in shape.without_index
        gathers = is_unindexed and shape.gathers and name in RANGES
        statement = statement.where(
            _gathered(shape, name) if gathers else condition_of(name, is_unindexed=is_unindexed)
        )
    for name, count in shape.choices:
        if name == "tag" and not in_order and not shape.by_id:
            tagged = select(task_tags.c.task_id).where(*_of_tags(shape.scope, count))
            statement = statement.where(tasks.c.id.in_(tagged))
        elif (name, count) == ("tag", 1) and shape.sort_by == "created_at" and not shape.by_id:
            # The rows of a tag have the order of this list, so the list is read along them. If SQLite goes through
            # the tasks instead, the time says which row of the tag is the task's.
            at_the_time = Implied(task_tags.c.created_at == tasks.c.created_at)
            of_task = (task_tags.c.task_id == tasks.c.id) & at_the_time
            statement = statement.join(task_tags, of_task).where(*_of_tags(shape.scope, 1))
            column, row_id = task_tags.c.created_at, task_tags.c.task_id
        else:
            statement = statement.where(one_of_many(name, count, is_unindexed=name in shape.without_index))
    if shape.asked is not None:
        statement = statement.where(condition(shape.asked, shape.scope, of_few=of_few))
    if shape.sorts:
        column, row_id = (type_coerce(UnindexedOnSqlite(each), each.type) for each in (column, row_id))
    return statement, column, row_id


@kept_by_shape
def statement(shape: ListShape) -> Select[Any]:
    """The statement of a shape without a filter in the query language, prepared once and kept."""
    plan_each_time = bool(shape.names) or any(name != "status" for name, _ in shape.choices)
    return prepared(build(shape), plan_each_time=plan_each_time)


def build(shape: ListShape) -> Select[Any]:
    """The statement of a shape.

    In an order by a column that may be missing, `first` and `after` leave out the rows without a value, which have parts
    of their own. `skip` reads both kinds of rows.
    """
    kind, way, without_value = shape.part
    if way in ("edge", "sampled"):
        return (_edge if way == "edge" else _sampled)(shape)
    if way in ALL_AT_ONCE:
        return _of_all(shape)
    statement, column, row_id = _filtered(shape, of_few=way == "near")
    if kind == "count":
        return statement.with_only_columns(func.count(), maintain_column_froms=True)
    if kind == "ids":
        found = statement.with_only_columns(tasks.c.id, maintain_column_froms=True)
        # In the order of ids, Postgres would go through everybody's tasks.
        return in_bulk(found.order_by(unindexed(tasks.c.id)).limit(bindparam("limit")))

    nullable = shape.sort_by in NULLABLE
    if nullable and kind != "skip":
        statement = statement.where(*([column.is_(None)] if without_value else _is_there(shape, column)))
    key: list[ColumnElement[Any]] = [row_id] if without_value or shape.sort_by == "id" else [column, row_id]
    if kind == "after":
        statement = statement.where(beyond(shape, key))
    if way == "near":
        statement = statement.where(_up_to_edge(shape, key))
    # The index of the order has the tasks without a value in the order of their ids.
    order = in_order(shape, [column, *key] if without_value else key)
    if nullable and kind == "skip":
        order = [column.is_(None), *order]
    statement = statement.order_by(*order).limit(bindparam("limit"))
    if kind == "skip":
        statement = statement.offset(bindparam("skip"))
    return _walked_alone(statement, order) if order_has_ranges(shape) and not shape.sorts else statement


def _walked_alone(statement: Select[Any], order: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The same rows by their ids: SQLite walks an index in two thirds of the time if it reads nothing else."""
    ids = statement.with_only_columns(tasks.c.id).correlate(None)
    return select(*TASK_COLUMNS).where(tasks.c.id.in_(ids)).order_by(*order)


def _is_there(shape: ListShape, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """The conditions that the column of the order is not missing.

    Postgres uses the index of everybody's tasks by `due_at` where `IS NOT NULL` allows it: often the table has
    nearly the same order. If a filter finds few tasks of an owner, it would then read everybody's tasks.
    """
    if shape.asked is None or shape.scope == "all":
        return [column.is_not(None)]
    if shape.part.kind == "after" or shape.part.way == "near":
        # The bound by a row leaves missing values out already. With two such bounds, SQLite may use the one that is no help.
        return []
    last = tuple_(bindparam("last_value", LAST_MOMENT, type_=column.type), bindparam("last_id", LARGEST_ID))
    return [tuple_(column, tasks.c.id) <= last]


def _of_all(shape: ListShape) -> Select[Any]:
    """The ids of a page, found by going through all tasks once; if they are `counted`, each with the number of all.

    If a counted page has no tasks, there is one row without an id.
    """
    if shape.sorts:
        return _by_range(shape)
    is_counted = shape.part.way == "counted"
    statement, column, row_id = _filtered(shape)
    rows = statement.with_only_columns(column.label("value"), row_id.label("id"), maintain_column_froms=True)
    found: Any
    if is_counted:
        # Without the word SQLite would go through the tasks twice.
        found = rows.cte("found").prefix_with("MATERIALIZED", dialect="sqlite")
    else:
        # Without the offset the databases would walk the list in its order.
        found = rows.offset(literal_column("0")).subquery("found")
    page = _page(shape, select(found.c.id), [found.c.value, found.c.id])
    if not is_counted:
        return page
    listed, counted = page.subquery("page"), select(func.count().label("total")).select_from(found).subquery()
    return select(counted.c.total, listed.c.id).select_from(counted.outerjoin(listed, true()))


def _page(shape: ListShape, page: Select[Any], key: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The page of a part from all tasks, those without a value in the column of the order at the end."""
    kind = shape.part.kind
    if kind == "after":
        page = page.where(or_(beyond(shape, key), key[0].is_(None)))
    elif kind == "beyond":
        page = page.where(key[0].is_(None), beyond(shape, key[1:]))
    page = page.order_by(key[0].is_(None), *in_order(shape, key)).limit(bindparam("limit"))
    return page.offset(bindparam("skip")) if kind == "skip" else page


def _by_range(shape: ListShape) -> Select[Any]:
    """The ids of a page, found along the index of a range, which SQLite reads alone."""
    statement, column, row_id = _filtered(shape)
    page = _page(shape, statement.with_only_columns(row_id.label("id")), [column, row_id])
    # The value alone is compared faster.
    edge = (_up_to_edge(shape, key) for key in ([column], [column, row_id]))
    return page.where(*edge) if shape.part.way == "edged" else page


def _sampled(shape: ListShape) -> Select[Any]:
    """The place in the order of the last row of a page from some tasks of a range, if these fill a page.

    All rows of the true page lie up to there. The tasks are those at the bound of the range: the times of a task are
    often near each other, and then these are the first of all in the order.
    """
    statement, column, row_id = _filtered(shape)
    bound = next(name for name in shape.names if name not in shape.without_index)
    if shape.part.kind == "after":
        statement = statement.where(beyond(shape, [column, row_id]))
    near = RANGES[bound][0]
    rows = statement.with_only_columns(column.label("value"), row_id.label("id")).where(column.is_not(None))
    nearest = near.asc() if bound.endswith("after") else near.desc()
    sample = rows.order_by(nearest).limit(bindparam("sample")).subquery()
    key = [sample.c.value, sample.c.id]
    return select(*key).order_by(*in_order(shape, key)).offset(bindparam("last")).limit(1)


def _edge(shape: ListShape) -> Select[Any]:
    """The place in the order of the task that comes `near` tasks later, whatever the filters say of them.

    The names of the shape are bounds: where the list begins.
    """
    key = [SORT_COLUMNS[shape.sort_by], tasks.c.id]
    statement = visible_tasks(shape.scope).with_only_columns(key[0].label("value"), key[1])
    statement = statement.where(*(condition_of(name, is_unindexed=False) for name in shape.names))
    if shape.sort_by in NULLABLE:
        statement = statement.where(key[0].is_not(None))
    if shape.part.kind == "after":
        statement = statement.where(beyond(shape, key))
    return statement.order_by(*in_order(shape, key)).offset(bindparam("near")).limit(1)


def in_order(shape: ListShape, key: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """The columns of the order, in its direction."""
    return [each.desc() if shape.descending else each.asc() for each in key]


def beyond(shape: ListShape, key: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """The condition that a task comes behind the row after which the page begins."""
    place = [bindparam("after_value", type_=key[0].type), bindparam("after_id")][-len(key) :]
    here, there = tuple_(*key), tuple_(*place)
    return here < there if shape.descending else here > there


def _up_to_edge(shape: ListShape, key: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    place = [bindparam("edge_value", type_=key[0].type), bindparam("edge_id")][: len(key)]
    if shape.sort_by == "priority" and {"least_id", "most_id"}.intersection(shape.names):
        # Otherwise SQLite would go through all tasks of a priority, not from the bound of their ids.
        key = [unindexed(key[0]), *key[1:]]
    here, there = tuple_(*key), tuple_(*place)
    return here >= there if shape.descending else here <= there
