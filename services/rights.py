"""Rights: which accounts may see and change which tasks, comments and shared projects.

Lists begin at `visible_tasks`. A request for a single task or project goes through `check`, which has three answers:
yes, 403 for a member whose role is too low, and 404 for everybody else, so that strangers learn nothing. A change first
locks the project by `lock_project`, so that no member is removed and no project archived meanwhile.
"""

import contextlib
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    exists,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, Forbidden, NotFound, project_not_found, task_not_found
from models import Caller, tasks, users
from services import used_rights
from services.events import sight
from services.query.shapes import Scope
from services.tasks import writes
from services.tasks.fields import TASK_COLUMNS
from services.tasks.unit_of_work import UnitOfWork, unit_of
from services.used_rights import Action, Used
from storage.prepared import prepared
from tables.projects import PROJECT_ROLES, project_members, projects

# The lowest role that an action requires in a project; see `_OF_OWN` too.
LEAST_ROLE: dict[Action, str] = {
    "see": "viewer",
    "write": "member",
    "delete": "manager",
    "take_out": "manager",
    "manage": "manager",
}
# Actions on own tasks that a member may do, although they require a higher role on tasks of others.
_OF_OWN: frozenset[Action] = frozenset({"delete", "take_out"})
_RANK: dict[str, int] = {role: rank for rank, role in enumerate(PROJECT_ROLES)}


class CallersProject(NamedTuple):
    """A project with the caller's role in it, which is None for an admin who is no member."""

    id: int
    name: str
    archived_at: Any
    role: str | None


def sees(caller: Caller, role: str | None) -> bool:
    """Whether the caller sees a project in which the caller has this role, or no role (None)."""
    return role is not None or caller.is_admin


def require_role(action: Action, role: str | None, caller: Caller) -> None:
    """Raise Forbidden unless the role is enough for the action; an admin has a manager's rights everywhere."""
    least = LEAST_ROLE[action]
    if not caller.is_admin and (role is None or _RANK[role] < _RANK[least]):
        raise Forbidden(f"This requires the role {least} in the project", code="project_role")


def check(action: Action, role: str | None, task: Any, caller: Caller) -> None:
    """Raise NotFound for a task that the caller does not see, Forbidden if the caller may only see it."""
    if task.project_id is None:
        if task.user_id != caller.id and not caller.is_admin:
            raise task_not_found()
        return
    if not sees(caller, role):
        raise task_not_found()
    require_role(_with_own(action, task, caller), role, caller)


def _with_own(action: Action, task: Any, caller: Caller) -> Action:
    """The action to check: deleting an own task, or taking it out of its project, counts as writing."""
    return "write" if action in _OF_OWN and task.user_id == caller.id else action


def require_open(project: CallersProject | None) -> None:
    """Raise Conflict for a project that is archived."""
    if project is not None and project.archived_at is not None:
        raise Conflict("The project is archived: its tasks can only be read", code="project_archived")


# -- lists -----------------------------------------------------------------------------------------


def visible_tasks(scope: Scope, *, by_id: bool = False, in_order: bool = False) -> Select[tuple[Any, ...]]:
    """Select the tasks of an owner (`owner_id`), a project (`project_id`) or everybody: all lists begin here.

    Callers of this function check the right first: by `role_in` for a project, and for everybody's tasks that
    the account is an admin's. `by_id` is for a read of tasks by their ids: it keeps SQLite from reading all
    tasks of the owner or the project. `in_order` is for a read that begins its order with `column_of(scope)`:
    it keeps Postgres from going through everybody's tasks, because only the owner's indexes have that order.
    """
    statement = select(*TASK_COLUMNS)
    if scope == "all":
        return statement
    column, named = column_of(scope), parameter_of(scope)
    if in_order:
        return statement.where(column >= named, column <= named)
    return statement.where((unindexed(column) if by_id else column) == named)


def column_of(scope: Scope) -> ColumnElement[int]:
    """The column that says whose task it is."""
    return tasks.c.project_id if scope == "project" else tasks.c.user_id


