"""Changing or deleting all tasks that a filter finds, in one transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from database import database
from errors import Conflict
from models import Caller
from schemas.bulk import MOST_CHANGED, BulkQuery
from schemas.tasks import TaskFilters
from services import rights, task_service, used_rights
from services.tasks import bulk
from services.tasks.unit_of_work import UnitOfWork
from storage.direct_session import one_snapshot


class Changed(NamedTuple):
    """The number of tasks that the filter found, the number of changed tasks, and the owners of those."""

    matched: int
    changed: int
    owner_ids: set[int]


def change(db: Session, user: Caller, query: BulkQuery, values: Mapping[str, Any]) -> Changed:
    """Change the fields of each task, by the rules of one task; raises Conflict for an unexpected number."""
    changed, owner_ids = 0, set()
    with _found(db, user, query) as found:
        for task_id, version in found.items():
            task = task_service.update_task(db, user, task_id, values)
            if task.version != version:
                changed += 1
                owner_ids.add(task.user_id)
    return Changed(len(found), changed, owner_ids)


def delete(db: Session, user: Caller, query: BulkQuery) -> Changed:
    """Delete each task, by the rules of a single task; raises Conflict for an unexpected number."""
    owner_ids = set()
    with _found(db, user, query) as found:
        for task_id in found:
            owner_ids.add(task_service.delete_task(db, user, task_id).user_id)
    return Changed(len(found), len(found), owner_ids)


@contextmanager
def _found(db: Session, user: Caller, query: BulkQuery) -> Iterator[dict[int, int]]:
    """The tasks that the filter finds at one moment, each with its version, locked within a unit of work."""
    filters = query.filters()
    with UnitOfWork(db, user) as unit:
        bulk.take_turns(db)
        locked: dict[int, int] = {}
        while True:
            ids = _ids_at_one_moment(db, user, filters, query.expected)
            # Others may have changed tasks before the lock, so that the filter now finds other tasks.
            if locked.keys() >= set(ids):
                break
            locked |= rights.lock_tasks(db, user, unit, ids, are_visible=True)
            if database.is_sqlite:
                # Its only writer is at work here, so nobody has changed tasks.
                break
        yield {task_id: locked[task_id] for task_id in ids}


def _ids_at_one_moment(db: Session, user: Caller, filters: TaskFilters, expected: int) -> list[int]:
    """The ids of the tasks that the filter finds; raises Conflict unless their number is the expected one.

    Which tags and names there are is read before the tasks. A transaction that writes on Postgres sees a newer state with
    each statement: a task that gets a new tag in between would be missing. So another session reads, in one snapshot.
    """

    def read(reader: Session) -> list[int]:
        with used_rights.shared(db, reader), one_snapshot(reader):
            ids = task_service.matching_ids(reader, user, filters, MOST_CHANGED + 1)
            _check_number(reader, user, filters, len(ids), expected)
        return ids

    return read(db) if database.is_sqlite else database.read(read)


def _check_number(db: Session, user: Caller, filters: TaskFilters, found: int, expected: int) -> None:
    """Raise Conflict unless the number of tasks that were found is the expected one."""
    if found == expected:
        return
    if found > MOST_CHANGED:
        counted = filters.model_copy(update={"total": True, "limit": 1})
        # Only the caller's own tasks count, in a project too.
        own = task_service.get_tasks_with_filters(db, user, counted, everybodys=True, owner_id=user.id)
        found = own.total or found
    raise Conflict(
        f"The filter finds {found:,} {'task' if found == 1 else 'tasks'}, not {expected:,}: nothing was changed",
        code="unexpected_number",
    )
