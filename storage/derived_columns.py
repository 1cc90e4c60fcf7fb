"""Derives columns from others, for programs that write tasks and accounts as objects of SQLAlchemy.

The program itself writes rows, with their history. A program that imports `Task` and `User` should not have to know
columns that only lists and searches use.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import object_session

from storage.folding import fold, folded_where_different


def complete_task(_mapper: Any, _connection: Any, task: Any) -> None:
    """Derive columns of a task before it is inserted or updated."""
    is_new = not inspect(task).persistent
    session = object_session(task)
    if not is_new and (session is None or not session.is_modified(task)):
        return
    now = datetime.now(UTC)
    task.title_folded = fold(task.title)
    task.description_folded = folded_where_different(task.description)
    task.created_at = task.created_at or now
    if task.status == "completed":
        task.completed_at = task.completed_at or now
        # Completing ends a block, as it does through the API. The database refuses a completed task that is blocked.
        task.blocked_at = task.blocked_reason = None
    else:
        task.completed_at = None
    if is_new:
        task.updated_at = task.updated_at or task.completed_at or task.created_at
    else:
        task.version += 1
        if not inspect(task).attrs.updated_at.history.has_changes():
            task.updated_at = now


def complete_user(_mapper: Any, _connection: Any, user: Any) -> None:
    """Derive columns of an account before it is inserted or updated."""
    user.email_folded = fold(user.email)
    user.created_at = user.created_at or datetime.now(UTC)
