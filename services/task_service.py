"""Tasks: who may see and change which, and what is written when one changes.

Every read starts at `visible_tasks`. Every change writes the task, its history and, where somebody is
to be told, a notification, all in the caller's transaction.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, literal_column, select
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, Forbidden, InvalidInput, NotFound
from models import TASK_KINDS, Caller, notifications, task_history, tasks, users
from schemas.tasks import TaskFilters
from services import preconditions
from services.paging import PageOf
from services.query import asking
from services.query.conditions import Place
from services.tasks import fields, history, task_query, unit_of_work
from services.tasks.task_query import visible_tasks
from storage.prepared import prepared


def task_not_found() -> NotFound:
    """What is said of a task that is not there, or not to be seen."""
    return NotFound("Task not found", code="task_not_found")


@cache
def _one_task(*, everybodys: bool, locked: bool) -> Select[Any]:
    statement = visible_tasks(everybodys=everybodys).where(tasks.c.id == bindparam("task_id"))
    return prepared(statement.with_for_update() if locked else statement)


def get_task(db: Session, user: Caller, task_id: int) -> AnyRow:
    """A task of the caller's, any task for an admin; raises NotFound."""
    return _find(db, task_id, user, everybodys=user.is_admin)


def _find(db: Session, task_id: int, user: Caller, *, everybodys: bool, locked: bool = False) -> AnyRow:
    if locked and (kept := unit_of_work.find(db, user, task_id)) is not None:
        return kept
    statement = _one_task(everybodys=everybodys, locked=locked)
    row = db.execute(statement, {"owner_id": user.id, "task_id": task_id}).first()
    if row is None:
        raise task_not_found()
    return row


def etag(task: AnyRow) -> str:
    """The entity tag of a task as it is now."""
    return preconditions.entity_tag(task.id, task.version)


def get_tasks_with_filters(
    db: Session, user: Caller, filters: TaskFilters, *, everybodys: bool = False, owner_id: int | None = None
) -> PageOf[AnyRow]:
    """A page of the caller's tasks; of everybody's, or of one owner's, for an admin."""
    owner_id = owner_id if everybodys else user.id
    filters, asked = asking.in_list(db, user.id, filters, Place(owner_id))
    return task_query.page(db, owner_id, filters, asked)


def matching_ids(db: Session, user: Caller, filters: TaskFilters, at_most: int) -> list[int]:
    """The ids of the caller's tasks that a list with these filters would have, all pages together, in order.

    For calls that change or delete what a filter finds: ask for one more than may be changed, and where that many
    come there are too many. Raises InvalidFilter.
    """
    filters, asked = asking.in_list(db, user.id, filters, Place(user.id))
    return task_query.ids(db, user.id, filters, asked, at_most)


def get_task_history(db: Session, user: Caller, task_id: int) -> list[AnyRow]:
    """Every change of a task, oldest first; raises NotFound."""
    get_task(db, user, task_id)
    return list(db.execute(_HISTORY, {"task_id": task_id}).all())


_HISTORY = prepared(
    select(
        task_history.c.id,
        task_history.c.task_id,
        task_history.c.kind,
        task_history.c.created_at,
        task_history.c.actor_id,
        task_history.c.changes,
    )
    .where(
        task_history.c.task_id == bindparam("task_id"),
        # Comments have rows of their own there.
        task_history.c.kind.in_([literal_column(repr(kind)) for kind in TASK_KINDS]),
    )
    .order_by(task_history.c.id)
)
_ACTIVE_USER = prepared(select(users.c.id).where(users.c.id == bindparam("user_id"), users.c.is_active))


def create_task(db: Session, user: Caller, values: Mapping[str, Any]) -> AnyRow:
    """Make a task of the caller's."""
    now = datetime.now(UTC)
    row = unit_of_work.add_task(
        db,
        {
            **values,
            **fields.derived(values),
            "user_id": user.id,
            "created_at": now,
            "updated_at": now,
            "completed_at": now if values["status"] == "completed" else None,
            "version": 1,
        },
    )
    history.add(db, user, now, "created", before=None, after=row)
    notify(db, user, now, "created", row)
    if row.status == "completed":
        notify(db, user, now, "completed", row)
    return row


