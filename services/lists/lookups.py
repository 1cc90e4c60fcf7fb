"""Statements that tell the planner of lists how many tasks a filter finds, and which ones if they are few.

Each is built once for an owner's tasks, a project's and everybody's. Postgres plans most of them for each set of
values, because one owner may have a hundred times the tasks of another.
"""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
)

from models import HAS_OTHER_LETTERS, STATUSES, task_tags, tasks
from services.query.shapes import Scope
from services.rights import column_of, parameter_of
from storage.column_types import Period
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.counts import owner_counts, system_counts

# The filters that look for a text in the title.
TEXTS = ("title_contains", "query")
# The filters by a range of times: their column and comparison.
RANGES: dict[str, tuple[Any, Callable[[Any, Any], ColumnElement[bool]]]] = {
    f"{column}_{side}": (tasks.c[f"{column}_at"], compare)
    for column in ("created", "updated", "due", "completed")
    for side, compare in (("after", operator.ge), ("before", operator.lt))
}
# The number of the newest tasks that tell how frequent a text is.
NEWEST = 200
_needle = bindparam("needle", type_=String())


def _here(scope: Scope, table: Any = tasks) -> ColumnElement[bool]:
    """The condition that a row of tasks or of their tags belongs to the owner or the project."""
    return true() if scope == "all" else table.c[column_of(scope).key] == parameter_of(scope)


def within(name: str) -> ColumnElement[bool]:
    """The condition of a filter by a range."""
    column, compare = RANGES[name]
    return compare(column, bindparam(name, type_=column.type))


# -- how many -----------------------------------------------------------------------------------------


def _counted(counts: Any, statuses: tuple[str, ...] = ()) -> Select[Any]:
    """The number of tasks with one of the statuses, or of all tasks, from a table of counts."""
    numbers = [counts.c[status] for status in statuses or STATUSES]
    return select(func.coalesce(func.sum(sum(numbers[1:], start=numbers[0])), 0).label("total"))


@cache
def total(scope: Scope, statuses: tuple[str, ...] = ()) -> Select[Any]:
    """The number of tasks with one of the statuses, or of all tasks; of a project, `many` or 0 if it has fewer tasks.

    Triggers count the tasks of each owner, but not of projects.
    """
    if scope == "project":
        some = select(tasks.c.id).where(_here(scope)).limit(1).offset(bindparam("many") - 1)
        return prepared(select(case((some.exists(), bindparam("many")), else_=0).label("total")))
    if scope == "all":
        return prepared(_counted(system_counts, statuses))
    return prepared(_counted(owner_counts, statuses).where(_here(scope, owner_counts)))


@cache
def among_newest(scope: Scope) -> Select[Any]:
    """The number of the newest tasks whose titles contain `needle`; NULL if there are fewer than `many` tasks."""
    newest = (
        select(tasks.c.title_folded)
        .where(_here(scope))
        .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    found = select(func.count()).where(func.strpos(newest.c.title_folded, _needle) > 0).scalar_subquery()
    there = total(scope).subquery()
    return prepared(select(case((there.c.total >= bindparam("many"), found))), plan_each_time=True)


@cache
def in_range(scope: Scope, name: str) -> Select[Any]:
    """The number of tasks in a range, up to `at_most`."""
    some = select(tasks.c.id).where(_here(scope), within(name)).limit(bindparam("at_most"))
    return prepared(select(func.count()).select_from(some.subquery()))


@cache
def first_period(name: str, *, descending: bool) -> Select[Any]:
    """The newest (or oldest) period of creation with an owner's task within the range.

    The statement goes from one period to the next until a period has such a task; an index answers for each.
    If no period has any, the result is the last period.
    """
    period = Period(tasks.c.created_at)
    here = (_here("owner"), RANGES[name][0].is_not(None))
    furthest, last = (func.max, func.min) if descending else (func.min, func.max)
    periods = select(select(furthest(period)).where(*here).scalar_subquery().label("period")).cte(
        "periods", recursive=True
    )
    beyond = period < periods.c.period if descending else period > periods.c.period
    following = select(furthest(period)).where(*here, beyond).correlate(periods).scalar_subquery()
    has_one = exists().where(*here, period == periods.c.period, within(name)).correlate(periods)
    following_rows = select(following).where(periods.c.period.is_not(None), ~has_one)
    return prepared(select(last(periods.union_all(following_rows).c.period)))


# -- which ones -----------------------------------------------------------------------------------------


@cache
def containing(scope: Scope, *, on_sqlite: bool) -> Select[Any]:
    """Up to `at_most` tasks whose titles contain `needle`, found by reading all titles and no other column."""
    position = func.instr if on_sqlite else func.strpos
    found = select(tasks.c.id).where(_here(scope), position(tasks.c.title_folded, _needle) > 0)
    return prepared(found.limit(bindparam("at_most")), plan_each_time=True)


@cache
def matching(scope: Scope) -> Select[Any]:
    """Up to `at_most` tasks whose titles match `pattern`, on Postgres.

    The CTE is planned without the limit. With the limit the planner would expect to find matches soon while
    walking the list. Only as many rows as the limit says are read.
    """
    found = select(tasks.c.id).where(
        _here(scope), tasks.c.title_folded.like(bindparam("pattern"), escape="\\")
    )
    these = found.cte("matching").prefix_with("MATERIALIZED", dialect="postgresql")
    return prepared(select(these.c.id).limit(bindparam("at_most")), plan_each_time=True)


@cache
def with_pair(*, of_ascii: bool) -> Select[Any]:
    """Up to `at_most` tasks of a project whose titles contain `needle`, on Postgres; some may come twice.

    The needle is a pair of letters or digits `of_ascii`, or has another letter. The index of trigrams finds a pair
    with each character of ASCII behind it, or at the end of the title. Other titles have an index of their own.
    """
    title = tasks.c.title_folded
    ids = select(tasks.c.id).where(_here("project"))
    found: Any = ids.where(text(HAS_OTHER_LETTERS), func.strpos(title, _needle) > 0)
    if of_ascii:
        followed = title.regexp_match(_needle.concat(literal_column(r"'[\u0001-\u007f]'")))
        last = title.like(literal_column("'%'").concat(_needle))
        found = ids.where(or_(followed, last)).union_all(found)
    these = found.cte("matching").prefix_with("MATERIALIZED", dialect="postgresql")
    return prepared(select(these.c.id).limit(bindparam("at_most")), plan_each_time=True)


@kept_by_shape
def tagged(scope: Scope, count: int) -> Select[Any]:
    """Up to `at_most` tasks with any of `count` tags.

    A task has at most `count` of the rows, so a multiple of them tells enough. Postgres would read all to find which
    are distinct.
    """
    wanted = task_tags.c.tag.in_([bindparam(f"tag_{place}") for place in range(count)])
    found = select(task_tags.c.task_id).where(_here(scope, task_tags), wanted)
    if count > 1:
        some = found.limit(bindparam("at_most") * count).subquery()
        found = select(some.c.task_id).distinct()
    return prepared(found.limit(bindparam("at_most")), plan_each_time=True)


@kept_by_shape
def chosen(scope: Scope, name: str, count: int) -> Select[Any]:
    """Up to `at_most` tasks with any of `count` values, or those that are `blocked`."""
    values: list[ColumnElement[Any]] = [bindparam(f"{name}_{place}") for place in range(count)]
    is_so = tasks.c.blocked_at.is_not(None) if name == "blocked" else tasks.c[name].in_(values)
    found = select(tasks.c.id).where(_here(scope), is_so)
    return prepared(found.limit(bindparam("at_most")), plan_each_time=True)
