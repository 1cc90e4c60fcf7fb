"""Planning lists of a project's tasks: see `list_plan`.

No trigger counts the tasks of a project. To learn whether a project has many tasks, they are counted up to
the number that matters.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, exists, func, select
from sqlalchemy.orm import Session

from models import task_tags, tasks
from schemas.tasks import TaskFilters
from services.tasks import search_index, times_in_order
from services.tasks.list_plan import (
    FEW_FOUND,
    FEW_IN_RANGE,
    FEW_SCANNED,
    FEW_TAGGED,
    FREQUENT,
    MANY_TASKS,
    NEWEST,
    RANGE_COLUMNS,
    TEXTS,
    Plan,
    creation_bounds,
    within,
)
from storage.column_types import Period
from storage.folding import fold, pattern
from storage.prepared import prepared

# The most tasks of a state that are sorted.
FEW_IN_STATE = 500

_HERE = tasks.c.project_id == bindparam("project_id")
_needle = bindparam("needle", type_=String())
_some = select(tasks.c.id).where(_HERE).limit(MANY_TASKS).subquery()
_SOME = prepared(select(func.count()).select_from(_some))


def _containing(position: Any) -> Select[Any]:
    found = position(tasks.c.title_folded, _needle) > 0
    return select(tasks.c.id).where(_HERE, found).limit(FEW_SCANNED + 1)


_CONTAINING = {
    True: prepared(_containing(func.instr)),
    False: prepared(_containing(func.strpos), plan_anew=True),
}
_newest = (
    select(tasks.c.title_folded)
    .where(_HERE)
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    .limit(NEWEST)
    .subquery()
)
_AMONG_NEWEST = prepared(
    select(func.count()).select_from(_newest).where(func.strpos(_newest.c.title_folded, _needle) > 0),
    plan_anew=True,
)
_matching = (
    select(tasks.c.id)
    .where(_HERE, tasks.c.title_folded.like(bindparam("pattern"), escape="\\"))
    .cte("matching")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_MATCHING = prepared(select(_matching.c.id).limit(FEW_FOUND + 1), plan_anew=True)


@cache
def in_range(name: str) -> Select[Any]:
    """The number of a project's tasks in a range, up to `at_most`."""
    some = select(tasks.c.id).where(_HERE, within(name)).limit(bindparam("at_most"))
    return prepared(select(func.count()).select_from(some.subquery()))


@cache
def _first_period(name: str, *, descending: bool) -> Select[Any]:
    """The newest (or oldest) period of creation with a task within the range: see `list_plan`."""
    period = Period(tasks.c.created_at)
    here = (_HERE, tasks.c[RANGE_COLUMNS[name]].is_not(None))
    furthest, last = (func.max, func.min) if descending else (func.min, func.max)
    periods = select(select(furthest(period)).where(*here).scalar_subquery().label("period")).cte(
        "periods", recursive=True
    )
    beyond = period < periods.c.period if descending else period > periods.c.period
    following = select(furthest(period)).where(*here, beyond).correlate(periods).scalar_subquery()
    has_one = exists().where(*here, period == periods.c.period, within(name)).correlate(periods)
    following_rows = select(following).where(periods.c.period.is_not(None), ~has_one)
    return prepared(select(last(periods.union_all(following_rows).c.period)))


@cache
def _tagged(count: int) -> Select[Any]:
    tags: list[ColumnElement[Any]] = [bindparam(f"tag_{place}") for place in range(count)]
    tagged = select(task_tags.c.task_id).where(
        task_tags.c.project_id == bindparam("project_id"), task_tags.c.tag.in_(tags)
    )
    return prepared(tagged.distinct().limit(FEW_TAGGED + 1), plan_anew=True)


@cache
def _in(column: str, count: int) -> Select[Any]:
    """The tasks in `count` states or statuses, or those that are blocked, up to `at_most`."""
    wanted: list[ColumnElement[Any]] = [bindparam(f"{column}_{place}") for place in range(count)]
    is_so = tasks.c.blocked_at.is_not(None) if column == "blocked" else tasks.c[column].in_(wanted)
    found = select(tasks.c.id).where(_HERE, is_so).limit(bindparam("at_most"))
    return prepared(found, plan_anew=True)


def _few_in_state(db: Session, filters: TaskFilters, *, asks_more: bool, is_sqlite: bool) -> list[int] | None:
    """The tasks in the wanted states or statuses, or those that are blocked, if they are few.

    The index has them in the order of creation only. If the list has a further condition, SQLite may take
    another index.
    """
    blocked = [True] if filters.blocked and is_sqlite else []
    for column, wanted in (("blocked", blocked), ("state", filters.state), ("status", filters.status)):
        if wanted and (asks_more or filters.sort_by != "created_at" or len(wanted) > 1):
            asked: dict[str, Any] = {f"{column}_{place}": value for place, value in enumerate(wanted)}
            statement = _in(column, len(wanted))
            asked |= {"project_id": filters.project_id, "at_most": FEW_IN_STATE + 1}
            found = db.execute(statement, asked).scalars().all()
            if len(found) <= FEW_IN_STATE:
                return list(found)
    return None


