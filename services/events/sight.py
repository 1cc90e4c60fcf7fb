"""The events that an account may see, as parts of the feed: an index finds each part in order.

The account that owns a task before or after an event sees the event. So do the members of the project that
the task is in before or after it. A member sees all events from the one that began the membership to the one
that ended it. Both are in the history, so nothing else needs to be known about past memberships.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    String,
    bindparam,
    literal_column,
    select,
    text,
    tuple_,
    union,
    union_all,
)
from sqlalchemy.orm import Session

from database import AnyRow, database
from models import LARGEST_ID
from services.events import event
from storage.column_types import IsOneOf, ValueList
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.history import BECAME_MEMBER, FREQUENT_KINDS, LEFT_OWNER, LEFT_PROJECT, MAYBE_RARE, task_history

_ID = task_history.c.id
_KIND = task_history.c.kind
# The most rows that are read of a part at once, and the most parts that a statement reads.
MOST_ROWS = 500
MOST_BRANCHES = 20


class Part(NamedTuple):
    """A part of the feed: the rows with this value in a column, between two numbers."""

    column: str | None
    value: int
    after: int = 0
    until: int = LARGEST_ID


class Examined(NamedTuple):
    """The rows of the found events, in order, and the number up to which none is missing."""

    found: list[AnyRow]
    until: int


_EVERYBODYS = Part(None, 0)
# The conditions of the parts' indexes.
_INDEXED: dict[str | None, tuple[Any, ...]] = {
    None: (),
    "owner_id": (),
    "previous_owner_id": (text(LEFT_OWNER),),
    "project_id": (task_history.c.project_id.is_not(None),),
    "previous_project_id": (text(LEFT_PROJECT),),
}
# The parts that have an index by kind too, in which a kind that is rare is found without reading rows; None stands for the
# whole feed.
_BY_KIND = (None, "owner_id", "project_id")


class Branch(NamedTuple):
    """The shape of a statement's branch for a part, apart from the values."""

    column: str | None
    # Tells whether it reads the rows of a single kind.
    has_kind: bool


def _branch(
    number: int, branch: Branch, columns: Sequence[Any], conditions: Sequence[Any], *, on_sqlite: bool
) -> Select[Any]:
    """The next rows of a part, in order, at most `limit`."""
    after, until = _parameter(f"after_{number}"), _parameter(f"until_{number}")
    keys: list[ColumnElement[Any]] = []
    values: list[BindParameter[Any]] = []
    if branch.column is not None:
        keys.append(task_history.c[branch.column])
        values.append(_parameter(f"value_{number}"))
    if branch.has_kind:
        keys.append(_KIND)
        values.append(bindparam(f"kind_{number}", type_=String()))
        conditions = (*conditions, text(MAYBE_RARE))
    rows = select(*columns).where(*_INDEXED[branch.column], *conditions)
    if on_sqlite:
        equal = (key == value for key, value in zip(keys, values, strict=True))
        return rows.where(*equal, after < _ID, until >= _ID).order_by(_ID).limit(bindparam("limit"))
    # With plain equality Postgres would walk the primary key, through everybody's events.
    rows = rows.where(
        tuple_(*keys, _ID) > tuple_(*values, after), tuple_(*keys, _ID) <= tuple_(*values, until)
    ).order_by(*keys, _ID)
    # Postgres plans each execution by its values as long as it expects that to be much cheaper than one plan for all
    # values. Behind a limit that it does not know, it expects a tenth of the rows. So the limits below, a fixed one and
    # `limit` twice, make it expect a few rows, and keep one plan.
    limits: tuple[ColumnElement[int], ...] = (literal_column(str(MOST_ROWS)), bindparam("limit"))
    for limit in limits:
        within = rows.limit(limit).subquery()
        rows = select(*within.c)
    return rows.limit(bindparam("limit"))


