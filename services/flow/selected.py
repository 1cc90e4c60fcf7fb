"""Choosing tasks by a question's filters: present tasks by their present fields, others by the last."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Select, and_, bindparam, case, or_, select, text
from sqlalchemy.orm import Session

from database import AnyRow
from models import tasks
from services.bulk_numbers import Integers, in_bulk, numbers
from services.flow.question import Selection
from services.lists import rare_titles
from services.lists.statements import choices, one_of_many
from services.query import asking, statement_cache
from services.query.conditions import condition
from services.query.evaluate import matches
from services.query.known_values import with_known_values
from services.query.shapes import Shape
from storage.column_types import is_among
from storage.direct_session import one_snapshot
from tables.history import COMMENT_KINDS, MAYBE_RARE, task_history

_OWNER_ID = bindparam("owner_id", type_=BigInteger)
_PROJECT_ID = bindparam("project_id", type_=BigInteger)
_TIMES = ("due_at", "completed_at", "blocked_at")
_leaving = task_history.alias("leaving")


def changes_hands(row: Any) -> Any:
    """The condition that a task leaves its owner, in the words of its index, so that the databases use it."""
    return or_(row.owner_id.is_(None), row.owner_id != row.previous_owner_id)


def _left(condition: Any) -> Select[Any]:
    return (
        select(
            task_history.c.task_id,
            task_history.c.created_at,
            task_history.c.task_created_at,
            task_history.c.id,
            task_history.c.previous_owner_id,
            task_history.c.previous_project_id,
            task_history.c.changes,
            case((condition(task_history.c), 1), else_=0).label("leaves"),
        )
        .where(
            task_history.c.task_id.in_(select(_leaving.c.task_id).where(condition(_leaving.c))),
            # A comment changes no field of its task. For `NOT IN` SQLite would make a table of the kinds.
            *(task_history.c.kind != kind for kind in COMMENT_KINDS),
        )
        .order_by(task_history.c.task_id, task_history.c.id)
    )


def leaves_project(row: Any) -> Any:
    """The condition that a task leaves its project, in the words of its index."""
    return or_(row.project_id.is_(None), row.project_id != row.previous_project_id)


_LEFT_PROJECT = _left(lambda each: and_(each.previous_project_id == _PROJECT_ID, leaves_project(each)))
_LEFT_OWNER = _left(lambda each: and_(each.previous_owner_id == _OWNER_ID, changes_hands(each)))
_DELETED = _left(lambda each: each.owner_id.is_(None))
# A project's new name is written to its tasks without rows of their history.
_RENAMED = (
    select(task_history.c.id, task_history.c.project_id, task_history.c.created_at, task_history.c.changes)
    .where(
        is_among(task_history.c.project_id, "project_ids"),
        task_history.c.kind == "project_updated",
        text(MAYBE_RARE),
    )
    .order_by(task_history.c.id)
)


def ids(db: Session, selection: Selection) -> Integers:
    """The ids of the present tasks, in no order."""
    chosen, values = choices(selection.filters())
    place = selection.place
    shape: Shape | None = None

    def build() -> Select[Any]:
        statement = select(tasks.c.id).where(*(one_of_many(name, count) for name, count in chosen))
        if place.project_id is not None:
            statement = statement.where(tasks.c.project_id == _PROJECT_ID)
        elif place.owner_id is not None:
            statement = statement.where(tasks.c.user_id == _OWNER_ID)
        if shape is not None:
            statement = statement.where(condition(shape, place.scope))
        return in_bulk(statement)

    with one_snapshot(db):
        if selection.asked is not None:
            # A fact about the present tasks may be wrong about tasks that have left.
            asked = with_known_values(db, selection.asked, place)
            shape, more = asking.as_shape(db, rare_titles.looked_up(db, asked, place), place)
            values |= more
        found = statement_cache.execute(
            db, ("flow", place.scope, chosen, shape), build, values | place._asdict()
        ).one()
    these: Integers = numbers(found)[0]
    return these


def left(db: Session, selection: Selection) -> Integers:
    """The tasks that have left the account or the project, and matched the filters at that time."""
    if selection.project_id is not None:
        statement = _LEFT_PROJECT
    else:
        statement = _DELETED if selection.owner_id is None else _LEFT_OWNER
    facts: dict[int, dict[str, Any]] = {}
    matched: dict[int, bool] = {}
    asked = {name: value for name, value in selection.place._asdict().items() if value is not None}
    rows = db.execute(statement, asked).all()
    renames = _renames(db, {row.previous_project_id for row in rows} - {None})
    for row in rows:
        fields = facts.setdefault(row.task_id, {"id": row.task_id})
        fields.setdefault("created_at", row.task_created_at or row.created_at)
        _rename(fields, row, renames.get(row.previous_project_id, ()))
        if row.leaves:
            # The values before the change are those with which the task left.
            were = {name: change["from"] for name, change in row.changes.items()}
            matched[row.task_id] = _matches(_as_it_left(fields | were, row), selection)
        fields |= {name: change["to"] for name, change in row.changes.items()}
        fields["updated_at"] = row.created_at
    return np.array([task_id for task_id, is_chosen in matched.items() if is_chosen], np.int64)


def _renames(db: Session, project_ids: set[int]) -> dict[int, list[AnyRow]]:
    """The changes of names of these projects, in their order."""
    found: dict[int, list[AnyRow]] = {}
    if project_ids:
        for row in db.execute(_RENAMED, {"project_ids": sorted(project_ids)}):
            if "name" in row.changes:
                found.setdefault(row.project_id, []).append(row)
    return found


def _rename(fields: dict[str, Any], row: AnyRow, renames: Sequence[AnyRow]) -> None:
    """Give a task the name that its project had before the change of this row."""
    before = bisect_left(renames, row.id, key=lambda rename: rename.id)
    if before:
        last = renames[before - 1]
        fields["project"] = last.changes["name"]["to"]
        fields["updated_at"] = max(last.created_at, fields.get("updated_at", last.created_at))


def _as_it_left(fields: Mapping[str, Any], row: AnyRow) -> dict[str, Any]:
    """The task as it was when it left, with its owner before that."""
    times = {
        name: datetime.fromisoformat(fields[name]) for name in _TIMES if isinstance(fields.get(name), str)
    }
    # The state of a private task is its status.
    state = fields.get("state") or fields.get("status")
    return {**fields, **times, "state": state, "user_id": row.previous_owner_id}


def _matches(task: Mapping[str, Any], selection: Selection) -> bool:
    return (
        (not selection.project or task.get("project") in selection.project)
        and (not selection.priority or task.get("priority") in selection.priority)
        and (not selection.tag or not {*selection.tag}.isdisjoint(task.get("tags") or ()))
        and (selection.asked is None or matches(selection.asked, task))
    )
