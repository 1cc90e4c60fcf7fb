"""Placing a task: its project, its state in the project, and its owner.

The changes that come here differ from the task: a field that is sent with its present value counts as not
sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, invalid_at, user_not_found
from models import Caller
from services import rights
from services.projects import member, workflow
from services.rights import CallersProject


def _check_name(values: Mapping[str, Any], project: CallersProject) -> None:
    """Raise InvalidInput for a `project` that is not the name of the task's project."""
    if values.get("project") not in (None, project.name):
        raise invalid_at("#/project", f"The task's project is {project.name}: send its name, or leave it out")


# -- new tasks -------------------------------------------------------------------------------------


def of_new(db: Session, caller: Caller, values: Mapping[str, Any]) -> dict[str, Any]:
    """The owner, project, state and status of a new task, by the fields that are sent.

    Raises NotFound, Forbidden, Conflict, InvalidInput.
    """
    project_id, owner_id = values.get("project_id"), values.get("user_id")
    key, status = values.get("state"), values.get("status")
    if project_id is None:
        if owner_id not in (None, caller.id):
            raise invalid_at(
                "#/user_id", "Needs `project_id` beside it: to give a private task away, assign it"
            )
        return {"status": workflow.wanted(workflow.DEFAULT, key, status).status}
    project = entered(db, caller, project_id)
    if owner_id is None:
        if project.role in (None, "viewer"):
            raise invalid_at("#/user_id", "An admin who may not own tasks of the project must name the owner")
        owner_id = caller.id
    if not member.can_own(db, project.id, owner_id):
        raise user_not_found()
    _check_name(values, project)
    state = workflow.wanted(workflow.states_of(db, project.id), key, status)
    workflow.enter(db, project.id, state)
    return {
        "user_id": owner_id,
        "project_id": project.id,
        "project": project.name,
        "state": state.key,
        "status": state.status,
    }


def entered(db: Session, caller: Caller, project_id: int) -> CallersProject:
    """A project that the caller may put tasks into; raises NotFound, Forbidden, Conflict."""
    project = rights.lock_project(db, caller, project_id)
    rights.require_role("write", project.role, caller)
    rights.require_open(project)
    return project


def importing(db: Session, caller: Caller, project_id: int) -> CallersProject:
    """A project into which the caller may import own tasks; raises NotFound, Forbidden, Conflict."""
    project = entered(db, caller, project_id)
    if not member.can_own(db, project.id, caller.id):
        raise Conflict("You would own the imported tasks: become a member first", code="owner_not_member")
    return project


# -- changes ---------------------------------------------------------------------------------------


class Placed(NamedTuple):
    """The place of a task after a change."""

    # The columns that follow from the task's project, state and status.
    columns: dict[str, Any]
    # The fields that changed by moving to another project, before any change of status; None without a move.
    moved: dict[str, Any] | None


def of_changed(
    db: Session, caller: Caller, before: AnyRow, project: CallersProject | None, changes: Mapping[str, Any]
) -> Placed:
    """The place of a task after the changes; raises NotFound, Forbidden, Conflict, InvalidInput."""
    moved: dict[str, Any] | None = None
    if "project_id" in changes:
        moved, states, here = _moved(db, caller, before, changes)
        key_now = moved["state"]
        project_id = moved["project_id"]
    else:
        if project is not None:
            _check_name(changes, project)
        if "state" not in changes and "status" not in changes:
            return Placed({}, None)
        project_id, key_now = before.project_id, before.state
        # A status that is sent is another one, so the task can't stay in its state.
        states, here = workflow.states_of(db, project_id), None
    state = workflow.wanted(states, changes.get("state"), changes.get("status"), here)
    if project_id is not None and (moved is not None or state.key != key_now):
        workflow.enter(db, project_id, state)
    columns: dict[str, Any] = {name: moved[name] for name in ("project_id", "project")} if moved else {}
    columns["state"] = None if project_id is None else state.key
    if state.status != before.status:
        columns["status"] = state.status
    return Placed(columns, moved)


def _moved(
    db: Session, caller: Caller, before: AnyRow, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], Sequence[Any], Any]:
    """The fields of a task that moves, the states of its new project, and the first state with its status."""
    label = changes.get("project") or before.project
    if changes["project_id"] is None:
        states: Sequence[Any] = workflow.DEFAULT
        project_id = None
    else:
        target = entered(db, caller, changes["project_id"])
        _check_name(changes, target)
        if not member.can_own(db, target.id, before.user_id):
            raise Conflict(
                "The task's owner is no member of the project: assign the task to a member first",
                code="owner_not_member",
            )
        states, project_id, label = workflow.states_of(db, target.id), target.id, target.name
    here = workflow.first_with(states, before.status)
    return {"project_id": project_id, "project": label, "state": here.key}, states, here
