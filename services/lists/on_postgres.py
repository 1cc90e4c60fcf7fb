"""The next tasks of a long list with a filter on Postgres.

Postgres plans a read by a guess of how many tasks match. For most conditions of a filter the guess is no
better than chance. If it is too high, Postgres goes through all tasks in the order of the list, which are far
apart in the table, or even through everybody's tasks. So a long list is read in a way that depends on no guess:
the next tasks in the order are looked at first. If too few of them match, all matching tasks are looked for, in
any way. A list with ranges alone is read along its order, whose index has all times, if each range has many tasks.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import visitors

from database import AnyRow
from models import LARGEST_ID, tasks
from services.lists.lookups import RANGES
from services.lists.parts import Part
from services.lists.statements import (
    BOUNDS,
    LAST_MOMENT,
    NULLABLE,
    SORT_COLUMNS,
    ListShape,
    beyond,
    condition_of,
    in_order,
    names_in,
    one_of_many,
)
from services.query.conditions import condition
from services.rights import column_of, parameter_of, visible_tasks
from services.tasks.fields import TASK_COLUMNS

# A page is looked for among this number of next tasks, and then, if enough of these match, among the second number.
NEAR, FARTHER = 1000, 10_000


def near(
    execute: Callable[..., list[AnyRow]], part: Part, more: Mapping[str, Any], limit: int
) -> list[AnyRow] | None:
    """The rows of a part of a page if they are all among the next tasks; `execute` executes its statement."""
    rows: list[AnyRow] = []
    for number in (NEAR, FARTHER):
        if number == NEAR or len(rows) * (FARTHER // NEAR) >= limit:
            rows = execute(part.by("near"), **more, near=number)
        if len(rows) == limit:
            return rows
    return None


def build(shape: ListShape) -> Select[Any]:
    """The statement of a part: see `statements.build`.

    The next tasks are read along the index of the order. Those that match are the rows.
    """
    kind, way, without_value = shape.part
    next_tasks = _next_missing(shape) if without_value else _next(shape)
    key: list[ColumnElement[Any]] = [tasks.c.id] if without_value else _key(shape)
    if way == "along":
        return _along(shape, next_tasks, key)
    these = next_tasks.limit(bindparam("near")).subquery("near")

    def of_these(clause: Any) -> Any:
        def replace(element: Any, **_: Any) -> Any:
            return these.c[element.key] if getattr(element, "table", None) is tasks else None

        return visitors.replacement_traverse(clause, {}, replace)

    wanted = _wanted(shape)
    if kind == "after":
        wanted.append(beyond(shape, key))
    statement = select(*(of_these(column) for column in TASK_COLUMNS))
    statement = statement.where(*(of_these(each) for each in wanted))
    # Postgres stops at the end of the page, because this is the order of the next tasks.
    order = [SORT_COLUMNS[shape.sort_by] if without_value else column_of(shape.scope), *key]
    statement = statement.order_by(*in_order(shape, [of_these(each) for each in order]))
    if kind == "skip":
        statement = statement.offset(bindparam("skip"))
    return statement.limit(bindparam("limit"))


def _along(shape: ListShape, next_tasks: Select[Any], key: list[ColumnElement[Any]]) -> Select[Any]:
    """The rows of a part, found along the index of the order, which alone tells which tasks are in the ranges."""
    of_order = [] if shape.part.without_value else _of_order(shape)
    others = [_of_place(shape, name) for name in names_in(shape) if name not in of_order]
    statement = next_tasks.with_only_columns(*TASK_COLUMNS).where(*others)
    if shape.part.kind == "after":
        statement = statement.where(beyond(shape, key))
    if shape.part.kind == "skip":
        statement = statement.offset(bindparam("skip"))
    return statement.limit(bindparam("limit"))


def _key(shape: ListShape) -> list[ColumnElement[Any]]:
    return [tasks.c.id] if shape.sort_by == "id" else [SORT_COLUMNS[shape.sort_by], tasks.c.id]


def _wanted(shape: ListShape) -> list[ColumnElement[bool]]:
    """The conditions of all filters, for few tasks."""
    names = [condition_of(name, is_unindexed=False) for name in names_in(shape)]
    chosen = [
        _has_any_tag(count) if name == "tag" else one_of_many(name, count) for name, count in shape.choices
    ]
    asked = [] if shape.asked is None else [condition(shape.asked, shape.scope, of_few=True)]
    return [*names, *chosen, *asked]


def _has_any_tag(count: int) -> ColumnElement[bool]:
    tags: list[ColumnElement[str]] = [bindparam(f"tag_{place}") for place in range(count)]
    return tasks.c.tags.bool_op("?|")(array(tags, type_=Text()))


def _next(shape: ListShape) -> Select[Any]:
    """The next tasks of the owner or the project, with all columns, within the ranges of the order alone.

    The index of the order begins with the owner, and so does each bound: Postgres then starts at the right place,
    and no index of everybody's tasks has this order. Postgres looks at the owner alone to guess how many tasks are
    within a bound. So a bound includes its value.
    """
    owner, named = column_of(shape.scope), parameter_of(shape.scope)
    key = _key(shape)
    least: list[ColumnElement[bool]] = []
    most: list[ColumnElement[bool]] = []
    if shape.part.kind == "after":
        place = [bindparam("after_value", type_=key[0].type), bindparam("after_id")][-len(key) :]
        here, there = tuple_(owner, *key), tuple_(named, *place)
        (most if shape.descending else least).append(here <= there if shape.descending else here >= there)
    # Postgres begins at the first of several bounds on a side. Those of the plan are the nearest.
    for name in _of_order(shape):
        side = least if (RANGES | BOUNDS)[name][1] is operator.ge else most
        side.append(_of_place(shape, name))
    if shape.sort_by in NULLABLE and not most:
        last = bindparam("last_value", LAST_MOMENT, type_=key[0].type)
        most = [tuple_(owner, *key) <= tuple_(named, last, bindparam("last_id", LARGEST_ID))]
    # Both sides are of this owner or project.
    within = [*(least or [owner >= named]), *(most or [owner <= named])]
    if least and most:
        # The indexes of projects have only tasks in projects. Postgres sees this in a comparison with one value alone;
        # otherwise it would take this for one more condition, which few tasks meet.
        within.append(owner.is_not(None))
    statement = visible_tasks("all").with_only_columns(*tasks.c).where(*within)
    return statement.order_by(*in_order(shape, [owner, *key]))


def _of_place(shape: ListShape, name: str) -> ColumnElement[bool]:
    """The condition of a range or a bound, together with the owner or the project."""
    column, compare = (RANGES | BOUNDS)[name]
    value: Any = bindparam(name, type_=column.type)
    if compare is operator.lt:
        value, compare = value - literal_column("interval '1 microsecond'"), operator.le
    found: ColumnElement[bool] = compare(
        tuple_(column_of(shape.scope), column), tuple_(parameter_of(shape.scope), value)
    )
    return found


def _of_order(shape: ListShape) -> list[str]:
    """The bounds of a plan, and then the ranges, of the column by which the list is ordered."""
    return [
        name
        for some in (BOUNDS, RANGES)
        for name in shape.names
        if name in some and some[name][0] is _key(shape)[0]
    ]


def _next_missing(shape: ListShape) -> Select[Any]:
    """The next tasks without a value in the column of the order."""
    column = SORT_COLUMNS[shape.sort_by]
    statement = visible_tasks(shape.scope).with_only_columns(*tasks.c)
    statement = statement.where(column.is_(None))
    if shape.part.kind == "after":
        statement = statement.where(beyond(shape, [tasks.c.id]))
    # The index of the order has these tasks in the order of their ids.
    return statement.order_by(*in_order(shape, [column, tasks.c.id]))
