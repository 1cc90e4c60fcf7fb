"""Planning lists, which helps the databases to find a few tasks among very many.

There are two ways to read a list. Tasks that an index of the filter finds must be sorted. Walking the list in
its order needs no sorting, but passes tasks that the filter refuses. The number of matching tasks decides
which is faster. So a text, a tag or a range is first looked up, up to a limit. If there are more matches,
walking soon fills a page. If the matches lie far down the list, an index of periods says where to begin.

Postgres chooses by itself. But it can't know that a text which is frequent with everybody is rare with one
owner. So the owner's newest tasks tell how frequent a text is. A plan never changes which tasks a list has:
the list's own conditions are always checked.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, bindparam, case, exists, func, select
from sqlalchemy.orm import Session

from models import STATUSES, task_tags, tasks
from schemas.tasks import TaskFilters
from services.tasks import search_index, times_in_order
from storage.column_types import PERIOD, Period, moment
from storage.folding import fold, pattern
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.counts import owner_counts, system_counts

# Reading all titles of an owner with fewer tasks is faster than the index of trigrams.
MANY_TASKS = 3000
# The most tasks that are sorted: an owner's with a text, everybody's with a text, those found only by reading
# all titles, those with a tag, those in a range, and those of a label or a state, or that are blocked.
FEW_FOUND = 600
FEW_OF_ALL = 2000
FEW_SCANNED = 200
FEW_TAGGED = 500
FEW_IN_RANGE = 1000
FEW_CHOSEN = 500
# The number of an owner's newest tasks that tell how frequent a text is, and the number of matches among them
# that promises to fill a page soon.
NEWEST = 200
FREQUENT = 2
_PERIOD = PERIOD // timedelta(microseconds=1)

# The filters that look for a text in the title.
TEXTS = ("title_contains", "query")
RANGE_COLUMNS = {
    "created_after": "created_at",
    "created_before": "created_at",
    "updated_after": "updated_at",
    "updated_before": "updated_at",
    "due_after": "due_at",
    "due_before": "due_at",
    "completed_after": "completed_at",
    "completed_before": "completed_at",
}


class Plan(NamedTuple):
    """A way to read a list."""

    # The list has no other tasks than these; None if that is not known.
    task_ids: list[int] | None = None
    # The filters whose indexes must not be used: the list is walked in its order.
    without_index: tuple[str, ...] = ()
    # The place in its order where the list can begin: one of `list_statements.BOUNDS`.
    bounds: Mapping[str, Any] = MappingProxyType({})


def _total(counts: Any, *statuses: str) -> ColumnElement[int]:
    """The number of tasks with one of the statuses; without statuses, of all tasks."""
    numbers = [counts.c[status] for status in statuses or STATUSES]
    return func.coalesce(func.sum(sum(numbers[1:], start=numbers[0])), 0)


_OWNER_TOTAL = prepared(select(_total(owner_counts)).where(owner_counts.c.user_id == bindparam("owner_id")))
_SYSTEM_TOTAL = prepared(select(_total(system_counts)))


def _containing(position: Any) -> Select[Any]:
    """An owner's tasks whose titles contain a text, found by reading all titles and no other column."""
    found = position(tasks.c.title_folded, bindparam("needle", type_=String())) > 0
    return select(tasks.c.id).where(tasks.c.user_id == bindparam("owner_id"), found).limit(bindparam("limit"))


