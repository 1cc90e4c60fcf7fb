"""The known tags, states and names of projects: searches for a part of a name look for it here first.

The two databases fold letters differently, so Python compares them. An owner has few different tags,
states and projects, compared with the number of tasks.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, exists, func, select
from sqlalchemy.orm import Session

from models import STATUSES, task_tags, tasks
from services.query.shapes import Place, Scope
from storage.column_types import IsOneOf, ValueList
from storage.direct_session import is_sqlite
from storage.prepared import prepared
from tables.counts import project_counts
from tables.projects import project_states


def _each_once(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """The distinct values of a column, found from one to the next along its index."""
    first = select(func.min(column).label("value")).where(*conditions)
    each = first.cte("each", recursive=True)
    following = select(func.min(column)).where(*conditions, column > each.c.value).correlate(each)
    rows = select(following.scalar_subquery()).where(each.c.value.is_not(None))
    each = each.union_all(rows)
    return prepared(select(each.c.value).where(each.c.value.is_not(None)))


_OWN: Any = bindparam("owner_id")
_ITS: Any = bindparam("project_id")
# The fields whose values are looked up by an index of each scope.
_INDEXED: Mapping[tuple[str, Scope], tuple[ColumnElement[str], tuple[ColumnElement[bool], ...]]] = {
    ("tag", "owner"): (task_tags.c.tag, (task_tags.c.user_id == _OWN,)),
    ("tag", "project"): (task_tags.c.tag, (task_tags.c.project_id == _ITS,)),
    ("tag", "all"): (task_tags.c.tag, ()),
    ("project", "owner"): (tasks.c.project, (tasks.c.user_id == _OWN,)),
    # Private tasks have no state besides their status.
    ("state", "owner"): (tasks.c.state, (tasks.c.user_id == _OWN, tasks.c.state.is_not(None))),
    ("state", "project"): (tasks.c.state, (tasks.c.project_id == _ITS,)),
}
_TEXTS: dict[tuple[str, Scope], Select[Any]] = {
    **{key: _each_once(column, *conditions) for key, (column, conditions) in _INDEXED.items()},
    # All tasks of a project carry its name, so the first one is enough.
    ("project", "project"): prepared(select(tasks.c.project).where(tasks.c.project_id == _ITS).limit(1)),
    ("project", "all"): prepared(select(project_counts.c.project).distinct()),
    ("state", "project"): prepared(select(project_states.c.key).where(project_states.c.project_id == _ITS)),
    ("state", "all"): prepared(select(project_states.c.key).distinct()),
}


def _some_tagged(*conditions: ColumnElement[bool]) -> Select[Any]:
    tagged = select(task_tags.c.tag).where(
        IsOneOf(task_tags.c.tag, bindparam("tags", type_=ValueList(String()))), *conditions
    )
    some = tagged.limit(FEW_TAGGED + 1).subquery()
    return prepared(select(func.count()).select_from(some))


# The most tasks with a tag that are looked up one by one: more are found sooner by going through all tasks.
FEW_TAGGED = 2000
_SOME_TAGGED: dict[Scope, Select[Any]] = {
    "owner": _some_tagged(task_tags.c.user_id == _OWN),
    "project": _some_tagged(task_tags.c.project_id == _ITS),
    "all": _some_tagged(),
}


@cache
def _existing(name: str, scope: Scope, *, on_sqlite: bool) -> Select[Any]:
    column, conditions = _INDEXED[name, scope]
    named = (func.json_each if on_sqlite else func.unnest)(bindparam("named", type_=ValueList(String())))
    each: Any = named.table_valued("value")
    each = each if on_sqlite else each.render_derived()
    return prepared(select(each.c.value).where(exists().where(column == each.c.value, *conditions)))


def existing(db: Session, name: str, values: Collection[str], place: Place) -> set[str]:
    """The tags, states or names of projects that any of these tasks may have."""
    if (name, place.scope) not in _INDEXED:
        return set(values)
    statement = _existing(name, place.scope, on_sqlite=is_sqlite(db))
    found = db.execute(statement, {"named": sorted(values), **place._asdict()}).scalars()
    # The state of a private task is its status.
    return {*found, *(STATUSES if name == "state" else ())}


def are_frequent(db: Session, tags: Sequence[str], place: Place) -> bool:
    """Whether very many of these tasks have one of the tags."""
    asked = {"tags": list(tags), **place._asdict()}
    return bool(db.execute(_SOME_TAGGED[place.scope], asked).scalar_one() > FEW_TAGGED)


def known_texts(db: Session, name: str, place: Place) -> list[str]:
    """The distinct tags, states or names of projects of these tasks."""
    found = db.execute(_TEXTS[name, place.scope], place._asdict()).scalars()
    return list({*found, *STATUSES} if name == "state" else found)
