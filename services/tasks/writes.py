"""Writing a change of a task: at once or, within a unit of work, together with others.

`task_service` has the rules of a change, for one task and for a thousand. All that it writes goes through
this module. Within a `UnitOfWork` the change is held in memory. Without one it is written at once, and on Postgres
one statement writes the task, its history and a notification, because each statement waits for the server.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Executable, Table, Update, bindparam, delete, insert, update
from sqlalchemy.orm import Session

from database import AnyRow, database
from models import tasks
from services.tasks.unit_of_work import changed_row, task_row, unit_of
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.history import task_history
from tables.notifications import notifications

_INSERT = prepared(insert(tasks).returning(tasks.c.id))
_DELETE = prepared(delete(tasks).where(tasks.c.id == bindparam("task_id")))
_INSERT_ROW = {table: prepared(insert(table)) for table in (task_history, notifications)}


class Change(NamedTuple):
    """A change of a task: the task before and after, and the columns to be written."""

    before: Any
    after: AnyRow
    columns: Mapping[str, Any]


def locked_project(db: Session, project_id: int) -> Any:
    """A project that the session's unit of work has locked, as `rights.CallersProject`; None for any other."""
    unit = unit_of(db)
    return None if unit is None else unit.project(project_id)


def write_first(db: Session) -> None:
    """Write all changes that the session's unit of work holds, before a statement that reads tasks."""
    unit = unit_of(db)
    if unit is not None:
        unit.give_way()


def add_task(db: Session, values: Mapping[str, Any]) -> AnyRow:
    """Insert a task; returns the new task."""
    unit = unit_of(db)
    row: AnyRow
    if unit is not None:
        row = unit.insert(values)
    else:
        # All but the id is known here. The database would take as long to return it as to insert it.
        row = task_row({"id": db.execute(_INSERT, values).scalar(), **values})
    return row


def change_of(before: Any, columns: Mapping[str, Any], now: datetime) -> Change:
    """The change of these columns of a task, which is locked; `write_change` writes it."""
    # The `updated_at` of an imported task may lie in the future.
    columns = {**columns, "updated_at": max(now, before.updated_at), "version": before.version + 1}
    return Change(before, changed_row(before, columns), columns)


def write_change(
    db: Session, change: Change, entries: Sequence[dict[str, Any]], notification: dict[str, Any] | None = None
) -> None:
    """Write a change of a task with its rows of history and, if its owner is notified, the notification."""
    unit = unit_of(db)
    if unit is not None and unit.holds(change.before):
        unit.change(change.after, change.columns)
    elif unit is None and entries and not database.is_sqlite:
        _write_together(db, change, entries[0], notification)
        entries, notification = entries[1:], None
    else:
        db.execute(_update(tuple(change.columns)), _new_values(change))
    for entry in entries:
        add_row(db, task_history, entry)
    if notification is not None:
        add_row(db, notifications, notification)


def remove_task(db: Session, task: AnyRow) -> None:
    """Delete a task."""
    unit = unit_of(db)
    if unit is not None and unit.holds(task):
        unit.remove(task)
    else:
        db.execute(_DELETE, {"task_id": task.id})


def add_row(db: Session, table: Table, values: dict[str, Any]) -> None:
    """Insert a row of history, or a notification."""
    unit = unit_of(db)
    if unit is not None:
        unit.add(table, values)
    else:
        db.execute(_INSERT_ROW[table], values)


def add_both(db: Session, entry: dict[str, Any], notification: dict[str, Any]) -> None:
    """Insert a row of history and a notification; on Postgres by one statement."""
    unit = unit_of(db)
    if unit is not None:
        unit.add(task_history, entry)
        unit.add(notifications, notification)
    elif database.is_sqlite:
        add_row(db, task_history, entry)
        add_row(db, notifications, notification)
    else:
        _write_together(db, None, entry, notification)


# -- statements ------------------------------------------------------------------------------------


def _update_of(columns: tuple[str, ...]) -> Update:
    return update(tasks).where(tasks.c.id == bindparam("task_id")).values(_named("new", tasks, columns))


@kept_by_shape
def _update(columns: tuple[str, ...]) -> Executable:
    """The statement that changes these columns; built once, because building takes longer than executing."""
    return prepared(_update_of(columns))


def _new_values(change: Change) -> dict[str, Any]:
    return {"task_id": change.before.id, **{f"new_{name}": value for name, value in change.columns.items()}}


def _write_together(
    db: Session, change: Change | None, entry: dict[str, Any], notification: dict[str, Any] | None
) -> None:
    values = {} if change is None else _new_values(change)
    values |= {f"entry_{name}": value for name, value in entry.items()}
    if notification is not None:
        values |= {f"notification_{name}": value for name, value in notification.items()}
    columns = () if change is None else tuple(change.columns)
    db.execute(_together(columns, tuple(entry), tuple(notification or ())), values)


@kept_by_shape
def _together(changed: tuple[str, ...], entry: tuple[str, ...], notification: tuple[str, ...]) -> Executable:
    """The statement for Postgres that writes these columns of a task, a row of history and a notification."""
    statement = insert(task_history).values(_named("entry", task_history, entry))
    if changed:
        statement = statement.add_cte(_update_of(changed).cte("changed"))
    if notification:
        values = _named("notification", notifications, notification)
        statement = statement.add_cte(insert(notifications).values(values).cte("notified"))
    return prepared(statement)


def _named(prefix: str, table: Table, columns: tuple[str, ...]) -> dict[str, Any]:
    """A parameter for each of these columns."""
    return {name: bindparam(f"{prefix}_{name}", type_=table.c[name].type) for name in columns}