def update_task(
    db: Session, user: Caller, task_id: int, values: Mapping[str, Any], if_match: str | None = None
) -> AnyRow:
    """Change the given fields of a task; raises NotFound, PreconditionFailed, Conflict, InvalidInput.

    None clears `description` and `due_at`, and leaves the other fields as they are. What changes nothing
    is not written.
    """
    before = _find(db, task_id, user, everybodys=user.is_admin, locked=True)
    preconditions.require(if_match, etag(before))
    changes = _differences(before, values)
    if not changes:
        return before
    now = datetime.now(UTC)
    completes = changes.get("status") == "completed"
    if "status" in changes:
        changes["completed_at"] = max(now, before.created_at) if completes else None
    changes |= fields.derived(changes)
    after = unit_of_work.change_task(db, before, changes, now)
    if "status" in changes:
        history.add(db, user, now, "status_changed", before, after, only=fields.STATUS)
    if any(getattr(before, name) != getattr(after, name) for name in fields.PLAIN):
        history.add(db, user, now, "updated", before, after, only=fields.PLAIN)
    if completes:
        notify(db, user, now, "completed", after)
    return after


def _differences(before: AnyRow, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the values change.

    Raises Conflict for a copy that is older than the task, InvalidInput for a read-only field with another value.
    """
    sent = values.get("updated_at")
    if sent is not None and sent < before.updated_at:
        raise Conflict(
            "The task was changed since this copy of it was read: get it again, or leave the read-only fields out",
            code="stale_copy",
        )
    changes = {}
    for name, value in values.items():
        same = value == getattr(before, name)
        if name in fields.READ_ONLY:
            if not same:
                raise _read_only(name)
        elif not same and (value is not None or name in fields.CLEARABLE):
            changes[name] = value
    return changes


def _read_only(name: str) -> InvalidInput:
    problem = {"pointer": f"#/{name}", "detail": "Read-only: leave it out, or send the value it has"}
    return InvalidInput(f"{problem['pointer']}: {problem['detail']}", errors=[problem])


def delete_task(db: Session, user: Caller, task_id: int, if_match: str | None = None) -> AnyRow:
    """Delete a task, and keep its history; raises NotFound, PreconditionFailed."""
    task = _find(db, task_id, user, everybodys=user.is_admin, locked=True)
    preconditions.require(if_match, etag(task))
    unit_of_work.remove_task(db, task)
    history.add(db, user, datetime.now(UTC), "deleted", before=task, after=None)
    return task


def assign_task(
    db: Session, user: Caller, task_id: int, assigned_user_id: int, if_match: str | None = None
) -> tuple[AnyRow, AnyRow]:
    """Give a task to another account; the task before and after.

    Raises NotFound for no such task, Forbidden for somebody else's, NotFound for no such or an inactive
    account, PreconditionFailed.
    """
    before = _find(db, task_id, user, everybodys=True, locked=True)
    if before.user_id != user.id and not user.is_admin:
        raise Forbidden("Cannot assign this task", code="cannot_assign")
    preconditions.require(if_match, etag(before))
    if db.execute(_ACTIVE_USER, {"user_id": assigned_user_id}).first() is None:
        raise NotFound("User not found", code="user_not_found")
    if assigned_user_id == before.user_id:
        return before, before
    now = datetime.now(UTC)
    after = unit_of_work.change_task(db, before, {"user_id": assigned_user_id}, now)
    history.add(db, user, now, "assigned", before, after, only=("user_id",))
    notify(db, user, now, "assigned", after)
    return before, after


def notify(db: Session, actor: Caller, now: datetime, kind: str, task: AnyRow) -> None:
    """Write that the task's owner is to be told; who delivers it comes after the commit."""
    unit_of_work.add_row(
        db,
        notifications,
        {
            "user_id": task.user_id,
            "kind": kind,
            "task_id": task.id,
            "task_title": task.title,
            "actor_id": actor.id,
            "created_at": now,
            "state": "waiting",
            "attempts": 0,
            "next_attempt_at": now,
        },
    )
