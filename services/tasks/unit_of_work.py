"""Changes of many tasks, made in memory and written together.

Within a `UnitOfWork` the rows are read together, changed in memory and written together. This takes a sixth of the
time for changing them one by one:

1. `load` reads and locks the tasks in the order of their ids, after `rights.lock_tasks` has locked their
projects in the same way. Two units with common tasks therefore wait for one another, but never for good.
2. `find`, `insert`, `change`, `remove` and `add` work in memory; `writes` calls them.
3. Data that memory lacks (a count of tasks, say) is read from the database. Before that, `give_way` writes all
changes that memory holds, so that each statement sees what was done before it. Tasks are an exception: a task that
`load` did not find stays unknown, because locking it later would be out of order.
4. `write` writes the rest: notifications and history in their order, then the tasks.

A failure within `operation` undoes that operation alone.
"""

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Executable, Table, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from models import Caller, tasks
from services.bulk_numbers import in_bulk, numbers
from services.tasks import bulk
from services.tasks.fields import NAMES, TASK_COLUMNS
from storage.column_types import is_among
from storage.prepared import prepared
from storage.shape_cache import kept_by_shape
from tables.history import task_history
from tables.notifications import notifications

# The key under which a session keeps its unit of work.
_UNIT = "unit_of_work"
_ABSENT: Any = object()

_LISTED = is_among(tasks.c.id, "task_ids")
_PROJECTS_OF = prepared(select(tasks.c.project_id).where(_LISTED, tasks.c.project_id.is_not(None)).distinct())


@kept_by_shape
def _load(*, everybodys: bool, whole: bool) -> Executable:
    """The private tasks of the caller, or of everybody, and those in the projects that are locked.

    If these are not read as a `whole`, there are only their ids and versions, in bulk.
    """
    in_projects = is_among(tasks.c.project_id, "project_ids")
    private: list[ColumnElement[bool]] = [tasks.c.project_id.is_(None)]
    if not everybodys:
        private.append(tasks.c.user_id == bindparam("owner_id"))
    columns = TASK_COLUMNS if whole else (tasks.c.id, tasks.c.version)
    statement = select(*columns).where(_LISTED, or_(and_(*private), in_projects))
    statement = statement.order_by(tasks.c.id).with_for_update()
    return prepared(statement if whole else in_bulk(statement))


def _row_class() -> Any:
    return namedtuple("TaskRow", [*NAMES, "version"])  # noqa: PYI024  # its fields come from a table


# A task in the form that the database returns.
TaskRow: Any = _row_class()
_SEEN = frozenset(TaskRow._fields)
_STATE = NAMES.index("state")


def task_row(columns: Mapping[str, Any]) -> Any:
    """A task with these columns; the others are empty."""
    row = list(map(columns.get, TaskRow._fields))
    if row[_STATE] is None:
        row[_STATE] = columns["status"]
    return TaskRow._make(row)


def changed_row(row: Any, columns: Mapping[str, Any]) -> Any:
    """The task after these columns have changed."""
    seen = {name: value for name, value in columns.items() if name in _SEEN}
    if "status" in columns or "state" in columns:
        seen["state"] = columns.get("state") or columns.get("status", row.status)
    return TaskRow(*row)._replace(**seen)


def unit_of(db: Session) -> "UnitOfWork | None":
    """The unit of work that the session is within."""
    unit: UnitOfWork | None = db.info.get(_UNIT)
    return unit


class Changes(NamedTuple):
    """Changes of tasks, in the order in which they are written.

    The tasks come last, because their triggers lock the counts until the commit, and others wait for those.
    """

    # Rows with the same columns; first the notifications, then the history, then the new tasks.
    inserts: list[tuple[Table, list[dict[str, Any]]]]
    updates: list[tuple[tuple[str, ...], list[dict[str, Any]]]]
    deleted: list[int]

    def write(self, db: Session) -> None:
        """Write the changes."""
        if any(table is not tasks for table, _ in self.inserts):
            bulk.begin_to_write(db)
        for table, rows in self.inserts:
            bulk.insert_many(db, table, rows)
        for columns, rows in self.updates:
            bulk.update_many(db, tasks, columns, rows)
        if self.deleted:
            bulk.delete_many(db, self.deleted)


