"""Planning lists, which helps the databases to find a few tasks among very many.

There are two ways to read a list. Tasks that an index of the filter finds must be sorted. Walking the list in
its order needs no sorting, but passes tasks that the filter refuses. The number of matching tasks decides
which is faster. So a text, a tag or a range is first looked up, up to a limit. If there are more matches,
walking soon fills a page. If the matches lie far down the list, an index of periods says where to begin, and in a
project the days on which its tasks were made.

Postgres chooses by itself, unless the list has ranges: see `Plan.way`. But it can't know that a text which is frequent
with everybody is rare with one owner. So the newest tasks tell how frequent a text is. A plan never changes which tasks
a list has: the list's own conditions are always checked.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from sqlalchemy.orm import Session

from models import STATUSES
from schemas.tasks import TaskFilters
from services.lists import lookups, project_days, search_index, times_in_order
from services.lists.lookups import RANGES, TEXTS
from services.query.shapes import Place
from storage.column_types import PERIOD, moment
from storage.direct_session import is_sqlite
from storage.folding import fold, pattern

# Reading all titles of an owner with fewer tasks is faster than the index of trigrams.
MANY_TASKS = 3000
# The most tasks that are sorted, by what they have been found for.
FEW_FOUND = 600  # a text, among an owner's tasks
FEW_OF_ALL = 2000  # a text, among everybody's tasks
FEW_SCANNED = 200  # a text that takes reading all titles
FEW_TAGGED = 500  # a tag
FEW_IN_RANGE = 1000  # a range
FEW_CHOSEN = 500  # a label, a state or a block
# The number of matches among the newest tasks that promises to fill a page soon.
FREQUENT = 2
_PERIOD = PERIOD // timedelta(microseconds=1)
# The parameters that say how a list is read, not which tasks are in it.
HOW_IT_IS_READ = frozenset({"limit", "skip", "cursor", "sort_by", "sort_order", "total", "tz"})


class Plan(NamedTuple):
    """A way to read a list."""

    # The list has no other tasks than these; None if that is not known.
    task_ids: list[int] | None = None
    # The filters whose indexes must not be used: the list is walked in its order.
    without_index: tuple[str, ...] = ()
    # The place in its order where the list can begin: one of `statements.BOUNDS`.
    bounds: Mapping[str, Any] = MappingProxyType({})
    # How Postgres must read a list with ranges: it sorts all tasks in one of them, or reads the list along its order.
    way: Literal["sorted", "along"] | None = None


def plan(db: Session, place: Place, filters: TaskFilters, *, asks_more: bool = False) -> Plan:
    """Plan the reading of a list; `asks_more` if it has a further condition than the filters."""
    texts = {name: fold(text) for name in TEXTS if (text := getattr(filters, name, None))}
    ranges: dict[str, datetime] = {
        name: getattr(filters, name)
        for name in RANGES
        if getattr(filters, name) is not None and place.scope != "all"
    }
    few = _few_chosen(db, place, filters, asks_more=asks_more)
    if few is not None:
        return Plan(few)
    without_index: tuple[str, ...] = ()
    if texts:
        found = (_by_text_on_sqlite if is_sqlite(db) else _by_text_on_postgres)(db, place, texts)
        if found.task_ids is not None:
            return found
        without_index = found.without_index
    # A list by creation with one tag needs no plan: the tasks of a tag are stored in that order.
    if filters.tag and not (len(filters.tag) == 1 and filters.sort_by == "created_at"):
        asked = {f"tag_{number}": tag for number, tag in enumerate(filters.tag)}
        few = _few(db, place, lookups.tagged(place.scope, len(filters.tag)), FEW_TAGGED, asked)
        if few is not None:
            return Plan(few, without_index)
        without_index += ("tag",)
    # Postgres counts the tasks in a project's ranges as fast as all of its tasks.
    if _is_told(db, place, filters, ranges, asks_more=asks_more) and (
        (place.scope == "project" and not is_sqlite(db)) or has_many(db, place)
    ):
        return _along_order(db, place, filters, ranges, without_index)
    return Plan(None, without_index)


def _is_told(
    db: Session, place: Place, filters: TaskFilters, ranges: Mapping[str, datetime], *, asks_more: bool
) -> bool:
    """Whether the database is told how to read a list with ranges, if there are many tasks.

    Left to choose, Postgres would go through half of a large project, or through everybody's tasks in an order by
    `due_at` or `id`. It does choose if the list has other filters than ranges.
    """
    has_others = any(RANGES[name][0].key != filters.sort_by for name in ranges)
    if is_sqlite(db):
        return has_others
    asked = {name for name in filters.model_fields_set if getattr(filters, name) not in (None, [])}
    if place.scope == "project":
        asked.discard("project_id")
    if asks_more or not ranges or asked - HOW_IT_IS_READ - set(RANGES):
        return False
    return filters.sort_by in ("due_at", "id") or (
        has_others and place.scope == "project" and filters.sort_by != "title"
    )


def _along_order(
    db: Session,
    place: Place,
    filters: TaskFilters,
    ranges: Mapping[str, datetime],
    without_index: tuple[str, ...],
) -> Plan:
    """Plan the reading of a list with ranges: which ones have too many tasks to sort, and its bounds."""
    at_most = FEW_IN_RANGE + 1
    # Postgres doesn't stop at the end of a range, but goes on to the last task of the owner or the project.
    counted = {
        name: bound
        for name, bound in ranges.items()
        if RANGES[name][0].key != filters.sort_by or not is_sqlite(db)
    }
    wide = {
        name: bound
        for name, bound in counted.items()
        if count_in_range(db, place, name, {name: bound, "at_most": at_most}) == at_most
    }
    if not is_sqlite(db):
        if len(wide) < len(counted):
            return Plan(way="sorted")
        known = project_days.bounds(db, place, ranges, filters)
        return Plan([]) if known is None else Plan(bounds=known.values, way="along")
    without_index += tuple(wide)
    if place.scope != "project":
        bounds = _creation_bounds(db, place, wide, filters) or times_in_order.bounds(db, place, wide, filters)
        return Plan(None, without_index, bounds)
    if len(wide) < len(counted):
        # The tasks of a range with few are sorted.
        return Plan(None, without_index)
    known = project_days.bounds(db, place, ranges, filters)
    if known is None:
        return Plan([])
    return Plan(None, (*without_index, *known.without_index), known.values)


def _few(db: Session, place: Place, statement: Any, most: int, asked: Mapping[str, Any]) -> list[int] | None:
    """The ids that a statement finds, if these are few."""
    found = db.execute(statement, {**place._asdict(), **asked, "at_most": most + 1}).scalars().all()
    return list(found) if len(found) <= most else None


def has_many(db: Session, place: Place) -> bool:
    """Whether there are enough tasks for the way of reading them to matter."""
    asked = {**place._asdict(), "many": MANY_TASKS}
    return bool(db.execute(lookups.total(place.scope), asked).scalar_one() >= MANY_TASKS)


def count_in_range(db: Session, place: Place, name: str, asked: Mapping[str, Any]) -> int:
    """The number of tasks in a range, up to `at_most`; `asked` has this number and the bound."""
    statement = lookups.in_range(place.scope, name)
    number: int = db.execute(statement, {**place._asdict(), **asked}).scalar_one()
    return number


def known_total(db: Session, place: Place, filters: TaskFilters) -> int | None:
    """The number of tasks in a list, if the counts know it: outside of projects, without filters or by status."""
    asked = {name for name in filters.model_fields_set if getattr(filters, name) is not None}
    if place.scope == "project" or asked - HOW_IT_IS_READ - {"status"}:
        return None
    statement = lookups.total(place.scope, tuple(sorted(filters.status)))
    return int(db.execute(statement, place._asdict()).scalar_one())


def has_no_value(filters: TaskFilters) -> bool:
    """Whether no task of a list can have a value in the column of its order: open tasks are not completed."""
    are_open = filters.blocked or ("completed" not in filters.status and len(filters.status) > 0)
    return filters.sort_by == "completed_at" and bool(are_open)


def _few_chosen(db: Session, place: Place, filters: TaskFilters, *, asks_more: bool) -> list[int] | None:
    """The tasks of an owner or a project that are blocked, or have a label, a state or a status, if they are few.

    Their indexes have them in the order of creation only. If the list has a further condition, SQLite may take
    another index.
    """
    wanted: dict[str, Sequence[Any]] = {}
    if is_sqlite(db) and filters.blocked and place.scope != "all":
        wanted["blocked"] = [True]
    if place.scope == "project":
        wanted |= {"state": filters.state, "status": filters.status}
    elif is_sqlite(db) and place.scope == "owner":
        wanted["project"] = filters.project
        # Only tasks in projects have other states than statuses.
        wanted["state"] = [] if set(STATUSES).intersection(filters.state) else filters.state
    for name, values in wanted.items():
        if values and (asks_more or filters.sort_by != "created_at" or len(values) > 1):
            asked = {f"{name}_{number}": value for number, value in enumerate(values)}
            few = _few(db, place, lookups.chosen(place.scope, name, len(values)), FEW_CHOSEN, asked)
            if few is not None:
                return few
    return None


# -- texts -----------------------------------------------------------------------------------------


def _by_text_on_sqlite(db: Session, place: Place, texts: Mapping[str, str]) -> Plan:
    needle = max(texts.values(), key=len)
    if len(needle) >= search_index.SHORTEST and has_many(db, place):
        few = FEW_OF_ALL if place.scope == "all" else FEW_FOUND
        found = search_index.find(db, place, needle, few)
        if found is not None:
            return Plan(found if len(found) <= few else None)
    return Plan() if place.scope == "all" else Plan(_scanned(db, place, needle))


def _by_text_on_postgres(db: Session, place: Place, texts: Mapping[str, str]) -> Plan:
    needle, without_index = max(texts.values(), key=len), tuple(texts)
    # Postgres would read its whole index of trigrams for a text that is shorter than a trigram.
    short = tuple(name for name in without_index if len(texts[name]) < search_index.TRIGRAM)
    if place.scope == "all":
        return Plan(without_index=short)
    # The index for these has only tasks in projects, so that private ones cost nothing.
    is_pair = place.scope == "project" and _is_pair(needle)
    if len(needle) < search_index.TRIGRAM and not is_pair:
        if not has_many(db, place):
            return Plan(without_index=short)
        return Plan(_scanned(db, place, needle), without_index)
    asked = {**place._asdict(), "needle": needle, "many": MANY_TASKS}
    newest = db.execute(lookups.among_newest(place.scope), asked).scalar_one()
    if newest is None or newest >= FREQUENT:
        # There are few tasks in any case, or the text is so frequent that the planner walks the list.
        return Plan(without_index=short)
    if is_pair:
        with_pair = lookups.with_pair(of_ascii=needle.isascii())
        few = _few(db, place, with_pair, FEW_FOUND, {"needle": needle})
    else:
        few = _few(db, place, lookups.matching(place.scope), FEW_FOUND, {"pattern": pattern(needle)})
    return Plan(without_index=short) if few is None else Plan(few, without_index)


def _is_pair(needle: str) -> bool:
    """Whether Postgres finds a short text by other indexes of a project: see `lookups.with_pair`."""
    is_short = len(needle) < search_index.TRIGRAM
    return is_short and (not needle.isascii() or (len(needle) == search_index.SHORTEST and needle.isalnum()))


def _scanned(db: Session, place: Place, needle: str) -> list[int] | None:
    """The tasks with a text that is too short for the index, or not indexed yet, if they are very few."""
    statement = lookups.containing(place.scope, on_sqlite=is_sqlite(db))
    return _few(db, place, statement, FEW_SCANNED, {"needle": needle})


# -- bounds ----------------------------------------------------------------------------------------


def priority_bounds(filters: TaskFilters) -> dict[str, Any]:
    """The bounds of a list in the order of priorities, if it has several: the databases find these one by one."""
    if filters.sort_by != "priority" or len(filters.priority) < 2:
        return {}
    return {"least_priority": min(filters.priority), "most_priority": max(filters.priority)}


def _creation_bounds(
    db: Session, place: Place, ranges: Mapping[str, datetime], filters: TaskFilters
) -> dict[str, datetime]:
    """The bound on the creation of all tasks in these ranges, for an owner's list in the order of creation.

    The first task of the list lies in each of the periods or behind.
    """
    if filters.sort_by != "created_at" or filters.tag:
        # The list of a tag is read along the tag, which needs no bounds.
        return {}
    descending = filters.sort_order == "desc"
    found = [
        db.execute(
            lookups.first_period(name, descending=descending),
            {**place._asdict(), name: bound},
        ).scalar_one()
        for name, bound in ranges.items()
        # There is no index of periods with `updated_at`: most times of changes lie close to one another.
        if RANGES[name][0].key != "updated_at"
    ]
    periods = [period for period in found if period is not None]
    if not periods:
        return {}
    # The bound is one period too far, because the databases round periods before 1970 differently.
    try:
        if descending:
            return {"made_before": moment((min(periods) + 1) * _PERIOD)}
        return {"made_after": moment((max(periods) - 1) * _PERIOD)}
    except OverflowError:
        return {}