def parameter_of(scope: Scope) -> ColumnElement[int]:
    """The owner or the project whose tasks are read."""
    return bindparam("project_id" if scope == "project" else "owner_id", type_=BigInteger)


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as an expression for which no database uses an index."""
    return type_coerce(type_coerce(column, BigInteger) + literal_column("0"), column.type)


def is_hidden(table: Any) -> ColumnElement[bool]:
    """The condition that a notification is about a task in a project that its reader no longer sees.

    `table` is the table of notifications. Notifications about private tasks are never hidden.
    """
    is_member = exists().where(
        project_members.c.project_id == tasks.c.project_id, project_members.c.user_id == table.c.user_id
    )
    is_admin = exists().where(users.c.id == table.c.user_id, users.c.role == "admin")
    return exists().where(
        tasks.c.id == table.c.task_id,
        tasks.c.project_id.is_not(None),
        ~is_member.correlate(tasks, table),
        ~is_admin.correlate(table),
    )


# -- one project -----------------------------------------------------------------------------------

_PLACE = (projects.c.id, projects.c.name, projects.c.archived_at)
_IS_MEMBER = (project_members.c.project_id == projects.c.id) & (
    project_members.c.user_id == bindparam("caller_id")
)
_WITH_ROLE = (
    select(*_PLACE, project_members.c.role)
    .join_from(projects, project_members, _IS_MEMBER)
    .where(projects.c.id == bindparam("project_id"))
)
_AS_MEMBER = prepared(_WITH_ROLE)
_AS_ADMIN = prepared(
    select(*_PLACE, select(project_members.c.role).where(_IS_MEMBER).scalar_subquery().label("role")).where(
        projects.c.id == bindparam("project_id")
    )
)
# Locks both rows: until the transaction ends the project can't be archived, and the member can't be removed.
_AS_MEMBER_SHARED = prepared(_WITH_ROLE.with_for_update(read=True))
_SHARED = prepared(
    select(*_PLACE, literal_column("NULL").label("role"))
    .where(projects.c.id == bindparam("project_id"))
    .with_for_update(read=True)
)
_EXCLUSIVE = prepared(select(projects.c.id).where(projects.c.id == bindparam("project_id")).with_for_update())


def role_in(db: Session, caller: Caller, project_id: int) -> CallersProject:
    """A project that the caller sees, with their role; raises NotFound."""
    asked = {"project_id": project_id, "caller_id": caller.id}
    return _found(db.execute(_AS_ADMIN if caller.is_admin else _AS_MEMBER, asked).first())


def lock_project(
    db: Session, caller: Caller, project_id: int, thing: used_rights.Thing = "project"
) -> CallersProject:
    """Lock a project for changes of its tasks until the commit; otherwise like `role_in`; raises NotFound.

    `thing` is what the caller changes there.
    """
    used_rights.note(db, thing, project_id, "write")
    locked: CallersProject | None = writes.locked_project(db, project_id)
    if locked is not None:
        return locked
    asked = {"project_id": project_id, "caller_id": caller.id}
    row = db.execute(_AS_MEMBER_SHARED, asked).first()
    if row is None and caller.is_admin:
        row = db.execute(_SHARED, {"project_id": project_id}).first()
    return _found(row)


def lock_settings(db: Session, caller: Caller, project_id: int, action: Action = "manage") -> CallersProject:
    """Lock a project against all other changes, to change its members, its states or itself.

    Raises NotFound, Forbidden.
    """
    used_rights.note(db, "project", project_id, action)
    # The right is checked before the lock too, so that no one without the right holds up a project.
    require_role(action, role_in(db, caller, project_id).role, caller)
    db.execute(_EXCLUSIVE, {"project_id": project_id})
    project = role_in(db, caller, project_id)
    require_role(action, project.role, caller)
    return project


def _found(row: AnyRow | None) -> CallersProject:
    if row is None:
        raise project_not_found()
    return CallersProject(*row)


# -- one task --------------------------------------------------------------------------------------

_ROLE = (
    select(project_members.c.role)
    .where(
        project_members.c.project_id == tasks.c.project_id,
        project_members.c.user_id == bindparam("caller_id"),
    )
    .scalar_subquery()
    .label("role")
)
_BY_ID = select(*TASK_COLUMNS).where(tasks.c.id == bindparam("task_id"))
_TASK = prepared(_BY_ID.add_columns(_ROLE))
_PROJECT_OF = prepared(select(tasks.c.user_id, tasks.c.project_id).where(tasks.c.id == bindparam("task_id")))
_PRIVATE = prepared(_BY_ID.where(tasks.c.project_id.is_(None)))
_IN_PROJECT_LOCKED = prepared(_BY_ID.where(tasks.c.project_id == bindparam("project_id")).with_for_update())
# How often a task may move to another project while this request waits for its lock.
_MOST_MOVES = 10


@cache
def _private_locked(*, everybodys: bool) -> Select[Any]:
    statement = _BY_ID.where(tasks.c.project_id.is_(None))
    if not everybodys:
        statement = statement.where(tasks.c.user_id == bindparam("owner_id"))
    return prepared(statement.with_for_update())


def find_task(db: Session, caller: Caller, task_id: int) -> AnyRow:
    """A task that the caller sees, with the caller's role in its project; raises NotFound."""
    row = db.execute(_TASK, {"task_id": task_id, "caller_id": caller.id}).first()
    if row is None:
        raise task_not_found()
    check("see", row.role, row, caller)
    return row