class UnitOfWork:
    """Changes of many tasks that are written together; the end of the `with` block writes the rest."""

    def __init__(self, db: Session, user: Caller, *, new_tasks: int = 0, ids: Iterable[int] = ()) -> None:
        self._db, self._user = db, user
        # The number of tasks still to be made. Their ids are taken at once, unless they are given.
        self._new_tasks = new_tasks
        self._ids = iter(ids)
        self._rows: dict[int, Any] = {}
        # The projects that are locked, each as `rights.CallersProject`.
        self._projects: dict[int, Any] = {}
        self._inserted: dict[int, dict[str, Any]] = {}
        self._updated: dict[int, dict[str, Any]] = {}
        self._deleted: dict[int, bool] = {}
        self._added: list[tuple[Table, dict[str, Any]]] = []
        # The old values of changes in memory, for undoing them: a dictionary, a key, and the value before.
        self._journal: list[tuple[dict[int, Any], int, Any]] = []
        self._mark = (0, 0)
        # Ends the savepoint of an operation that used the database.
        self._operation: ExitStack | None = None
        self._has_savepoint = False

    def __enter__(self) -> Self:
        self._db.info[_UNIT] = self
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        del self._db.info[_UNIT]
        if kind is None:
            self.write()

    def projects_of(self, task_ids: Iterable[int]) -> set[int]:
        """The projects that the tasks are in."""
        found = self._db.execute(_PROJECTS_OF, {"task_ids": sorted(set(task_ids))})
        return set(found.scalars())

    def load(
        self,
        task_ids: Iterable[int],
        projects: Mapping[int, Any],
        *,
        are_visible: bool = False,
        reader: Session | None = None,
    ) -> dict[int, int]:
        """Read and lock tasks; returns their versions.

        Private tasks of others are left out, unless all are known to be visible. `projects` are those that the
        caller sees, which are locked already: tasks in other projects are left out. A `reader`
        reads instead of the unit's session, which may have no database.
        """
        found = self._locked(task_ids, projects, are_visible=are_visible, whole=True, reader=reader)
        rows = {row.id: TaskRow(*row) for row in found}
        self._rows |= rows
        return {task_id: row.version for task_id, row in rows.items()}

    def lock(
        self, task_ids: Iterable[int], projects: Mapping[int, Any], *, are_visible: bool = False
    ) -> dict[int, int]:
        """Lock tasks that `load` reads later, in parts; returns the same versions as `load`."""
        found = self._locked(task_ids, projects, are_visible=are_visible, whole=False)
        return dict(numbers(found.one()).T.tolist())

    def _locked(
        self,
        task_ids: Iterable[int],
        projects: Mapping[int, Any],
        *,
        are_visible: bool,
        whole: bool,
        reader: Session | None = None,
    ) -> Any:
        self._projects |= projects
        values = {
            "task_ids": sorted(set(task_ids)),
            "project_ids": sorted(self._projects),
            "owner_id": self._user.id,
        }
        statement = _load(everybodys=are_visible or self._user.is_admin, whole=whole)
        return (reader or self._db).execute(statement, values)

    def forget_tasks(self) -> None:
        """Write all changes, and forget the tasks: each may have a text of 65,536 characters."""
        self.write()
        self._rows.clear()

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Undo the changes of this block alone if it fails."""
        self._mark = (len(self._journal), len(self._added))
        with ExitStack() as self._operation:
            try:
                yield
            except BaseException:
                self._undo()
                raise
            finally:
                self._has_savepoint = False
        self._operation = None

    def give_way(self) -> None:
        """Write all changes that memory holds, before a statement that uses the database directly."""
        self.write()
        # Other inserts may use the next ids by then.
        self._ids = iter(())
        if self._operation is not None and not self._has_savepoint:
            self._operation.enter_context(self._db.begin_nested())
            self._has_savepoint = True

    # -- in memory -----------------------------------------------------------------------------------

    def held(self, task_id: int) -> Any:
        """A task that memory has, or None."""
        return self._rows.get(task_id)

    def find(self, user: Caller, task_id: int) -> Any:
        """A task and its project, if memory has it; a private task only if the caller may change it."""
        row = self._rows.get(task_id)
        if row is None:
            return None
        if row.project_id is None:
            return (row, None) if user.is_admin or row.user_id == user.id else None
        project = self.project(row.project_id)
        return None if project is None else (row, project)

    def holds(self, task: Any) -> bool:
        """Whether memory holds this task, which `find` has returned."""
        return self._rows.get(task.id) is task

    def project(self, project_id: int) -> Any:
        """A project that is locked already, as `rights.CallersProject`; None for any other."""
        return self._projects.get(project_id)

    def insert(self, values: Mapping[str, Any]) -> Any:
        """Hold a new task in memory, and return it."""
        task_id = next(self._ids, None)
        if task_id is None:
            self._ids = iter(bulk.take_ids(self._db, max(self._new_tasks, 1)))
            task_id = next(self._ids)
        self._new_tasks -= 1
        columns = {"id": task_id, **values}
        row = task_row(columns)
        self._set(self._inserted, task_id, columns)
        self._set(self._rows, task_id, row)
        return row

    def change(self, after: Any, columns: Mapping[str, Any]) -> None:
        """Hold a change of a task in memory: the changed task, and the columns that differ."""
        kept = self._inserted if after.id in self._inserted else self._updated
        self._set(kept, after.id, {**kept.get(after.id, {}), **columns})
        self._set(self._rows, after.id, after)

    def remove(self, task: Any) -> None:
        """Hold the deletion of a task in memory."""
        if task.id in self._inserted:
            # The task is inserted first, so that its id is never given out again.
            self.write()
        self._set(self._updated, task.id, _ABSENT)
        self._set(self._rows, task.id, _ABSENT)
        self._set(self._deleted, task.id, value=True)

    def add(self, table: Table, values: dict[str, Any]) -> None:
        """Hold a row of history, or a notification, in memory."""
        self._added.append((table, values))

    def _set(self, kept: dict[int, Any], key: int, value: Any) -> None:
        if self._operation is not None:
            self._journal.append((kept, key, kept.get(key, _ABSENT)))
        _put(kept, key, value)

    def _undo(self) -> None:
        changes, rows = self._mark
        while len(self._journal) > changes:
            _put(*self._journal.pop())
        del self._added[rows:]

    # -- in the database -----------------------------------------------------------------------------

    def write(self) -> None:
        """Write all changes that memory holds."""
        self.take_changes().write(self._db)

    def take_changes(self) -> Changes:
        """Take all changes out of memory."""
        inserts = [
            (table, rows)
            for table in (notifications, task_history)
            for _, rows in _alike(values for into, values in self._added if into is table)
        ]
        inserts += [(tasks, rows) for _, rows in _alike(self._inserted.values())]
        changed = [{"id": task_id, **columns} for task_id, columns in self._updated.items()]
        updates = [(columns[1:], rows) for columns, rows in _alike(sorted(changed, key=sorted))]
        changes = Changes(inserts, updates, sorted(self._deleted))
        for kept in (self._inserted, self._updated, self._deleted, self._added, self._journal):
            kept.clear()
        self._mark = (0, 0)
        return changes


def _put(kept: dict[int, Any], key: int, value: Any) -> None:
    if value is _ABSENT:
        kept.pop(key, None)
    else:
        kept[key] = value


def _alike(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Groups of consecutive rows that have the same columns."""
    for columns, group in groupby(rows, key=tuple):
        yield columns, list(group)