def _parameter(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


@kept_by_shape
def _statement(branches: tuple[Branch, ...], *, has_kinds: bool, whole: bool, on_sqlite: bool) -> Select[Any]:
    """The next rows of these branches together, in order: what an event consists of, or the number and the kind."""
    columns = event.COLUMNS if whole else (_ID, _KIND)
    kinds = [IsOneOf(_KIND, bindparam("kinds", type_=ValueList(String())))] if has_kinds else []
    if len(branches) == 1:
        return prepared(_branch(0, branches[0], columns, kinds, on_sqlite=on_sqlite))
    # A row may be in several parts.
    found = union(
        *(
            select(_branch(number, each, (_ID,), kinds, on_sqlite=on_sqlite).subquery())
            for number, each in enumerate(branches)
        )
    ).subquery()
    ids = select(found.c.id).order_by(found.c.id).limit(bindparam("limit")).subquery()
    return prepared(select(*columns).join_from(ids, task_history, ids.c.id == _ID).order_by(_ID))


_OF_TASK = prepared(
    select(
        _ID,
        _KIND,
        *(task_history.c[name] for name in _INDEXED if name is not None),
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
    parts: Iterable[Part] | None,
    after: int,
    until: int,
    limit: int,
    kinds: Collection[str] | None = None,
    *,
    whole: bool = False,
) -> Examined:
    """Find the next events of these parts (None: of everybody), of these kinds or of all, at most `limit`.

    The rows begin with the number and the kind. With `whole` they are those of `event.COLUMNS`.
    """
    chosen = list(_branches(parts, after, until, kinds))
    shared: dict[str, Any] = {"limit": limit}
    # Indexes by kind have all rows of kinds that may be rare. The other branches are told the kinds.
    if has_kinds := kinds is not None and not all(branch.has_kind for branch, _ in chosen):
        shared["kinds"] = sorted(kinds or ())
    found: dict[int, AnyRow] = {}
    for start in range(0, len(chosen), MOST_BRANCHES):
        some = chosen[start : start + MOST_BRANCHES]
        branches = tuple(branch for branch, _ in some)
        statement = _statement(branches, has_kinds=has_kinds, whole=whole, on_sqlite=database.is_sqlite)
        values = {
            f"{name}_{number}": value for number, (_, own) in enumerate(some) for name, value in own.items()
        }
        found.update((row[0], row) for row in db.execute(statement, {**shared, **values}))
    rows = [found[row_id] for row_id in sorted(found)[:limit]]
    return Examined(rows, rows[-1][0] if len(rows) == limit else until)


def _branches(
    parts: Iterable[Part] | None, after: int, until: int, kinds: Collection[str] | None
) -> Iterator[tuple[Branch, dict[str, Any]]]:
    """The branches that read these parts, each with its values."""
    may_be_rare = kinds is not None and not any(kind in FREQUENT_KINDS for kind in kinds)
    for part in (_EVERYBODYS,) if parts is None else parts:
        values: dict[str, Any] = {"after": max(after, part.after), "until": min(until, part.until)}
        if values["after"] >= values["until"]:
            continue
        if part.column is not None:
            values["value"] = part.value
        if may_be_rare and part.column in _BY_KIND:
            for kind in sorted(kinds or ()):
                yield Branch(part.column, has_kind=True), {**values, "kind": kind}
        else:
            yield Branch(part.column, has_kind=False), values


def examine_task(
    db: Session, parts: list[Part] | None, task_id: int, after: int, until: int, limit: int
) -> Examined:
    """Examine the next events of a task that lie in any of the parts; None stands for the whole feed."""
    values = {"task_id": task_id, "after": after, "until": until, "limit": limit}
    rows = db.execute(_OF_TASK, values).all()
    seen = [
        row
        for row in rows
        if parts is None
        or any(
            part.after < row[0] <= part.until and getattr(row, str(part.column)) == part.value
            for part in parts
        )
    ]
    return Examined(seen, rows[-1][0] if len(rows) == limit else until)
