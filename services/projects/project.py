"""Projects: making, reading, changing and deleting them, with the consequences for their tasks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Select, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import invalid_at, project_not_found
from models import Caller, tasks
from schemas.projects import ProjectFilters, ProjectRead
from security.callers import require_admin
from services import preconditions, rights, used_rights
from services.paging import PageOf, keyset_by_id
from services.portions import Portions
from services.projects import workflow
from services.tasks import bulk, history, many
from storage.column_types import rfc3339
from storage.prepared import prepared
from tables.projects import project_members, projects

READ_ONLY = ("id", "archived_at", "created_by", "created_at", "updated_at", "role")
_COLUMNS = (
    *(projects.c[name] for name in ProjectRead.model_fields if name in projects.c),
    projects.c.version,
)
_MINE = (project_members.c.project_id == projects.c.id) & (
    project_members.c.user_id == bindparam("caller_id", type_=BigInteger)
)
_WITH_ROLE = select(*_COLUMNS, project_members.c.role)
_OWN = _WITH_ROLE.join_from(project_members, projects, _MINE)
_ALL = _WITH_ROLE.join_from(projects, project_members, _MINE, isouter=True)
_ONE = prepared(_ALL.where(projects.c.id == bindparam("project_id")))
_INSERT = prepared(insert(projects).returning(projects.c.id))
_ADD_MEMBER = insert(project_members)
_UPDATE = update(projects).where(projects.c.id == bindparam("of_project"))
_FORGET_MAKER = (
    update(projects)
    .where(projects.c.created_by == bindparam("of_user"))
    .values(created_by=None, version=projects.c.version + 1, updated_at=bindparam("now"))
)
_DELETE = delete(projects).where(projects.c.id == bindparam("of_project"))


# -- reading ---------------------------------------------------------------------------------------


def etag(project: Mapping[str, Any]) -> str:
    """The entity tag of a project's current version, as an account with this role sees it."""
    return f'"{project["id"]}-{project["version"]}-{project["role"] or "admin"}"'


def get_project(db: Session, caller: Caller, project_id: int) -> dict[str, Any]:
    """A project that the caller sees, with its states; raises NotFound."""
    row = db.execute(_ONE, {"project_id": project_id, "caller_id": caller.id}).first()
    if row is None or not rights.sees(caller, row.role):
        raise project_not_found()
    states = workflow.states_of(db, row.id)
    if not states:
        # The project was deleted meanwhile.
        raise project_not_found()
    return _with_states(row, states)


def _with_states(row: AnyRow, states: Sequence[Any]) -> dict[str, Any]:
    return {**row._asdict(), "states": [state._asdict() for state in states]}


def list_projects(db: Session, caller: Caller, filters: ProjectFilters) -> PageOf[dict[str, Any]]:
    """A page of the caller's projects, or of everybody's for an admin; raises Forbidden."""
    if filters.scope == "all":
        require_admin(caller)
    statement: Select[Any] = _ALL if filters.scope == "all" else _OWN
    is_archived = projects.c.archived_at.is_not(None)
    statement = statement.where(is_archived if filters.archived else ~is_archived)
    row_id = projects.c.id if filters.scope == "all" else project_members.c.project_id
    page = keyset_by_id(db, statement, row_id, filters, {"caller_id": caller.id})
    states = workflow.states_of_many(db, [row.id for row in page.rows])
    # A project that was deleted meanwhile has no states.
    there = [_with_states(row, states[row.id]) for row in page.rows if row.id in states]
    return PageOf(there, page.next_cursor)


# -- making ----------------------------------------------------------------------------------------


def create_project(db: Session, caller: Caller, values: Mapping[str, Any]) -> dict[str, Any]:
    """Make a project that the caller manages; `adopt_tasks` moves the caller's tasks of its name into it."""
    now = datetime.now(UTC)
    project_id = db.execute(
        _INSERT,
        {
            "name": values["name"],
            "description": values.get("description"),
            "archived_at": None,
            "created_by": caller.id,
            "created_at": now,
            "updated_at": now,
            "version": 1,
        },
    ).scalar_one()
    db.execute(
        _ADD_MEMBER, {"project_id": project_id, "user_id": caller.id, "role": "manager", "added_at": now}
    )
    workflow.make(db, project_id, values.get("states"))
    project = get_project(db, caller, project_id)
    used_rights.note(db, "project", project_id, "see")
    # The caller is the first member.
    history.add_about(
        db, caller, now, "project_created", subject(project), project_id=project_id, member_id=caller.id
    )
    if values.get("adopt_tasks"):
        _adopt(db, caller, now, project)
    return project


def _adopt(db: Session, caller: Caller, now: datetime, project: Mapping[str, Any]) -> None:
    states = workflow.states_of(db, project["id"])
    mine = (
        tasks.c.user_id == caller.id,
        tasks.c.project == project["name"],
        tasks.c.project_id.is_(None),
    )
    for rows in many.in_chunks(db, *mine):
        # A set would give the events another order in each process.
        for status in dict.fromkeys(task.status for task in rows):
            changes = {"project_id": project["id"], "state": workflow.first_with(states, status).key}
            some = [task for task in rows if task.status == status]
            many.change_many(db, caller, now, some, changes, "moved")


