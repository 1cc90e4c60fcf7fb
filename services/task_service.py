"""Tasks: reading and changing them, with the history and the notifications of each change.

`rights` decides who may see and change a task. Every change writes the task, its history and, if an account
is to be notified, a notification, all in the transaction of the request.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, Forbidden, user_not_found
from models import Caller, users
from schemas.common import OldestFirst
from schemas.tasks import TaskFilters
from services import preconditions, rights
from services.lists import pages, rare_titles
from services.paging import PageOf, cursor_behind, id_before, pages_by_id
from services.projects import member
from services.query import asking
from services.query.shapes import Place
from services.tasks import fields, history, many, placement, writes
from storage.prepared import prepared
from tables.history import TASK_KINDS, task_history
from tables.notifications import notifications

# A page of history ends after this many characters, and is read in chunks of this many changes.
LONGEST_HISTORY = 1_000_000
HISTORY_CHUNK = 50
# A limit that no list reaches.
NO_LIMIT = 2**31


def get_task(db: Session, user: Caller, task_id: int) -> AnyRow:
    """A task that the caller sees: an own one, or one in a project of the caller; raises NotFound."""
    return rights.find_task(db, user, task_id)


def etag(task: AnyRow) -> str:
    """The entity tag of a task's current version."""
    return preconditions.entity_tag(task.id, task.version)


def get_tasks_with_filters(
    db: Session, user: Caller, filters: TaskFilters, *, everybodys: bool = False, owner_id: int | None = None
) -> PageOf[AnyRow]:
    """A page of the tasks of the caller or of a project; for an admin also of everybody or of any owner.

    Raises NotFound for a project or a view that the caller does not see, InvalidFilter.
    """
    filters, normal = asking.of_list(db, user, filters)
    place = _place_of_list(db, user, filters, everybodys=everybodys, owner_id=owner_id)
    with asking.one_moment(db, normal):
        filters, asked = rare_titles.split(db, filters, normal, place)
        return pages.page(db, place, filters, asked)


def _place_of_list(
    db: Session, user: Caller, filters: TaskFilters, *, everybodys: bool = False, owner_id: int | None = None
) -> Place:
    project_id = filters.project_id
    if project_id is not None:
        rights.role_in(db, user, project_id)
    if not everybodys:
        # Without a project the list is the caller's own.
        owner_id = user.id if project_id is None else None
    return Place(owner_id, project_id if owner_id is None else None)


def ids_of_list(db: Session, user: Caller, filters: TaskFilters) -> list[int]:
    """The sorted ids of all tasks on all pages of `get_tasks_with_filters`; raises the same errors."""
    filters, normal = asking.of_list(db, user, filters)
    place = _place_of_list(db, user, filters)
    with asking.one_moment(db, normal):
        filters, asked = rare_titles.split(db, filters, normal, place)
        return pages.ids(db, place, filters, asked, NO_LIMIT)


def matching_ids(db: Session, user: Caller, filters: TaskFilters, at_most: int) -> list[int]:
    """The sorted ids of the caller's own tasks that the filters find, in a project too; at most `at_most`.

    Calls that change or delete all tasks that a filter finds use this. They ask for one id more than may be
    changed, so that they notice when there are too many. The session must see one state of the database. Raises
    InvalidFilter, and NotFound for a project that the caller does not see.
    """
    filters, normal = asking.of_list(db, user, filters)
    if filters.project_id is not None:
        rights.role_in(db, user, filters.project_id)
    filters, asked = rare_titles.split(db, filters, normal, Place(user.id))
    return pages.ids(db, Place(user.id), filters, asked, at_most)


def get_task_history(db: Session, user: Caller, task_id: int, page: OldestFirst) -> PageOf[AnyRow]:
    """A page of the changes of a task; a very long page ends early. Raises NotFound."""
    get_task(db, user, task_id)
    rows: list[AnyRow] = []
    after_id, skip, length = id_before(page), page.skip, 0
    while True:
        wanted = min(HISTORY_CHUNK, page.limit - len(rows))
        asked = {"task_id": task_id, "after_id": after_id, "limit": wanted + 1, "skip": skip}
        found = list(db.execute(_HISTORY[page.sort_order], asked).all())
        taken = 0
        for row in found[:wanted]:
            rows.append(row)
            taken, length = taken + 1, length + _length(row)
            if length > LONGEST_HISTORY:
                break
        if taken == len(found):
            return PageOf(rows, None)
        if len(rows) == page.limit or length > LONGEST_HISTORY:
            return PageOf(rows, cursor_behind(page, rows[-1].id))
        after_id, skip = rows[-1].id, 0