def plan(db: Session, filters: TaskFilters, *, asks_more: bool = False) -> Plan:
    """Plan the reading of a list of a project's tasks; `asks_more` if the list has a further condition."""
    project_id = filters.project_id
    assert project_id is not None
    texts = {name: fold(getattr(filters, name, None) or "") for name in TEXTS}
    ranges = {
        name: getattr(filters, name)
        for name, column in RANGE_COLUMNS.items()
        if getattr(filters, name) is not None and column != filters.sort_by
    }
    tags = filters.tag if filters.sort_by != "created_at" or len(filters.tag) > 1 else []
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    few = _few_in_state(db, filters, asks_more=asks_more, is_sqlite=is_sqlite)
    if few is not None or not (any(texts.values()) or ranges or tags):
        return Plan(few)
    without_index: tuple[str, ...] = ()
    if any(texts.values()):
        found = _by_text(db, project_id, texts, is_sqlite=is_sqlite)
        if found.task_ids is not None:
            return found
        without_index = found.without_index
    if tags:
        asked = {"project_id": project_id, **{f"tag_{place}": tag for place, tag in enumerate(tags)}}
        tagged = db.execute(_tagged(len(tags)), asked).scalars().all()
        if len(tagged) <= FEW_TAGGED:
            return Plan(list(tagged), without_index)
        without_index += ("tag",)
    if not (is_sqlite and ranges and has_many(db, project_id)):
        return Plan(None, without_index)
    wide = tuple(
        name
        for name, bound in ranges.items()
        if db.execute(
            in_range(name), {"project_id": project_id, name: bound, "at_most": FEW_IN_RANGE + 1}
        ).scalar_one()
        > FEW_IN_RANGE
    )
    ranges = {name: ranges[name] for name in wide}
    bounds = _bounds(db, project_id, ranges, filters)
    bounds = bounds or times_in_order.bounds(db, "project", project_id, ranges, filters)
    return Plan(None, without_index + wide, bounds)


def _bounds(
    db: Session, project_id: int, ranges: Mapping[str, datetime], filters: TaskFilters
) -> dict[str, datetime]:
    if filters.sort_by != "created_at" or filters.tag:
        return {}
    descending = filters.sort_order == "desc"
    found = [
        db.execute(
            _first_period(name, descending=descending), {"project_id": project_id, name: bound}
        ).scalar_one()
        for name, bound in ranges.items()
        if RANGE_COLUMNS[name] != "updated_at"
    ]
    return creation_bounds([period for period in found if period is not None], descending=descending)


def has_many(db: Session, project_id: int) -> bool:
    return bool(db.execute(_SOME, {"project_id": project_id}).scalar_one() >= MANY_TASKS)


def _by_text(db: Session, project_id: int, texts: Mapping[str, str], *, is_sqlite: bool) -> Plan:
    needle, named = max(texts.values(), key=len), tuple(name for name, each in texts.items() if each)
    if not has_many(db, project_id):
        return Plan(
            without_index=() if is_sqlite else tuple(n for n in named if len(texts[n]) < search_index.TRIGRAM)
        )
    if is_sqlite:
        found = search_index.find(db, project_id, needle, FEW_FOUND, in_project=True)
        if found is not None:
            return Plan(found if len(found) <= FEW_FOUND else None)
        return Plan(_scanned(db, project_id, needle, is_sqlite=True))
    if len(needle) < search_index.TRIGRAM:
        return Plan(_scanned(db, project_id, needle, is_sqlite=False), named)
    short = tuple(name for name in named if len(texts[name]) < search_index.TRIGRAM)
    if db.execute(_AMONG_NEWEST, {"project_id": project_id, "needle": needle}).scalar_one() >= FREQUENT:
        # Walking the list soon fills a page.
        return Plan(without_index=short)
    asked = {"project_id": project_id, "pattern": pattern(needle)}
    found = list(db.execute(_MATCHING, asked).scalars().all())
    return Plan(found, named) if len(found) <= FEW_FOUND else Plan(without_index=short)


def _scanned(db: Session, project_id: int, needle: str, *, is_sqlite: bool) -> list[int] | None:
    asked = {"project_id": project_id, "needle": needle}
    found = db.execute(_CONTAINING[is_sqlite], asked).scalars().all()
    return list(found) if len(found) <= FEW_SCANNED else None
