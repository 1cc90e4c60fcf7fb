"""The events that an account may see, as parts of the feed: an index finds each part in order.

The account that owns a task before or after an event sees the event. So do the members of the project that
the task is in before or after it. A member sees all events from the one that began the membership to the one
that ended it. Both are in the history, so nothing else needs to be known about past memberships.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    bindparam,
    literal_column,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session

from database import AnyRow, database
from models import LARGEST_ID
from storage.column_types import IsOneOf, ValueList
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.history import BECAME_MEMBER, FREQUENT_KINDS, LEFT_OWNER, LEFT_PROJECT, MAYBE_RARE, task_history

_ID = task_history.c.id
_COLUMNS = (_ID, task_history.c.kind)
# The conditions of a question for all kinds of rows, and of one for some. The indexes of the parts have the kind, so that
# a kind which is rare is found without reading rows.
_KINDS: dict[bool, list[IsOneOf]] = {
    False: [],
    True: [IsOneOf(task_history.c.kind, bindparam("kinds", type_=ValueList(String())))],
}


# The most rows that are read of a part at once.
MOST_ROWS = 500


class Part(NamedTuple):
    """A part of the feed: the rows with this value in a column, between two numbers."""

    column: str
    value: int
    after: int = 0
    until: int = LARGEST_ID


class Examined(NamedTuple):
    """The numbers and kinds of the found events, in order, and the number up to which none is missing."""

    found: list[tuple[int, str]]
    until: int


def _read(column: ColumnElement[Any], *conditions: Any) -> dict[bool, tuple[Select[Any], Select[Any]]]:
    """The statements for SQLite and for Postgres, by whether some kinds are asked for."""
    value: BindParameter[int] = bindparam("value")
    after: BindParameter[int] = bindparam("after")
    # With plain equality Postgres would walk the primary key, through everybody's events.
    by_row = (
        tuple_(column, _ID) > tuple_(value, after),
        tuple_(column, _ID) <= tuple_(value, bindparam("until")),
    )
    found = {}
    for has_kinds, of_kinds in _KINDS.items():
        usual = select(*_COLUMNS).where(*conditions, *of_kinds)
        on_sqlite = usual.where(column == value, after < _ID, bindparam("until") >= _ID).order_by(_ID)
        found[has_kinds] = (
            prepared(on_sqlite.limit(bindparam("limit"))),
            _limited(usual.where(*by_row).order_by(column, _ID)),
        )
    return found


def _limited(rows: Select[Any]) -> Select[Any]:
    """The first rows, as many as the parameter `limit` says, by a statement that Postgres plans once.

    Postgres plans anew for each execution as long as that seems much cheaper than the plan for any values. Behind a limit
    that it does not know, it expects a tenth of the rows. The fixed limit and the repeated one make that a few rows.
    """
    limits: list[ColumnElement[Any]] = [literal_column(str(MOST_ROWS)), bindparam("limit")]
    for limit in limits:
        within = rows.limit(limit).subquery()
        rows = select(*within.c)
    return prepared(rows.limit(bindparam("limit")))


# The columns of parts that have an index by kind.
_BY_KIND: dict[str, tuple[Any, ...]] = {
    "owner_id": (),
    "project_id": (task_history.c.project_id.is_not(None),),
}


@kept_by_shape
def _of_kinds(name: str | None, count: int, *, on_sqlite: bool) -> Select[Any] | CompoundSelect[Any]:
    """The next rows of each of so many kinds, in a part of the feed or (for None) in all of it."""
    kind = task_history.c.kind
    conditions = [text(MAYBE_RARE), bindparam("until") >= _ID, *_BY_KIND.get(name or "", ())]
    if name is not None:
        conditions.append(task_history.c[name] == bindparam("value"))
    after: BindParameter[int] = bindparam("after")
    each = []
    for number in range(count):
        wanted: BindParameter[str] = bindparam(f"kind_{number}")
        # See `_read` about Postgres.
        here = [kind == wanted, after < _ID]
        if not on_sqlite:
            here = [tuple_(kind, _ID) > tuple_(wanted, after), kind <= wanted]
        of_kind = select(*_COLUMNS).where(*here, *conditions).order_by(kind, _ID)
        each.append(select(of_kind.limit(bindparam("limit")).subquery()))
    return prepared(union_all(*each) if count > 1 else each[0])


_READS = {
    "owner_id": _read(task_history.c.owner_id),
    "previous_owner_id": _read(task_history.c.previous_owner_id, text(LEFT_OWNER)),
    "project_id": _read(task_history.c.project_id, task_history.c.project_id.is_not(None)),
    "previous_project_id": _read(task_history.c.previous_project_id, text(LEFT_PROJECT)),
}

_EVERYBODYS = {
    has_kinds: _limited(
        select(*_COLUMNS).where(bindparam("after") < _ID, bindparam("until") >= _ID, *of_kinds).order_by(_ID)
    )
    for has_kinds, of_kinds in _KINDS.items()
}
_OF_TASK = prepared(
    select(
        *_COLUMNS,
        *(task_history.c[name] for name in _READS),
    )
    .where(
        task_history.c.task_id == bindparam("task_id"), bindparam("after") < _ID, bindparam("until") >= _ID
    )
    .order_by(_ID)
    .limit(bindparam("limit"))
)
# The beginning (by making or joining a project) and the end of each membership of an account.
_MEMBERSHIPS = prepared(
    union_all(
        *(
            select(
                _ID.label("id"),
                literal_column(begins).label("begins"),
                task_history.c.project_id.label("project_id"),
            ).where(text(condition), column == bindparam("user_id"))
            for begins, condition, column in (
                ("1", BECAME_MEMBER, task_history.c.owner_id),
                ("0", "kind = 'member_removed'", task_history.c.previous_owner_id),
            )
        )
    ).order_by("id")
)


def memberships(db: Session, user_id: int) -> list[Part]:
    """The parts of the feed that an account sees as a present or past member of projects."""
    began: dict[int, int] = {}
    parts = []
    for row_id, begins, project_id in db.execute(_MEMBERSHIPS, {"user_id": user_id}):
        if begins:
            began.setdefault(project_id, row_id)
        elif (since := began.pop(project_id, None)) is not None:
            parts += _of_project(project_id, since, row_id)
    for project_id, since in began.items():
        parts += _of_project(project_id, since, LARGEST_ID)
    return parts


def is_member_without_end(db: Session, user_id: int, project_id: int) -> bool:
    """Whether no event ended the membership: the account is a member, or was one when the project was deleted."""
    return any(part.value == project_id and part.until == LARGEST_ID for part in memberships(db, user_id))


def _of_project(project_id: int, since: int, until: int) -> list[Part]:
    return [
        Part("project_id", project_id, since - 1, until),
        Part("previous_project_id", project_id, since - 1, until),
    ]


def of_account(db: Session, user_id: int) -> list[Part]:
    """All parts of the feed that an account sees."""
    return [Part("owner_id", user_id), Part("previous_owner_id", user_id), *memberships(db, user_id)]


def of_project(project_id: int) -> list[Part]:
    """The parts of the feed with all events of a project."""
    return _of_project(project_id, 1, LARGEST_ID)


def examine(
    db: Session,
    parts: Iterable[Part],
    after: int,
    until: int,
    limit: int,
    kinds: Collection[str] | None = None,
) -> Examined:
    """Find the next events of these parts, of these kinds or of all, at most `limit` of each part."""
    found: dict[int, str] = {}
    complete_until = until
    for part in parts:
        begin, end = max(after, part.after), min(until, part.until)
        if begin >= end:
            continue
        values = {"value": part.value, "after": begin, "until": end, "limit": limit}
        if kinds is not None and _may_be_rare(kinds) and part.column in _BY_KIND:
            rows = _read_kinds(db, part.column, values, kinds)
        else:
            on_sqlite, on_postgres = _READS[part.column][kinds is not None]
            statement = on_sqlite if database.is_sqlite else on_postgres
            rows = db.execute(statement, {**values, **_named(kinds)}).all()
        found.update((row[0], row[1]) for row in rows)
        if len(rows) == limit:
            complete_until = min(complete_until, rows[-1][0])
    return Examined(sorted(each for each in found.items() if each[0] <= complete_until), complete_until)


def _may_be_rare(kinds: Collection[str]) -> bool:
    """Whether the indexes by kind have all rows of these kinds."""
    return not any(kind in FREQUENT_KINDS for kind in kinds)


def _read_kinds(
    db: Session, column: str | None, values: dict[str, int], kinds: Collection[str]
) -> Sequence[AnyRow]:
    """The next rows of these kinds, in order."""
    named = {f"kind_{number}": kind for number, kind in enumerate(sorted(kinds))}
    statement = _of_kinds(column, len(named), on_sqlite=database.is_sqlite)
    rows = db.execute(statement, {**values, **named})
    return sorted(rows)[: values["limit"]]


def _named(kinds: Collection[str] | None) -> dict[str, list[str]]:
    return {} if kinds is None else {"kinds": sorted(kinds)}


def examine_everything(
    db: Session, after: int, until: int, limit: int, kinds: Collection[str] | None
) -> Examined:
    """Find the next events of everybody, of these kinds or of all."""
    values = {"after": after, "until": until, "limit": limit}
    if kinds is not None and _may_be_rare(kinds):
        rows = _read_kinds(db, None, values, kinds)
    else:
        rows = db.execute(_EVERYBODYS[kinds is not None], {**values, **_named(kinds)}).all()
    return Examined([(row[0], row[1]) for row in rows], rows[-1][0] if len(rows) == limit else until)


def examine_task(
    db: Session, parts: list[Part] | None, task_id: int, after: int, until: int, limit: int
) -> Examined:
    """Examine the next events of a task that lie in any of the parts; None stands for the whole feed."""
    values = {"task_id": task_id, "after": after, "until": until, "limit": limit}
    rows = db.execute(_OF_TASK, values).all()
    seen = [
        (row[0], row[1])
        for row in rows
        if parts is None
        or any(
            part.after < row[0] <= part.until and getattr(row, part.column) == part.value for part in parts
        )
    ]
    return Examined(seen, rows[-1][0] if len(rows) == limit else until)