_CONTAINING = prepared(_containing(func.instr))
# Postgres plans this for each set of values, because one owner may have a hundred times the tasks of another.
_CONTAINING_ON_POSTGRES = prepared(_containing(func.strpos), plan_anew=True)
_newest = (
    select(tasks.c.title_folded)
    .where(tasks.c.user_id == bindparam("owner_id"))
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    .limit(NEWEST)
    .subquery()
)
# NULL for an owner of few tasks.
_total_here = _OWNER_TOTAL.with_only_columns(_total(owner_counts).label("total")).subquery()
_AMONG_NEWEST = prepared(
    select(
        case(
            (
                _total_here.c.total >= bindparam("many"),
                select(func.count())
                .where(func.strpos(_newest.c.title_folded, bindparam("needle", type_=String())) > 0)
                .scalar_subquery(),
            )
        )
    ),
    plan_anew=True,
)
# The CTE is planned without the limit. With the limit the planner would expect to find matches soon while
# walking the list. Only as many rows as the limit says are read.
_matching = (
    select(tasks.c.id)
    .where(
        tasks.c.user_id == bindparam("owner_id"),
        tasks.c.title_folded.like(bindparam("pattern"), escape="\\"),
    )
    .cte("matching")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_MATCHING_ON_POSTGRES = prepared(select(_matching.c.id).limit(FEW_FOUND + 1), plan_anew=True)


def within(name: str) -> ColumnElement[bool]:
    """The condition of a range filter."""
    column = tasks.c[RANGE_COLUMNS[name]]
    bound = bindparam(name, type_=column.type)
    return column >= bound if name.endswith("after") else column < bound


@cache
def in_range(name: str) -> Select[Any]:
    """The number of an owner's tasks in a range, up to `at_most`."""
    mine = tasks.c.user_id == bindparam("owner_id")
    some = select(tasks.c.id).where(mine, within(name)).limit(bindparam("at_most"))
    return prepared(select(func.count()).select_from(some.subquery()))


def _first_period(name: str, *, descending: bool) -> Select[Any]:
    """The newest (or oldest) period of creation in which an owner has a task within the range.

    The statement goes from one period to the next until a period has such a task; an index answers for each.
    If no period has any, the result is the last period.
    """
    period = Period(tasks.c.created_at)
    mine = (tasks.c.user_id == bindparam("owner_id"), tasks.c[RANGE_COLUMNS[name]].is_not(None))
    furthest, last = (func.max, func.min) if descending else (func.min, func.max)
    periods = select(select(furthest(period)).where(*mine).scalar_subquery().label("period")).cte(
        "periods", recursive=True
    )
    beyond = period < periods.c.period if descending else period > periods.c.period
    following = select(furthest(period)).where(*mine, beyond).correlate(periods).scalar_subquery()
    has_one = exists().where(mine[0], period == periods.c.period, within(name)).correlate(periods)
    following_rows = select(following).where(periods.c.period.is_not(None), ~has_one)
    return prepared(select(last(periods.union_all(following_rows).c.period)))


_FIRST_PERIOD = {
    (name, descending): _first_period(name, descending=descending)
    for name, column in RANGE_COLUMNS.items()
    # There is no such index of `updated_at`, because most times of changes lie close to one another.
    if column != "updated_at"
    for descending in (True, False)
}


@kept_by_shape
def _tagged(count: int, *, owned: bool) -> Select[Any]:
    """The tasks with any of `count` tags; at most one more than `FEW_TAGGED`, which shows that they are not few."""
    wanted: list[ColumnElement[bool]] = [
        task_tags.c.tag.in_([bindparam(f"tag_{place}") for place in range(count)])
    ]
    if owned:
        wanted.append(task_tags.c.user_id == bindparam("owner_id"))
    statement = select(task_tags.c.task_id).where(*wanted).limit(FEW_TAGGED + 1)
    return prepared(statement if count == 1 else statement.distinct(), plan_anew=True)


@cache
def _chosen(name: str, count: int) -> Select[Any]:
    """An owner's tasks with any of `count` values, or those that are blocked, up to `at_most`."""
    values: list[ColumnElement[Any]] = [bindparam(f"{name}_{place}") for place in range(count)]
    is_so = tasks.c.blocked_at.is_not(None) if name == "blocked" else tasks.c[name].in_(values)
    found = select(tasks.c.id).where(tasks.c.user_id == bindparam("owner_id"), is_so)
    return prepared(found.limit(bindparam("at_most")))


@kept_by_shape
def _counted(statuses: tuple[str, ...], *, owned: bool) -> Select[Any]:
    if owned:
        total = select(_total(owner_counts, *statuses))
        return prepared(total.where(owner_counts.c.user_id == bindparam("owner_id")))
    return prepared(select(_total(system_counts, *statuses)))


# Fields that don't restrict a list, and the status, whose counts are known.
_NO_FILTERS = frozenset({"limit", "skip", "cursor", "sort_by", "sort_order", "total", "tz", "status"})


def known_total(db: Session, owner_id: int | None, filters: TaskFilters) -> int | None:
    """The number of tasks in a list, if the counts know it: without filters, or by status alone."""
    if {name for name in filters.model_fields_set if getattr(filters, name) is not None} - _NO_FILTERS:
        return None
    statement = _counted(tuple(sorted(filters.status)), owned=owner_id is not None)
    total: int = db.execute(statement, {"owner_id": owner_id}).scalar_one()
    return int(total)


def has_no_value(filters: TaskFilters) -> bool:
    """Whether no task of a list can have a value in the column of its order: open tasks are not completed."""
    are_open = filters.blocked or ("completed" not in filters.status and len(filters.status) > 0)
    return filters.sort_by == "completed_at" and bool(are_open)


def _few_chosen(db: Session, owner_id: int, filters: TaskFilters, *, asks_more: bool) -> list[int] | None:
    """An owner's blocked tasks, or those of labels or of states of projects, if they are few.

    Their indexes have them in the order of creation only. If the list has a further condition, SQLite may take
    another index.
    """
    wanted: dict[str, Sequence[Any]] = {
        "blocked": [True] if filters.blocked else [],
        "project": filters.project,
    }
    # Only tasks in projects have other states than statuses.
    wanted["state"] = [] if set(STATUSES).intersection(filters.state) else filters.state
    for name, values in wanted.items():
        if values and (asks_more or filters.sort_by != "created_at" or len(values) > 1):
            asked: dict[str, Any] = {f"{name}_{place}": value for place, value in enumerate(values)}
            asked |= {"owner_id": owner_id, "at_most": FEW_CHOSEN + 1}
            found = db.execute(_chosen(name, len(values)), asked).scalars().all()
            if len(found) <= FEW_CHOSEN:
                return list(found)
    return None


def plan(db: Session, owner_id: int | None, filters: TaskFilters, *, asks_more: bool = False) -> Plan:
    """Plan the reading of a list of an owner's tasks, or of everybody's; `asks_more` if it has a further condition."""
    texts = {name: fold(getattr(filters, name, None) or "") for name in TEXTS}
    ranges = {
        name: getattr(filters, name)
        for name, column in RANGE_COLUMNS.items()
        if getattr(filters, name) is not None and column != filters.sort_by and owner_id is not None
    }
    # A list by creation with one tag needs no plan: the tasks of a tag are stored in that order.
    tags = filters.tag if filters.sort_by != "created_at" or len(filters.tag) > 1 else []
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    if is_sqlite and owner_id is not None:
        few = _few_chosen(db, owner_id, filters, asks_more=asks_more)
        if few is not None:
            return Plan(few)
    if not (any(texts.values()) or ranges or tags):
        return Plan()
    without_index: tuple[str, ...] = ()
    if any(texts.values()):
        by_text = _on_sqlite if is_sqlite else _on_postgres
        found = by_text(db, owner_id, texts)
        if found.task_ids is not None:
            return found
        without_index = found.without_index
    if tags:
        asked = {"owner_id": owner_id, **{f"tag_{place}": tag for place, tag in enumerate(tags)}}
        tagged = db.execute(_tagged(len(tags), owned=owner_id is not None), asked).scalars().all()
        if len(tagged) <= FEW_TAGGED:
            return Plan(list(tagged), without_index)
        without_index += ("tag",)
    if not (is_sqlite and ranges and has_many(db, owner_id)):
        # On Postgres the index of an order tells which tasks are in the ranges.
        return Plan(None, without_index)
    wide = _wide(db, owner_id, ranges)
    ranges = {name: ranges[name] for name in wide}
    assert owner_id is not None
    bounds = _bounds(db, owner_id, ranges, filters)
    bounds = bounds or times_in_order.bounds(db, "owner", owner_id, ranges, filters)
    return Plan(None, without_index + wide, bounds)


def has_many(db: Session, owner_id: int | None) -> bool:
    """Whether there are so many tasks that the way of reading them matters."""
    total = _SYSTEM_TOTAL if owner_id is None else _OWNER_TOTAL
    return bool(db.execute(total, {"owner_id": owner_id}).scalar_one() >= MANY_TASKS)


def _on_sqlite(db: Session, owner_id: int | None, texts: Mapping[str, str]) -> Plan:
    needle = max(texts.values(), key=len)
    if len(needle) >= search_index.SHORTEST and has_many(db, owner_id):
        few = FEW_OF_ALL if owner_id is None else FEW_FOUND
        found = search_index.find(db, owner_id, needle, few)
        if found is not None:
            return Plan(found if len(found) <= few else None)
    return Plan() if owner_id is None else Plan(_scanned(db, _CONTAINING, owner_id, needle))


def _scanned(db: Session, containing: Any, owner_id: int, needle: str) -> list[int] | None:
    """The tasks with a text that is too short for the index, or not indexed yet, if they are very few."""
    asked = {"owner_id": owner_id, "needle": needle, "limit": FEW_SCANNED + 1}
    found = db.execute(containing, asked).scalars().all()
    return list(found) if len(found) <= FEW_SCANNED else None


def _on_postgres(db: Session, owner_id: int | None, texts: Mapping[str, str]) -> Plan:
    needle, without_index = max(texts.values(), key=len), tuple(name for name, each in texts.items() if each)
    # Postgres would read its whole index of trigrams for a text that is shorter than a trigram.
    short = tuple(name for name in without_index if len(texts[name]) < search_index.TRIGRAM)
    if owner_id is None:
        return Plan(without_index=short)
    if len(needle) < search_index.TRIGRAM:
        if not has_many(db, owner_id):
            return Plan(without_index=short)
        return Plan(_scanned(db, _CONTAINING_ON_POSTGRES, owner_id, needle), without_index)
    asked = {"owner_id": owner_id, "needle": needle, "many": MANY_TASKS}
    among_newest = db.execute(_AMONG_NEWEST, asked).scalar_one()
    if among_newest is None or among_newest >= FREQUENT:
        # The text is frequent enough for the planner to walk the list, or the owner has few tasks in any
        # case.
        return Plan(without_index=short)
    matching = {"owner_id": owner_id, "pattern": pattern(needle)}
    found = db.execute(_MATCHING_ON_POSTGRES, matching).scalars().all()
    return Plan(list(found), without_index) if len(found) <= FEW_FOUND else Plan(without_index=short)


def _wide(db: Session, owner_id: int | None, ranges: Mapping[str, Any]) -> tuple[str, ...]:
    """The ranges with so many tasks that sorting would take longer than walking the list."""
    counted = {
        name: db.execute(
            in_range(name), {"owner_id": owner_id, name: bound, "at_most": FEW_IN_RANGE + 1}
        ).scalar_one()
        for name, bound in ranges.items()
    }
    return tuple(name for name, count in counted.items() if count > FEW_IN_RANGE)


def _bounds(
    db: Session, owner_id: int | None, ranges: Mapping[str, datetime], filters: TaskFilters
) -> dict[str, datetime]:
    """The bound on the creation of all tasks in these ranges, for a list in the order of creation."""
    if filters.sort_by != "created_at" or filters.tag:
        # The list of a tag is read along the tag, which needs no bounds.
        return {}
    descending = filters.sort_order == "desc"
    found = [
        db.execute(_FIRST_PERIOD[name, descending], {"owner_id": owner_id, name: bound}).scalar_one()
        for name, bound in ranges.items()
        if (name, descending) in _FIRST_PERIOD
    ]
    return creation_bounds([period for period in found if period is not None], descending=descending)


def priority_bounds(filters: TaskFilters) -> dict[str, Any]:
    """The bounds of a list in the order of priorities, if it has several: the databases find these one by one."""
    if filters.sort_by != "priority" or len(filters.priority) < 2:
        return {}
    return {"least_priority": min(filters.priority), "most_priority": max(filters.priority)}


def creation_bounds(periods: Sequence[int], *, descending: bool) -> dict[str, datetime]:
    """The time of creation at which a list can begin: its first task lies in each of these periods or behind."""
    if not periods:
        return {}
    # The bound is one period too far, because the databases round periods before 1970 differently.
    try:
        if descending:
            return {"made_before": moment((min(periods) + 1) * _PERIOD)}
        return {"made_after": moment((max(periods) - 1) * _PERIOD)}
    except OverflowError:
        return {}