def _length(row: AnyRow) -> int:
    """The number of characters in a change: a description may have 65,536 before and after it."""
    return sum(len(str(value)) for change in row.changes.values() for value in change.values())


_HISTORY = pages_by_id(
    select(
        task_history.c.id,
        task_history.c.task_id,
        task_history.c.kind,
        task_history.c.created_at,
        task_history.c.actor_id,
        task_history.c.changes,
    ).where(
        task_history.c.task_id == bindparam("task_id"),
        # The table also has rows about comments, which are left out.
        task_history.c.kind.in_([literal_column(repr(kind)) for kind in TASK_KINDS]),
    ),
    task_history.c.id,
)
_ACTIVE_USER = prepared(select(users.c.id).where(users.c.id == bindparam("user_id"), users.c.is_active))


# The fields that a new task has unless they are sent.
_DEFAULTS: dict[str, Any] = {
    "description": None,
    "status": "pending",
    "priority": 0,
    "project": "General",
    "tags": [],
    "due_at": None,
}
_PLACED = frozenset({"project_id", "user_id", "state"})


def create_task(db: Session, user: Caller, values: Mapping[str, Any]) -> AnyRow:
    """Make a task of the caller or, in a project, of the named member; `values` are the fields sent.

    Raises NotFound, Forbidden, Conflict, InvalidInput.
    """
    now = datetime.now(UTC)
    columns = {**_DEFAULTS, **values, "user_id": user.id}
    if not _PLACED.isdisjoint(values):
        for name in _PLACED:
            columns.pop(name, None)
        columns |= {"user_id": user.id, **placement.of_new(db, user, values)}
    columns |= fields.derived(columns)
    columns |= {
        "created_at": now,
        "updated_at": now,
        "completed_at": now if columns["status"] == "completed" else None,
        "version": 1,
    }
    row = writes.add_task(db, columns)
    writes.add_both(
        db,
        history.task_entry(user, now, "created", before=None, after=row),
        _notification(user, now, "created" if row.user_id == user.id else "assigned", row),
    )
    if row.status == "completed":
        writes.add_row(db, notifications, _notification(user, now, "completed", row))
    return row


def update_task(
    db: Session, user: Caller, task_id: int, values: Mapping[str, Any], if_match: str | None = None
) -> AnyRow:
    """Change the given fields of a task; raises NotFound, Forbidden, Conflict, PreconditionFailed, InvalidInput.

    None clears some fields and leaves the others unchanged: see `fields`. If no value differs, nothing is
    written.
    """
    takes_out = "project_id" in values and values["project_id"] is None
    before, project = rights.lock_task(db, user, task_id, "take_out" if takes_out else "write")
    preconditions.require(if_match, etag(before))
    changes = _differences(before, values)
    if not changes:
        return before
    now, moved = datetime.now(UTC), None
    columns = {name: value for name, value in changes.items() if name not in _WORKFLOW}
    if len(columns) < len(changes) or project is not None:
        placed, moved = placement.of_changed(db, user, before, project, changes)
        columns |= placed
    completes = columns.get("status") == "completed"
    if "status" in columns:
        columns["completed_at"] = max(now, before.created_at) if completes else None
        if completes and before.blocked_at is not None:
            columns |= dict.fromkeys(fields.BLOCKED)
    columns |= fields.derived(columns)
    change = writes.change_of(before, columns, now)
    notification = _notification(user, now, "completed", change.after) if completes else None
    writes.write_change(db, change, list(_entries(user, now, before, change.after, moved)), notification)
    return change.after


# The fields that `placement` decides on.
_WORKFLOW = frozenset({"status", "state", "project_id"})


