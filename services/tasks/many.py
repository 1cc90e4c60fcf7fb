"""Making the same change to many tasks, or deleting them, each with its row of history."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    case,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session

from models import Caller, tasks
from services.portions import Portions
from services.tasks import bulk, history
from services.tasks.fields import BLOCKED, IN_HISTORY, TASK_COLUMNS
from services.tasks.unit_of_work import TaskRow
from storage.column_types import UtcDateTime
from tables.history import task_history
from tables.notifications import notifications

CHUNK = 500


def in_chunks(
    db: Session, *conditions: ColumnElement[bool], portions: Portions | None = None
) -> Iterator[Sequence[Any]]:
    """The tasks that meet the conditions, locked, in chunks, in the order of their ids.

    With `portions` it raises Unfinished after a portion of them.
    """
    after_id = -1
    statement = select(*TASK_COLUMNS).where(*conditions).order_by(tasks.c.id).limit(CHUNK)
    while found := db.execute(statement.where(tasks.c.id > after_id).with_for_update()).all():
        # A field of SQLAlchemy's row takes ten times as long to read.
        yield [TaskRow._make(row) for row in found]
        if portions is not None:
            portions.count(len(found))
        after_id = found[-1].id


def change_many(
    db: Session,
    actor: Caller,
    now: datetime,
    before: Sequence[Any],
    changes: Mapping[str, Any],
    kind: str,
) -> list[Any]:
    """Make the same change to all of these tasks, each with a row of history; returns the changed tasks.

    A change of status has its usual consequences: completing sets `completed_at` and ends a block.
    """
    bulk.take_turns(db)
    columns, given = dict(changes), literal(now, UtcDateTime())
    if "status" in changes:
        completes = changes["status"] == "completed"
        columns["completed_at"] = later(tasks.c.created_at, given) if completes else None
        if completes:
            columns |= dict.fromkeys(BLOCKED)
    # The state of a private task is its status, so its column stays NULL.
    columns |= {"updated_at": later(tasks.c.updated_at, given), "version": tasks.c.version + 1}
    ids = [task.id for task in before]
    db.execute(update(tasks).where(tasks.c.id.in_(ids)).values(columns))
    after = [_changed(task, changes, now) for task in before]
    # Nothing else differs, except that a block may end.
    changed = tuple(name for name in IN_HISTORY if name in {"state", "completed_at", *changes})
    entries = []
    for old, new in zip(before, after, strict=True):
        entries.append(history.task_entry(actor, now, kind, old, new, only=changed))
        if old.blocked_at is not None and new.blocked_at is None:
            entries.append(history.task_entry(actor, now, "unblocked", old, new, only=BLOCKED) | settled(new))
    bulk.insert_many(db, task_history, entries)
    return after


def later(column: ColumnElement[datetime], now: Any) -> Any:
    """The column, or `now` if that is later: the times of an imported task may lie in the future."""
    return case((column > now, column), else_=now)


def _changed(task: Any, changes: Mapping[str, Any], now: datetime) -> Any:
    values = {**changes, "updated_at": max(now, task.updated_at)}
    status = values.get("status", task.status)
    if values.get("project_id", task.project_id) is None:
        values["state"] = status
    if "status" in changes:
        values["completed_at"] = max(now, task.created_at) if status == "completed" else None
        if status == "completed":
            values |= dict.fromkeys(BLOCKED)
    return task._replace(**values)


def settled(task: Any) -> dict[str, Any]:
    """The previous values of a later row about a change, which an earlier row has recorded already."""
    return {
        "previous_status": task.status,
        "previous_state": task.state if task.project_id is not None else None,
        "previous_owner_id": task.user_id,
        "previous_project_id": task.project_id,
    }


def delete_many(db: Session, actor: Caller, now: datetime, before: Sequence[Any]) -> None:
    """Delete these tasks, each with a row of history."""
    bulk.take_turns(db)
    bulk.insert_many(
        db, task_history, [history.task_entry(actor, now, "deleted", task, None) for task in before]
    )
    bulk.delete_many(db, [task.id for task in before])


def notify_many(db: Session, actor: Caller, now: datetime, kind: str, after: Sequence[Any]) -> None:
    """Write a notification of each task's owner."""
    if after:
        bulk.insert_many(
            db, notifications, [notification(actor, now, kind, task.user_id, task) for task in after]
        )


def notification(
    actor: Caller, now: datetime, kind: str, user_id: int, task: Any = None, **about: Any
) -> dict[str, Any]:
    """A notification of an account, about a task or about the things in `about`; it waits for delivery."""
    return {
        "user_id": user_id,
        "kind": kind,
        "task_id": None if task is None else task.id,
        "task_title": None if task is None else task.title,
        "actor_id": actor.id,
        "created_at": now,
        "state": "waiting",
        "attempts": 0,
        "next_attempt_at": now,
        **about,
    }
