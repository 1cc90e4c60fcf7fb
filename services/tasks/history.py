"""The history of tasks, comments, projects and members, written in the transaction of each change.

A task's history, the feed of events and the flow figures all read this one log.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy.orm import Session

from models import Caller
from request_context import request_id_var
from services.tasks import writes
from services.tasks.fields import IN_HISTORY, NAMES
from tables.history import task_history


def _request_id() -> str | None:
    request_id = request_id_var.get()
    return None if request_id == "-" else request_id


@cache
def _places(names: tuple[str, ...]) -> list[tuple[int, str]]:
    """The places of these fields in a row, and their names."""
    return [(NAMES.index(name), name) for name in names]


def differences(before: Any | None, after: Any | None, names: tuple[str, ...]) -> dict[str, Any]:
    """The fields that differ between a task before and after a change, each with both values.

    The columns of JSON write a time as RFC 3339.
    """
    if before is None and after is not None:
        # New tasks take this shorter way, because a batch may make a thousand at once. They are rows.
        found = {
            name: {"from": None, "to": new}
            for place, name in _places(names)
            if (new := after[place]) is not None
        }
        if after.project_id is None:
            found.pop("state", None)
        return found
    is_shared = any(task is not None and task.project_id is not None for task in (before, after))
    changes = {}
    for name in names:
        old = None if before is None else getattr(before, name)
        new = None if after is None else getattr(after, name)
        # The state of a private task is its status, which the changes hold already.
        if old != new and (is_shared or name != "state"):
            changes[name] = {"from": old, "to": new}
    return changes


def task_entry(
    actor: Caller,
    now: datetime,
    kind: str,
    before: Any | None,
    after: Any | None,
    only: tuple[str, ...] = IN_HISTORY,
) -> dict[str, Any]:
    """A row about a task: what differs between the task before and after, either of which may be None."""
    task = before if after is None else after
    assert task is not None
    is_new = before is None
    return {
        "task_id": task.id,
        "actor_id": actor.id,
        "kind": kind,
        "created_at": now,
        "changes": differences(before, after, only),
        "owner_id": None if after is None else after.user_id,
        "status": None if after is None else after.status,
        "previous_owner_id": None if before is None else before.user_id,
        "previous_status": None if before is None else before.status,
        "task_created_at": task.created_at if is_new else None,
        "task_completed_at": task.completed_at if is_new else None,
        "project_id": None if after is None else after.project_id,
        "previous_project_id": None if before is None else before.project_id,
        "state": _state(after),
        "previous_state": _state(before),
        "request_id": _request_id(),
        # The changes of a new task hold all of its fields, so the feed rebuilds the snapshot from them.
        "snapshot": None if kind == "created" else _fields_of(task),
        "subject": None,
    }


def _fields_of(task: Any) -> dict[str, Any]:
    """All fields of a task. A row of the database or of a unit of work begins with the fields."""
    if hasattr(task, "_fields"):
        return dict(zip(NAMES, task, strict=False))
    return {name: getattr(task, name) for name in NAMES}


def _state(task: Any | None) -> str | None:
    """The state within a project; None for a private task, and for None."""
    return None if task is None or task.project_id is None else task.state


def entry_about(
    actor: Caller,
    now: datetime,
    kind: str,
    subject: Mapping[str, Any],
    *,
    changes: Mapping[str, Any] | None = None,
    task: Any | None = None,
    project_id: int | None = None,
    member_id: int | None = None,
) -> dict[str, Any]:
    """A row about a comment on `task`, about a project, or about its member `member_id`."""
    if task is not None:
        project_id = task.project_id
    owner_id = member_id if task is None else task.user_id
    status, state = (None, None) if task is None else (task.status, _state(task))
    is_gone = kind in ("member_removed", "project_deleted")
    is_new = kind in ("member_added", "project_created")
    return {
        "task_id": None if task is None else task.id,
        "actor_id": actor.id,
        "kind": kind,
        "created_at": now,
        "changes": dict(changes or {}),
        "owner_id": None if is_gone else owner_id,
        "status": status,
        "previous_owner_id": None if is_new else owner_id,
        "previous_status": status,
        "task_created_at": None,
        "task_completed_at": None,
        "project_id": project_id,
        "previous_project_id": None if is_new else project_id,
        "state": state,
        "previous_state": state,
        "request_id": _request_id(),
        "snapshot": None if task is None else _fields_of(task),
        "subject": dict(subject),
    }


def add_about(
    db: Session, actor: Caller, now: datetime, kind: str, subject: Mapping[str, Any], **about: Any
) -> None:
    """Write a row about a comment, a project or a member: see `entry_about`."""
    writes.add_row(db, task_history, entry_about(actor, now, kind, subject, **about))
