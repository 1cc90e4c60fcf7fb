"""How the databases are helped to find a few tasks among very many.

On SQLite a text is looked up in an index of trigrams, a range of times in the index of its column. Both are
tried first, up to a limit: where they find more than that, going through the list in its order soon has a
page full. Postgres has indexes for both and plans by itself, but it can't know that what is frequent with
everybody is rare with one: so the owner's newest tasks say how frequent a text is. Whichever way, the list's
own conditions decide what is in it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, String, bindparam, func, select, text
from sqlalchemy.orm import Session

from models import owner_counts, system_counts, tasks
from schemas.tasks import TaskFilters
from statements import prepared
from text import fold, pattern

# Below this an owner's titles are gone through faster than the index of trigrams is asked.
MANY_TASKS = 3000
TRIGRAM = 3
FEW_FOUND = 5000
FEW_SCANNED = 200
FEW_IN_RANGE = 1000
# Of an owner's newest tasks so many say how frequent a text is, and so many with it that a page is soon full.
NEWEST = 1000
FREQUENT = 10
# How many titles are indexed in one transaction, and for how many the index is touched at all.
ROUND = 5000
WORTHWHILE = 500

# The filters that look for a text in the title.
TEXTS = ("title_contains", "query")
RANGE_COLUMNS = {
    "due_after": "due_at",
    "due_before": "due_at",
    "completed_after": "completed_at",
    "completed_before": "completed_at",
}


class Plan(NamedTuple):
    """How a list is to be read: among these tasks only, or without the indexes that these filters suggest."""

    task_ids: list[int] | None = None
    walks: tuple[str, ...] = ()


def _total(counts: Any) -> ColumnElement[int]:
    return func.coalesce(func.sum(counts.c.pending + counts.c.in_progress + counts.c.completed), 0)


_OWNER_TOTAL = select(_total(owner_counts)).where(owner_counts.c.user_id == bindparam("owner_id"))
_SYSTEM_TOTAL = select(_total(system_counts))
_NEW = text("SELECT task_id FROM task_search_pending LIMIT :limit")
_MATCHING = text("SELECT rowid FROM task_search WHERE task_search MATCH :trigrams LIMIT :limit")
_CONTAINING = (
    select(tasks.c.id)
    .where(
        tasks.c.user_id == bindparam("owner_id"), func.instr(tasks.c.title_folded, bindparam("needle")) > 0
    )
    .limit(bindparam("limit"))
)


# On Postgres each is planned by its values: an owner may have a hundred times as many tasks as most.
_CONTAINING_ON_POSTGRES = prepared(
    select(tasks.c.id)
    .where(
        tasks.c.user_id == bindparam("owner_id"),
        func.strpos(tasks.c.title_folded, bindparam("needle", type_=String())) > 0,
    )
    .limit(bindparam("limit")),
    plan_anew=True,
)
_newest = (
    select(tasks.c.title_folded)
    .where(tasks.c.user_id == bindparam("owner_id"))
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    .limit(NEWEST)
    .subquery()
)
_AMONG_NEWEST = prepared(
    select(func.count()).where(func.strpos(_newest.c.title_folded, bindparam("needle", type_=String())) > 0),
    plan_anew=True,
)
# All of them, so that no limit makes the planner hope for a few at the beginning.
_MATCHING_ON_POSTGRES = prepared(
    select(tasks.c.id).where(
        tasks.c.user_id == bindparam("owner_id"),
        tasks.c.title_folded.like(bindparam("pattern"), escape="\\"),
    ),
    plan_anew=True,
)


def _in_range(name: str, column: str) -> Executable:
    bound = bindparam(name, type_=tasks.c[column].type)
    condition = tasks.c[column] >= bound if name.endswith("after") else tasks.c[column] < bound
    some = (
        select(tasks.c.id).where(tasks.c.user_id == bindparam("owner_id"), condition).limit(FEW_IN_RANGE + 1)
    )
    return select(func.count()).select_from(some.subquery())


_IN_RANGE = {name: _in_range(name, column) for name, column in RANGE_COLUMNS.items()}


def plan(db: Session, owner_id: int | None, filters: TaskFilters) -> Plan:
    """How to read this list of an owner's tasks, or of everybody's."""
    texts = {name: fold(getattr(filters, name, None) or "") for name in TEXTS}
    needles = [needle for needle in texts.values() if needle]
    ranges = {
        name: getattr(filters, name)
        for name, column in RANGE_COLUMNS.items()
        if getattr(filters, name) is not None and column != filters.sort_by and owner_id is not None
    }
    if not (needles or ranges):
        return Plan()
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    # Postgres would go through its whole index of trigrams for a text that has none.
    short = tuple(name for name, needle in texts.items() if 0 < len(needle) < TRIGRAM)
    if not is_sqlite and (owner_id is None or not needles):
        return Plan(walks=short)
    total = _SYSTEM_TOTAL if owner_id is None else _OWNER_TOTAL
    many = db.execute(total, {"owner_id": owner_id}).scalar_one() >= MANY_TASKS
    if not is_sqlite:
        return _plan_on_postgres(db, owner_id, texts) if many else Plan(walks=short)
    found = _containing(db, owner_id, max(needles, key=len), indexed=many) if needles else None
    if found is not None:
        return Plan(found)
    return Plan(walks=_wide(db, owner_id, ranges) if many else ())


def _plan_on_postgres(db: Session, owner_id: int | None, texts: Mapping[str, str]) -> Plan:
    needle, walks = max(texts.values(), key=len), tuple(name for name, each in texts.items() if each)
    short = tuple(name for name in walks if len(texts[name]) < TRIGRAM)
    if len(needle) < TRIGRAM:
        scanned = {"owner_id": owner_id, "needle": needle, "limit": FEW_SCANNED + 1}
        contained = db.execute(_CONTAINING_ON_POSTGRES, scanned).scalars().all()
        return Plan(list(contained) if len(contained) <= FEW_SCANNED else None, walks)
    asked = {"owner_id": owner_id, "needle": needle}
    if db.execute(_AMONG_NEWEST, asked).scalar_one() >= FREQUENT:
        # By the text's own frequency the planner goes through the list.
        return Plan(walks=short)
    found = (
        db.execute(_MATCHING_ON_POSTGRES, {"owner_id": owner_id, "pattern": pattern(needle)}).scalars().all()
    )
    return Plan(list(found), walks) if len(found) <= FEW_FOUND else Plan(walks=short)


def _containing(db: Session, owner_id: int | None, needle: str, *, indexed: bool) -> list[int] | None:
    """The tasks that may contain the text, if they are few: all that do are among them."""
    if indexed and len(needle) >= TRIGRAM:
        new = db.execute(_NEW, {"limit": FEW_FOUND + 1}).scalars().all()
        trigrams = {
            needle[place : place + TRIGRAM].replace('"', '""') for place in range(len(needle) - TRIGRAM + 1)
        }
        match = " AND ".join(f'"{trigram}"' for trigram in sorted(trigrams))
        found = db.execute(_MATCHING, {"trigrams": match, "limit": FEW_FOUND + 1}).scalars().all()
        if len(new) + len(found) <= FEW_FOUND:
            return sorted({*new, *found})
    if owner_id is None:
        return None
    # Too short for a trigram, or frequent with others: the owner's titles alone are read, not the tasks.
    scanned = {"owner_id": owner_id, "needle": needle, "limit": FEW_SCANNED + 1}
    contained = db.execute(_CONTAINING, scanned).scalars().all()
    return list(contained) if len(contained) <= FEW_SCANNED else None


def _wide(db: Session, owner_id: int | None, ranges: Mapping[str, Any]) -> tuple[str, ...]:
    """The ranges that hold so many tasks that sorting them would take longer than going through the list."""
    counted = {
        name: db.execute(_IN_RANGE[name], {"owner_id": owner_id, name: bound}).scalar_one()
        for name, bound in ranges.items()
    }
    return tuple(name for name, count in counted.items() if count > FEW_IN_RANGE)


# -- keeping the index ------------------------------------------------------------------------------

_PENDING = text("SELECT count(*) FROM (SELECT 1 FROM task_search_pending LIMIT :limit)")
_LAST = text(
    "SELECT max(task_id) FROM (SELECT task_id FROM task_search_pending ORDER BY task_id LIMIT :round)"
)
_INDEX = (
    text(
        "INSERT INTO task_search (task_search, rowid, title) SELECT 'delete', task_id, indexed"
        " FROM task_search_pending WHERE task_id <= :last AND indexed IS NOT NULL"
    ),
    text(
        "INSERT INTO task_search (rowid, title) SELECT tasks.id, tasks.title_folded"
        " FROM task_search_pending JOIN tasks ON tasks.id = task_search_pending.task_id"
        " WHERE task_search_pending.task_id <= :last"
    ),
    text("DELETE FROM task_search_pending WHERE task_id <= :last"),
)


def waits(db: Session) -> bool:
    """Whether there are enough new titles to bring the index up to date."""
    if db.get_bind().dialect.name != "sqlite":
        return False
    waiting: int = db.execute(_PENDING, {"limit": WORTHWHILE}).scalar_one()
    return waiting >= WORTHWHILE


def index_titles(db: Session) -> None:
    """Bring the index up to date with the titles that have waited longest."""
    last = db.execute(_LAST, {"round": ROUND}).scalar_one()
    if last is not None:
        for statement in _INDEX:
            db.execute(statement, {"last": last})
