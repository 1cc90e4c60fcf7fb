"""Batches that are worked out before their transaction.

SQLite has one writer, and everybody who writes waits while a batch holds it. A large batch of private tasks is
therefore worked out with a session that only reads. The transaction then checks that the tasks are still the
same, and writes rows that are ready for the driver, which takes half as long.
"""

from typing import NamedTuple

from sqlalchemy import Executable, select
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from errors import AppError
from models import Caller, tasks
from schemas.batch import AssignOperation, Batch, CreateOperation
from services.bulk_numbers import in_bulk, read_numbers
from services.tasks import batch as batches
from services.tasks import bulk
from services.tasks.batch import Outcomes
from services.tasks.unit_of_work import Changes, UnitOfWork
from storage.column_types import is_among
from storage.direct_session import takes_text
from storage.prepared import prepared

# Smaller batches hold the writer for less time than it takes to wake another thread twice.
LARGE = 200

_VERSIONS = prepared(in_bulk(select(tasks.c.id, tasks.c.version).where(is_among(tasks.c.id, "task_ids"))))


class WorkedOut(NamedTuple):
    """A batch whose results and rows are known, except for the ids of new tasks: these are negative."""

    outcomes: Outcomes
    new_tasks: int
    # The versions of the tasks that the batch changes or deletes, as they were when it was worked out.
    versions: dict[int, int]
    inserts: list[Executable]
    changes: Changes

    def write(self, db: Session) -> int | None:
        """Write the batch; returns the number to add to the negative ids of new tasks, which makes them real ids.

        If one of the tasks has changed meanwhile, nothing is written, and the result is None.
        """
        if self.versions:
            found = read_numbers(db, _VERSIONS, {"task_ids": sorted(self.versions)})
            if dict(found.T.tolist()) != self.versions:
                return None
        # The last new task has the id -1.
        after = bulk.take_ids(db, self.new_tasks + 1)[-1]
        for rows in self.inserts:
            db.execute(rows, {"id": after, "task_id": after})
        self.changes.write(db)
        return after


def pays(batch: Batch) -> bool:
    """Whether a batch is worth working out before its transaction."""
    operations = batch.operations
    return len(operations) >= LARGE and not any(
        isinstance(each, AssignOperation) or batches.target(each) is not None for each in operations
    )


def work_out(db: Session, user: Caller, batch: Batch) -> WorkedOut | None:
    """Work out a batch with a session that only reads; None if it fails, or needs more than the caller's own tasks."""
    # An admin may change everybody's tasks, and the transaction must note each use of this right.
    if user.is_admin or not takes_text(db):
        return None
    new_tasks = sum(isinstance(each, CreateOperation) for each in batch.operations)
    # The session has no database, so that any further question fails.
    nowhere = Session()
    unit = UnitOfWork(nowhere, user, ids=range(-new_tasks, 0))
    try:
        with unit:
            ids = batches.changed_ids(batch)
            versions = unit.load(ids, {}, reader=db)
            if versions.keys() != ids:
                return None
            outcomes = batches.work_through(nowhere, user, unit, batch)
            changes = unit.take_changes()
    except (AppError, UnboundExecutionError):
        return None
    inserts = [bulk.bound(db, table, rows) for table, rows in changes.inserts]
    return WorkedOut(outcomes, new_tasks, versions, inserts, changes._replace(inserts=[]))