def lock_task(
    db: Session, caller: Caller, task_id: int, action: Action = "write", *, strangers: bool = False
) -> tuple[AnyRow, CallersProject | None]:
    """Lock a task that the caller may change until the commit; returns the task and its project.

    A private task takes one statement. A task in a project is locked after the project: the order is the same
    everywhere, so that no two requests wait for each other. `strangers` also finds private tasks of others,
    which the caller of this function must then refuse. Raises NotFound, Forbidden, Conflict for an archived
    project.
    """
    unit = unit_of(db)
    if unit is not None:
        return _lock_within(unit, db, caller, task_id, action, strangers=strangers)
    everybodys = strangers or caller.is_admin
    asked = {"task_id": task_id} if everybodys else {"task_id": task_id, "owner_id": caller.id}
    for _ in range(_MOST_MOVES):
        private = db.execute(_private_locked(everybodys=everybodys), asked).first()
        if private is not None:
            _note_admin(db, caller, private, action)
            return private, None
        found = db.execute(_PROJECT_OF, {"task_id": task_id}).first()
        if found is None:
            break
        if found.project_id is None:
            if not everybodys and found.user_id != caller.id:
                break
            # It has left a project since the first statement.
            continue
        try:
            project = lock_project(db, caller, found.project_id, "task")
        except NotFound:
            now = db.execute(_PROJECT_OF, {"task_id": task_id}).first()
            if now is None or now.project_id == found.project_id:
                break
            # It has left the project, which may be deleted.
            continue
        row = db.execute(_IN_PROJECT_LOCKED, {"task_id": task_id, "project_id": project.id}).first()
        if row is not None:
            _check_locked(db, action, project, row, caller)
            return row, project
    raise task_not_found()


def _lock_within(
    unit: UnitOfWork, db: Session, caller: Caller, task_id: int, action: Action, *, strangers: bool
) -> tuple[AnyRow, CallersProject | None]:
    """`lock_task` within a unit of work, which has locked all tasks that it may change: see `lock_tasks`."""
    found = unit.find(caller, task_id)
    if found is not None:
        task, project = found
        if project is None:
            _note_admin(db, caller, task, action)
        else:
            _check_locked(db, action, project, task, caller)
        return task, project
    if strangers and not caller.is_admin:
        # The task is only looked at, to tell the caller why it stays as it is.
        other = unit.held(task_id) or db.execute(_PRIVATE, {"task_id": task_id}).first()
        if other is not None and other.user_id != caller.id:
            return other, None
    raise task_not_found()


def _note_admin(db: Session, caller: Caller, task: Any, action: Action) -> None:
    """Note that the caller needs to be an admin for this private task."""
    if task.user_id != caller.id:
        used_rights.note(db, "task", None, action)


def _check_locked(db: Session, action: Action, project: CallersProject, task: Any, caller: Caller) -> None:
    used_rights.note(db, "task", project.id, _with_own(action, task, caller))
    check(action, project.role, task, caller)
    require_open(project)


def lock_tasks(
    db: Session,
    caller: Caller,
    unit: UnitOfWork,
    task_ids: Collection[int],
    *,
    projects_too: Iterable[int] = (),
    are_visible: bool = False,
    whole: bool = True,
) -> dict[int, int]:
    """Lock many tasks for a unit of work, after their projects and `projects_too`; returns their versions.

    All are locked in the order of their ids. Those that the caller does not see are left out. Unless `whole`, only
    versions are read.
    """
    versions: dict[int, int] = {}
    missing, locked, asked = set(task_ids), {}, set()
    wanted = {*unit.projects_of(missing), *projects_too}
    while True:
        for project_id in sorted(wanted):
            with contextlib.suppress(NotFound):
                locked[project_id] = lock_project(db, caller, project_id, "task")
        versions |= (unit.load if whole else unit.lock)(missing, locked, are_visible=are_visible)
        missing -= versions.keys()
        asked |= wanted
        # A task may have moved to another project before its lock.
        wanted = unit.projects_of(missing) - asked if missing else set()
        if not wanted:
            return versions


# -- replays of answers ----------------------------------------------------------------------------


def still_held(db: Session, caller: Caller, used: Iterable[Used]) -> list[Used]:
    """The rights that the caller still has after the write that used them; it may have given some away."""
    held = []
    for right in used:
        with contextlib.suppress(NotFound, Forbidden):
            require_again(db, caller, [right])
            held.append(right)
    return held


def require_again(db: Session, caller: Caller, used: Iterable[Used]) -> None:
    """Check rights that an earlier request used, before its answer is given again; raises NotFound, Forbidden.

    A project that was deleted meanwhile asks nothing of those who saw it until then.
    """
    for right in used:
        if right.project_id is None:
            if not caller.is_admin:
                raise right.missing()
            continue
        try:
            role = role_in(db, caller, right.project_id).role
        except NotFound:
            if caller.is_admin or sight.is_member_without_end(db, caller.id, right.project_id):
                continue
            raise right.missing() from None
        require_role(right.action, role, caller)
