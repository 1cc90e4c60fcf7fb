"""Changing or deleting all tasks that a filter finds, in one transaction."""

from collections.abc import Iterator, Mapping, Sequence
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

# The tasks that memory holds at a time, and the characters of descriptions before and after changes that it holds.
PART = 500
LONGEST = 2_000_000


class Changed(NamedTuple):
    """The number of tasks that the filter found, the number of changed tasks, and the owners of those."""

    matched: int
    changed: int
    owner_ids: set[int]


def change(db: Session, user: Caller, query: BulkQuery, values: Mapping[str, Any]) -> Changed:
    """Change the fields of each task, by the rules of one task; raises Conflict for an unexpected number."""
    changed, owner_ids = 0, set()
    with _found(db, user, query) as (unit, ids):
        for before in _each(unit, ids):
            task = task_service.update_task(db, user, before.id, values)
            if task.version != before.version:
                changed += 1
                owner_ids.add(task.user_id)
    return Changed(len(ids), changed, owner_ids)


def delete(db: Session, user: Caller, query: BulkQuery) -> Changed:
    """Delete each task, by the rules of a single task; raises Conflict for an unexpected number."""
    owner_ids = set()
    with _found(db, user, query) as (unit, ids):
        for before in _each(unit, ids):
            owner_ids.add(task_service.delete_task(db, user, before.id).user_id)
    return Changed(len(ids), len(ids), owner_ids)


def _each(unit: UnitOfWork, ids: Sequence[int]) -> Iterator[Any]:
    """Each of the locked tasks, to be changed or deleted before the next one is asked for.

    Memory holds a part of them at a time, and fewer changes if their texts are long.
    """
    for first in range(0, len(ids), PART):
        part, length = ids[first : first + PART], 0
        unit.load(part, {}, are_visible=True)
        for task_id in part:
            before = unit.held(task_id)
            yield before
            length += _length(before) + _length(unit.held(task_id))
            if length > LONGEST:
                unit.write()
                length = 0
        unit.forget_tasks()


def _length(task: Any) -> int:
    """The number of characters in the only long text of a task; 0 for a task that is gone."""
    return 0 if task is None else len(task.description or "")


@contextmanager
def _found(db: Session, user: Caller, query: BulkQuery) -> Iterator[tuple[UnitOfWork, list[int]]]:
    """The ids of the tasks that the filter finds at one moment, locked within a unit of work."""
    filters = query.filters()
    with UnitOfWork(db, user) as unit:
        bulk.take_turns(db)
        locked: set[int] = set()
        while True:
            ids = _ids_at_one_moment(db, user, filters, query.expected)
            # Others may have changed tasks before the lock, so that the filter now finds other tasks.
            if locked.issuperset(ids):
                break
            locked |= rights.lock_tasks(db, user, unit, ids, are_visible=True, whole=False).keys()
            if database.is_sqlite:
                # Its only writer is at work here, so nobody has changed tasks.
                break
        yield unit, ids


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
