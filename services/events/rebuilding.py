"""Rebuilding tasks for events whose rows have no copy of them, from the changes in the history.

The row of a new task has no copy, because its changes hold every field. Rows from before the copies were
introduced have none either: their tasks are rebuilt from all earlier changes. Fields that the history does
not record, such as the `updated_at` of an import, are taken from the time of the row.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from database import AnyRow
from models import tasks
from services.events.event import COLUMNS, SUBJECTS
from services.tasks.fields import NAMES, TEXTS
from storage.column_types import is_among
from storage.prepared import prepared
from tables.history import task_history

BEGINNINGS = ("created", "imported")
# The place of the copy in a row. By its name it takes ten times as long to find.
_COPY = [column.name for column in COLUMNS].index("snapshot")
# Stands for a text that was removed with the account that wrote it. Without the text there is no whole task to show.
LOST: Any = object()
# The most earlier rows that a page reads; tasks whose rows don't fit stay without a copy.
MOST_ROWS = 20_000

_EARLIER = prepared(
    select(
        *(
            task_history.c[name]
            for name in ("id", "task_id", "kind", "created_at", "changes", "task_created_at")
        )
    )
    .where(
        is_among(task_history.c.task_id, "task_ids"),
        task_history.c.id <= bindparam("until"),
    )
    .order_by(task_history.c.id)
    .limit(MOST_ROWS)
)


def rebuilt(db: Session, rows: Iterable[AnyRow]) -> dict[int, dict[str, Any]]:
    """The tasks of those rows that are about a task and have no copy of it, by the row's number."""
    lacking = [
        row
        for row in rows
        if row[_COPY] is None and row.task_id is not None and row.kind.partition("_")[0] not in SUBJECTS
    ]
    found = {row.id: _begun(row, row.created_at) for row in lacking if row.kind == "created"}
    later = {row.id: row.task_id for row in lacking if row.kind != "created"}
    if later:
        found |= _replayed(db, later)
    return {row_id: task for row_id, task in found.items() if LOST not in task.values()}


def _replayed(db: Session, wanted: Mapping[int, int]) -> dict[int, dict[str, Any]]:
    """The tasks after these rows (the task's id by the row's number), from all earlier changes of the tasks."""
    found: dict[int, dict[str, Any]] = {}
    known: dict[int, dict[str, Any]] = {}
    for row in db.execute(_EARLIER, {"task_ids": sorted(set(wanted.values())), "until": max(wanted)}):
        if row.kind in BEGINNINGS:
            known[row.task_id] = _begun(row, row.task_created_at or row.created_at)
        elif row.kind != "deleted" and row.task_id in known:
            _apply(known[row.task_id], row)
        # If the first rows of a task's history are gone, the task stays unknown.
        if row.id in wanted and row.task_id in known:
            found[row.id] = dict(known[row.task_id])
    return found


def _begun(row: AnyRow, began_at: datetime) -> dict[str, Any]:
    """The task as the first row of its history describes it."""
    task: dict[str, Any] = dict.fromkeys(NAMES) | {"id": row.task_id, "created_at": began_at}
    _apply(task, row)
    return task


def _apply(task: dict[str, Any], row: AnyRow) -> None:
    """Apply the changes of a row to the task."""
    changes = {name: _new_value(row, name) for name in row.changes if name in task}
    task.update(changes)
    if "status" in changes and "state" not in changes:
        task["state"] = changes["status"]
    task["updated_at"] = row.created_at


def _new_value(row: AnyRow, name: str) -> Any:
    """The value of a field after a row, or LOST if the row lost its texts: then it says null twice.

    The first row of a task may say so of a text that the task never had.
    """
    change = row.changes[name]
    if name in TEXTS and change["from"] is None and change["to"] is None:
        may_be_missing = row.kind in BEGINNINGS and tasks.c[name].nullable
        return None if may_be_missing else LOST
    return change["to"]