def _entries(
    user: Caller, now: datetime, before: Any, after: AnyRow, moved: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """The rows of history of a change, each beginning where the row before ended."""
    entry, plain = partial(history.task_entry, user, now), fields.PLAIN
    if moved is not None:
        there = SimpleNamespace(**before._asdict() | moved | {"updated_at": after.updated_at})
        yield entry("moved", before, there, only=("project_id", "project", "state"))
        before, plain = there, tuple(name for name in plain if name != "project")
    if before.status != after.status:
        yield entry("status_changed", before, after, only=fields.STATUS)
    elif before.state != after.state:
        yield entry("state_changed", before, after, only=("state",))
    if before.blocked_at is not None and after.blocked_at is None:
        blocked = SimpleNamespace(
            **after._asdict() | {name: getattr(before, name) for name in fields.BLOCKED}
        )
        yield entry("unblocked", blocked, after, only=fields.BLOCKED)
    if any(getattr(before, name) != getattr(after, name) for name in plain):
        yield entry("updated", before, after, only=plain) | many.settled(after)


def _differences(before: AnyRow, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the task.

    Raises Conflict for a copy that is older than the task, InvalidInput for a read-only field with another
    value.
    """
    sent = values.get("updated_at")
    if sent is not None and sent < before.updated_at:
        raise preconditions.stale_copy()
    changes = {}
    for name, value in values.items():
        same = value == getattr(before, name)
        if name in fields.READ_ONLY:
            if not same:
                raise preconditions.read_only_fields([name])
        elif not same and (value is not None or name in fields.CLEARABLE):
            changes[name] = value
    return changes


def delete_task(db: Session, user: Caller, task_id: int, if_match: str | None = None) -> AnyRow:
    """Delete a task, and keep its history; raises NotFound, Forbidden, Conflict, PreconditionFailed."""
    task, _ = rights.lock_task(db, user, task_id, "delete")
    preconditions.require(if_match, etag(task))
    writes.remove_task(db, task)
    writes.add_row(db, task_history, history.task_entry(user, datetime.now(UTC), "deleted", task, None))
    return task


def assign_task(
    db: Session, user: Caller, task_id: int, assigned_user_id: int, if_match: str | None = None
) -> tuple[AnyRow, AnyRow]:
    """Give a task to another account, in a project to another member; returns the task before and after.

    Raises NotFound for an unknown task, Forbidden for a private task of another account, NotFound for an
    unknown or inactive account, Conflict, PreconditionFailed.
    """
    before, project = rights.lock_task(db, user, task_id, strangers=True)
    if project is None and before.user_id != user.id and not user.is_admin:
        raise Forbidden("Cannot assign this task", code="cannot_assign")
    preconditions.require(if_match, etag(before))
    if project is not None:
        may_get = member.can_own(db, project.id, assigned_user_id)
    else:
        may_get = db.execute(_ACTIVE_USER, {"user_id": assigned_user_id}).first() is not None
    if not may_get:
        raise user_not_found()
    if assigned_user_id == before.user_id:
        return before, before
    now = datetime.now(UTC)
    change = writes.change_of(before, {"user_id": assigned_user_id}, now)
    entry = history.task_entry(user, now, "assigned", before, change.after, only=("user_id",))
    writes.write_change(db, change, [entry], _notification(user, now, "assigned", change.after))
    return before, change.after


def block_task(db: Session, user: Caller, task_id: int, reason: str, if_match: str | None = None) -> AnyRow:
    """Mark a task as blocked, with a reason; of a task that is blocked already, only the reason changes.

    Raises NotFound, Forbidden, Conflict, PreconditionFailed.
    """
    before, _ = rights.lock_task(db, user, task_id)
    preconditions.require(if_match, etag(before))
    if before.status == "completed":
        raise Conflict("The task is completed: reopen it first", code="task_completed")
    if before.blocked_reason == reason:
        return before
    now = datetime.now(UTC)
    columns = {"blocked_at": before.blocked_at or now, "blocked_reason": reason}
    return _write_block(db, user, before, columns, now, "blocked")


def unblock_task(db: Session, user: Caller, task_id: int, if_match: str | None = None) -> AnyRow:
    """Mark a task as no longer blocked; raises NotFound, Forbidden, Conflict, PreconditionFailed."""
    before, _ = rights.lock_task(db, user, task_id)
    preconditions.require(if_match, etag(before))
    if before.blocked_at is None:
        return before
    return _write_block(db, user, before, dict.fromkeys(fields.BLOCKED), datetime.now(UTC), "unblocked")


def _write_block(
    db: Session, user: Caller, before: AnyRow, columns: Mapping[str, Any], now: datetime, kind: str
) -> AnyRow:
    change = writes.change_of(before, columns, now)
    entry = history.task_entry(user, now, kind, before, change.after, only=fields.BLOCKED)
    writes.write_change(db, change, [entry])
    return change.after


def _notification(actor: Caller, now: datetime, kind: str, task: AnyRow) -> dict[str, Any]:
    """A notification of the task's owner; it is delivered after the commit."""
    return many.notification(actor, now, kind, task.user_id, task)
