"""Importing tasks that were made elsewhere, with times of their own; `import_files` reads the files."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from errors import invalid_input
from models import Caller, tasks
from schemas.tasks import TaskImport
from services.projects import workflow
from services.rights import CallersProject
from services.tasks import fields, history, import_files, placement
from services.tasks.bulk import insert_many, take_ids
from services.tasks.unit_of_work import task_row
from tables.history import task_history


def import_tasks(
    db: Session, user: Caller, rows: Sequence[TaskImport], project_id: int | None = None
) -> Sequence[int]:
    """Put the tasks into the caller's account, in their order, each with a row of history; returns their ids.

    With a `project_id` the tasks go into the project, whatever limits its states have. Raises NotFound,
    Forbidden, Conflict, and InvalidInput for a row that contradicts the status of its state.
    """
    project = None if project_id is None else placement.importing(db, user, project_id)
    if not rows:
        return ()
    now, states = datetime.now(UTC), workflow.states_of(db, project_id)
    _check(rows, states)
    ids = take_ids(db, len(rows))
    values = [
        {"id": task_id, **_columns(row, user, now, project, states)}
        for task_id, row in zip(ids, rows, strict=True)
    ]
    events = [history.task_entry(user, now, "imported", None, task_row(each)) for each in values]
    insert_many(db, tasks, values)
    insert_many(db, task_history, events)
    return ids


def _check(rows: Sequence[TaskImport], states: Sequence[Any]) -> None:
    problems = [
        problem
        for index, row in enumerate(rows)
        if import_files.leaves_status_open(row)
        for problem in import_files.against_status(index, row, _state(row, states).status)
    ]
    if problems:
        raise invalid_input(problems)


def _columns(
    row: TaskImport, user: Caller, now: datetime, project: CallersProject | None, states: Sequence[Any]
) -> dict[str, Any]:
    created_at = row.created_at or min(
        each for each in (row.completed_at, row.updated_at, now) if each is not None
    )
    state = _state(row, states)
    completed_at = None
    if state.status == "completed":
        # Without a time of completion, the last change is the best guess.
        completed_at = row.completed_at or max(row.updated_at or created_at, created_at)
    values = {name: getattr(row, name) for name in fields.IMPORTED} | {
        "user_id": user.id,
        **fields.derived({"title": row.title, "description": row.description}),
        "status": state.status,
        "state": None if project is None else state.key,
        "project_id": None if project is None else project.id,
        "created_at": created_at,
        "updated_at": row.updated_at or completed_at or created_at,
        "completed_at": completed_at,
        "version": 1,
    }
    if project is not None:
        values["project"] = project.name
    if completed_at is not None:
        values |= dict.fromkeys(fields.BLOCKED)
    return values


def _state(row: TaskImport, states: Sequence[Any]) -> Any:
    """The state that a row names; if that is unknown or contradicts the status, the first with the status."""
    has_status = "status" in row.model_fields_set
    for state in states:
        if state.key == row.state and (not has_status or state.status == row.status):
            return state
    return workflow.first_with(states, row.status)