def subject(project: Mapping[str, Any]) -> dict[str, Any]:
    """A project as history records it: all fields of an answer but the caller's role."""
    return {
        name: rfc3339(project[name]) if isinstance(project[name], datetime) else project[name]
        for name in ProjectRead.model_fields
        if name != "role"
    }


# -- changing --------------------------------------------------------------------------------------


def update_project(
    db: Session, caller: Caller, project_id: int, values: Mapping[str, Any], if_match: str | None = None
) -> tuple[dict[str, Any], set[int]]:
    """Change the given fields; returns the project, and the owners of tasks whose state was replaced.

    Raises NotFound, Forbidden, Conflict, PreconditionFailed, InvalidInput.
    """
    rights.lock_settings(db, caller, project_id)
    before = get_project(db, caller, project_id)
    preconditions.require(if_match, etag(before))
    preconditions.require_unchanged(before, values, READ_ONLY)
    now = datetime.now(UTC)
    changes = _differences(before, values, now)
    states, replaced = values.get("states"), values.get("replaced_states") or {}
    if replaced and not states:
        raise invalid_at("#/replaced_states", "Needs the new `states` beside it")
    has_states = bool(states) and states != before["states"]
    owners: set[int] = set()
    if states and (has_states or replaced):
        owners = workflow.replace(db, caller, now, project_id, states, replaced)
    if not changes and not has_states:
        return before, owners
    columns = {**changes, "updated_at": now, "version": before["version"] + 1}
    db.execute(_UPDATE.values(columns), {"of_project": project_id})
    if "name" in changes:
        _rename_tasks(db, project_id, changes["name"], now)
    after = get_project(db, caller, project_id)
    new, old = subject(after), subject(before)
    names = [name for name in (*changes, "states") if new[name] != old[name]]
    changed = {name: {"from": old[name], "to": new[name]} for name in names}
    history.add_about(db, caller, now, "project_updated", new, project_id=project_id, changes=changed)
    return after, owners


def _differences(before: Mapping[str, Any], values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if values.get("name") is not None and values["name"] != before["name"]:
        changes["name"] = values["name"]
    if "description" in values and values["description"] != before["description"]:
        changes["description"] = values["description"]
    archived = values.get("archived")
    if archived is not None and archived != (before["archived_at"] is not None):
        changes["archived_at"] = now if archived else None
    return changes


def _rename_tasks(db: Session, project_id: int, name: str, now: datetime) -> None:
    """Write the new name to the project's tasks, without rows of history."""
    bulk.take_turns(db)
    later = tasks.c.updated_at > now
    renamed = update(tasks).where(tasks.c.project_id == project_id)
    values = {"project": name, "version": tasks.c.version + 1}
    db.execute(renamed.where(later).values(values))
    db.execute(renamed.where(~later).values({**values, "updated_at": now}))


def forget_maker(db: Session, user_id: int, now: datetime) -> None:
    """Leave out of its projects who made them, when that account is deleted.

    The database would do this by itself, but without a new version, so that clients keep the former answer.
    """
    db.execute(_FORGET_MAKER, {"of_user": user_id, "now": now})


# -- deleting --------------------------------------------------------------------------------------


def delete_project(
    db: Session,
    caller: Caller,
    project_id: int,
    what: Literal["delete", "release"],
    portions: Portions,
    if_match: str | None = None,
) -> set[int]:
    """Delete a project, and delete or release its tasks; returns the owners of the tasks.

    Raises NotFound, Forbidden, PreconditionFailed, Unfinished.
    """
    rights.lock_settings(db, caller, project_id)
    project = get_project(db, caller, project_id)
    preconditions.require(if_match, etag(project))
    return remove(db, caller, project, what, portions)


def for_removal(db: Session, actor: Caller, project_id: int) -> dict[str, Any]:
    """A project for `remove`, when the account of its last member is deleted."""
    row = db.execute(_ONE, {"project_id": project_id, "caller_id": actor.id}).one()
    return _with_states(row, workflow.states_of(db, project_id))


def remove(
    db: Session,
    actor: Caller,
    project: Mapping[str, Any],
    what: Literal["delete", "release"],
    portions: Portions | None = None,
) -> set[int]:
    """Delete a project whose settings are locked; returns the owners of its tasks."""
    now, project_id = datetime.now(UTC), project["id"]
    owners = set() if portions is None else portions.owners
    for rows in many.in_chunks(db, tasks.c.project_id == project_id, portions=portions):
        owners.update(task.user_id for task in rows)
        if what == "delete":
            many.delete_many(db, actor, now, rows)
        else:
            many.change_many(db, actor, now, rows, {"project_id": None, "state": None}, "moved")
    history.add_about(db, actor, now, "project_deleted", subject(project), project_id=project_id)
    db.execute(_DELETE, {"of_project": project_id})
    return owners
