"""Tasks as they were at events that keep no copy of them: put together from the changes that the history tells.

The row of a new task has none, because its changes tell every field. Rows that are older than the copies have none
either: their tasks are put together from all changes before. What the history does not tell of a task, such as when an
import says it was updated last, is taken from the time of the row.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from database import AnyRow
from models import task_history
from services.events.event import SUBJECTS
from services.tasks.fields import NAMES

# A page reads so many earlier rows at most; tasks with more than there is room for stay without a copy.
MOST_ROWS = 20_000

_EARLIER = (
    select(
        *(
            task_history.c[name]
            for name in ("id", "task_id", "kind", "created_at", "changes", "task_created_at")
        )
    )
    .where(
        task_history.c.task_id.in_(bindparam("task_ids", expanding=True)),
        task_history.c.id <= bindparam("until"),
    )
    .order_by(task_history.c.id)
    .limit(MOST_ROWS)
)


def rebuilt(db: Session, rows: Collection[AnyRow]) -> dict[int, dict[str, Any]]:
    """The task of each of these rows that tells of a task and has no copy of it, by the row's number."""
    wanted = {
        row.id: row.task_id
        for row in rows
        if row.snapshot is None and row.task_id is not None and row.kind.partition("_")[0] not in SUBJECTS
    }
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row.kind == "created" and row.id in wanted:
            found[row.id] = _begun(row, row.created_at)
            del wanted[row.id]
    if not wanted:
        return found
    known: dict[int, dict[str, Any]] = {}
    values = {"task_ids": sorted(set(wanted.values())), "until": max(wanted)}
    for row in db.execute(_EARLIER, values):
        if row.kind in ("created", "imported"):
            known[row.task_id] = _begun(row, row.task_created_at or row.created_at)
        task = known.get(row.task_id)
        if task is None:
            # The beginning of its history is not kept.
            continue
        if row.kind not in ("created", "imported", "deleted"):
            _apply(task, row)
        if row.id in wanted:
            found[row.id] = dict(task)
    return found


def _begun(row: AnyRow, began_at: datetime) -> dict[str, Any]:
    """The task that the first row of its history tells of."""
    task: dict[str, Any] = dict.fromkeys(NAMES) | {"id": row.task_id, "created_at": began_at}
    _apply(task, row)
    return task


def _apply(task: dict[str, Any], row: AnyRow) -> None:
    """Change the task as the row tells."""
    changes = {name: change["to"] for name, change in row.changes.items() if name in task}
    task.update(changes)
    if "status" in changes and "state" not in changes:
        task["state"] = changes["status"]
    task["updated_at"] = row.created_at
